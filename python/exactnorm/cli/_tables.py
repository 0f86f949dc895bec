"""Tables on stdout: drawn on a terminal, plain elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

_MOST_DRAWN = 1000  # rich takes seconds for more, and nobody reads them


def print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> None:
    """Print a table, if it has rows, under its title and over notes.

    The first column is text, and the last if its header is "", which stands out; the others are numbers.
    """
    if sys.stdout.isatty():
        _draw(title, header, rows, notes)
    else:
        print(title, *_lines([header, *rows]), *notes, sep="\n")  # noqa: T201


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]


def _draw(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(
            name,
            justify="left" if i == 0 or name == "" else "right",
            style="yellow" if name == "" else "cyan" if i == 0 else "",
            overflow="fold",
        )
    for row in rows[:_MOST_DRAWN]:
        table.add_row(*row)
    console.print(title, style="bold")
    if rows:
        console.print(table)
    if len(rows) > _MOST_DRAWN:
        console.print(f"… {len(rows) - _MOST_DRAWN:,} more, which a pipe or --json gives")
    for line in notes:
        console.print(line, style="dim")
