"""exactnorm subtract."""

from __future__ import annotations

from typing import Annotated

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import Json, StateOutput

Whole = Annotated[str, typer.Argument(metavar="A", help="A state.")]
Part = Annotated[str, typer.Argument(metavar="B", help="One that was merged into it, or learned with it.")]


def subtract(whole: Whole, part: Part, output: StateOutput, *, json: Json = False) -> None:
    """Take B out of A: as if its data had never been learned.

    What is provably no part of A is refused. The output may be A.

    ```
    exactnorm subtract year.json 2013-01-01.json -o year.json
    ```
    """
    from exactnorm.cli._merge import subtracted
    from exactnorm.cli._summary import print_summary

    with reporting():
        state = subtracted(whole, part)
        state.save(output)
        if json:
            print_summary(state, output)
