"""exactnorm check."""

from __future__ import annotations

import typer

from exactnorm.cli._errors import complain, reporting
from exactnorm.cli._options import Documents, Json


def check(states: Documents, *, json: Json = False) -> None:
    """Verify documents: format, version, every range, digest and checksum.

    All are looked at; the exit status is 1 if one is bad.

    ```
    exactnorm check 2013-*.json
    exactnorm check --json 2013-*.json | jq -r '.files[] | select(.ok | not).file'
    ```
    """
    from exactnorm.cli._check import Verdict, as_json, verdicts

    found: list[Verdict] = []
    with reporting():
        for verdict in verdicts(states):
            found.append(verdict)
            if not json and verdict.ok:
                typer.echo(f"{verdict.path}: OK, {verdict.text}")
            elif not json:
                complain(f"{verdict.path}: {verdict.text}")
        if json:
            typer.echo(as_json(found))
    if not all(verdict.ok for verdict in found):
        raise typer.Exit(1)
