"""exactnorm digest."""

from __future__ import annotations

import json as json_format
from typing import Annotated

import typer

from exactnorm.cli._errors import complain, message_of, reporting
from exactnorm.cli._options import Documents, Json

Check = Annotated[
    bool, typer.Option("--check", "-c", metavar="", help="STATES are lists that digest has printed: compare.")
]


def digest(states: Documents, *, check: Check = False, json: Json = False) -> None:
    """Print the digest of each of STATES, and its file's name, as sha256sum does.

    Equal digests mean equal statistics, whatever the features' names, on every machine. Files that will not
    do are named; the others are still done, and the exit status is 1.

    ```
    exactnorm digest *.json > digests.txt
    exactnorm digest --check digests.txt
    ```
    """
    from exactnorm.cli._check import digest_of, expected, line_of

    if check and json:
        raise typer.BadParameter("goes without --check", param_hint="--json")
    failed = False
    digests = {}
    with reporting():
        for path, wanted in expected(states) if check else ((state, None) for state in states):
            try:
                if json:
                    digests[path] = digest_of(path)
                else:
                    typer.echo(line_of(path, wanted))
            except (OSError, ValueError) as error:
                complain(message_of(error))
                failed = True
    if json:
        typer.echo(json_format.dumps(digests, ensure_ascii=False))
    if failed:
        raise typer.Exit(1)
