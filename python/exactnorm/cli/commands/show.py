"""exactnorm show."""

from __future__ import annotations

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Json, Key, State


def show(state: State, *, key: Key = None, json: Json = False) -> None:
    """Print what a state knows: counts, mean and sd of the finite values, the digest.

    Of groups, a row for each, with the means of the first features.

    ```
    exactnorm show year.json
    exactnorm show by-carrier.json --key AA
    exactnorm show --json year.json | jq -r .digest
    ```
    """
    from exactnorm._documents import load
    from exactnorm.cli._show import as_json, print_state
    from exactnorm.cli._states import load_chosen

    with reporting():
        loaded = load(state) if key is None else load_chosen(state, key)
        if json:
            typer.echo(as_json(loaded))
        else:
            print_state(loaded)
