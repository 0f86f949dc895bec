"""exactnorm compare."""

from __future__ import annotations

from typing import Annotated

import typer

from exactnorm.cli._errors import complain, reporting
from exactnorm.cli._options import After, Before, Json, Key, Order, Total

DRIFTED = 3  # the exit status, as docs/cli.md says

FailAbove = Annotated[
    float | None,
    typer.Option(min=0, metavar="SHIFT", help="Exit with status 3 if a mean has moved by more sd than this."),
]
Sort = Annotated[Order, typer.Option("--sort", help="What differs most comes first; or by name.")]


def compare(
    before: Before,
    after: After,
    *,
    fail_above: FailAbove = None,
    sort: Sort = Order.shift,
    key: Key = None,
    total: Total = False,
    json: Json = False,
) -> None:
    """Print how every feature differs from A to B; shifts are in standard deviations of A.

    With --fail-above, a feature also fails if it has values on one side only, or was constant and has moved.

    ```
    exactnorm compare january.json february.json
    exactnorm compare train.json today.json --fail-above 0.5 || echo drift
    ```
    """
    from exactnorm.cli._compare import as_json, compared, print_comparison

    with reporting():
        found = compared(before, after, key=key, total=total, limit=fail_above, order=sort.value)
        if json:
            typer.echo(as_json(found))
        else:
            print_comparison(found)
    for feature, reason in found.failures.items():
        complain(f"{after}: {feature!r} {reason}")
    if found.failures:
        raise typer.Exit(DRIFTED)
