"""exactnorm show."""

from __future__ import annotations

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Json, State
from exactnorm.cli._states import load_single


def show(state: State, *, json: Json = False) -> None:
    """Print what a state knows: counts, mean and sd of the finite values, the digest.

    ```
    exactnorm show year.json
    exactnorm show --json year.json | jq -r .digest
    ```
    """
    from exactnorm.cli._show import as_json, print_state

    with reporting():
        loaded = load_single(state)
        if json:
            typer.echo(as_json(loaded))
        else:
            print_state(loaded)
