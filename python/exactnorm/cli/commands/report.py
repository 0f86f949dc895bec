"""exactnorm report."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Key, State

Other = Annotated[str | None, typer.Argument(metavar="[B]", help="Another state, of what came later.")]
Page = Annotated[str, typer.Option("--output", "-o", metavar="PAGE", help="The HTML file to write.")]
Title = Annotated[str | None, typer.Option(metavar="TEXT", help="Default: the names of the files.")]


def report(state: State, other: Other = None, *, output: Page, title: Title = None, key: Key = None) -> None:
    """Write a page of HTML that shows what a state knows; with B, what has changed.

    The page is one file, which loads nothing else. It can be searched and sorted, and marks what is worth a
    second look. Of groups, it shows the total, or the one with --key.

    ```
    exactnorm report year.json -o year.html
    exactnorm report may.json june.json -o june.html --title 'Flights in June'
    ```
    """
    from exactnorm._documents import load
    from exactnorm._report.page import report as page_of
    from exactnorm.cli._outputs import check_is_no_input
    from exactnorm.cli._states import load_chosen
    from exactnorm.files import replacing

    paths = [state] if other is None else [state, other]
    with reporting():
        labels = [_readable(path) for path in paths]
        title = None if title is None else _readable(title)
        states = [load(path) if key is None else load_chosen(path, key) for path in paths]
        page = page_of(*states, title=title, labels=labels).encode()
        check_is_no_input(output, paths)
        with replacing(output) as file:
            file.write(page)


def _readable(argument: str) -> str:
    """Return text without the bytes that are none."""
    return os.fsencode(argument).decode(errors="replace")
