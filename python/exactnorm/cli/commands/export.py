"""exactnorm export."""

from __future__ import annotations

import csv
import sys
from typing import Annotated, Any

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._export import OWN_OPTIONS, Format, exported
from exactnorm.cli._options import (
    Epsilon,
    InfPolicy,
    Inverse,
    Key,
    NanPolicy,
    OnConstant,
    OutputDType,
    State,
    Total,
    split,
)

Formats = Annotated[Format, typer.Option("--format", "-f", help="What to write.")]
Target = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="The file to write, or - for stdout.")
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="c: what its names begin with. Default: exactnorm.")
]
TableName = Annotated[
    str | None,
    typer.Option("--table", metavar="NAME", help="sql: the table, or schema.table. Default: data."),
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="sql: only these columns, or what those of nameless features are."),
]
Keep = Annotated[
    str | None, typer.Option(metavar="A,B,…", help="sql: columns to select as they are, before the others.")
]
InputDType = Annotated[
    str | None, typer.Option(metavar="DTYPE", help="onnx: of the model's input. Default: float32.")
]


def export(
    state: State,
    output: Target,
    *,
    form: Formats,
    inverse: Inverse = False,
    name: Name = None,
    table: TableName = None,
    columns: Columns = None,
    keep: Keep = None,
    input_dtype: InputDType = None,
    key: Key = None,
    total: Total = False,
    dtype: OutputDType = None,
    nan_policy: NanPolicy = None,
    inf_policy: InfPolicy = None,
    constant_policy: OnConstant = None,
    epsilon: Epsilon = None,
) -> None:
    """Write the normalization of a state for where it is served.

    An ONNX model, a .keras file, a C header, a SELECT of SQL, or the numbers as JSON.

    ```
    exactnorm export year.json -f c -o flights.h --name flights
    exactnorm export year.json -f sql -o flights.sql --table flights --columns dep_delay,arr_delay
    exactnorm export year.json -f onnx -o flights.onnx --input-dtype float64
    exactnorm export year.json -f keras -o flights.keras
    exactnorm export year.json -f json -o flights.json
    ```
    """
    given: dict[str, Any] = {
        "inverse": inverse or None,
        "name": name,
        "table": None if table is None else _path(table),
        "columns": split(columns),
        "keep": split(keep, "--keep"),
        "input_dtype": input_dtype,
    }
    own = {option: value for option, value in given.items() if value is not None}
    for option in own:
        if form not in OWN_OPTIONS[option]:
            raise typer.BadParameter(
                f"goes with --format {' or '.join(OWN_OPTIONS[option])}, not with {form}",
                param_hint=f"--{option.replace('_', '-')}",
            )
    settings = {
        "dtype": dtype,
        "nan_policy": nan_policy,
        "inf_policy": inf_policy,
        "constant_policy": constant_policy,
        "epsilon": epsilon,
    }
    settings = {key: value for key, value in settings.items() if value is not None}
    with reporting():
        content = exported(state, key, total=total, form=form, settings=settings, own=own)
        if output == "-":
            sys.stdout.buffer.write(content)
            return
        from exactnorm.cli._outputs import check_is_no_input
        from exactnorm.files import replacing

        check_is_no_input(output, [state])
        with replacing(output) as file:
            file.write(content)


def _path(table: str) -> list[str]:
    """Return what is between the dots; a part with a dot of its own is in double quotes."""
    return next(csv.reader([table], delimiter="."), [])
