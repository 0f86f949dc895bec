"""exactnorm apply."""

from __future__ import annotations

import json as json_format
from typing import Annotated, Any

import typer

from exactnorm.cli._errors import reporting
from exactnorm.cli._options import (
    Columns,
    DropOthers,
    Empty,
    Epsilon,
    InfPolicy,
    Input,
    Inverse,
    Json,
    NanPolicy,
    OnConstant,
    Output,
    OutputDType,
    State,
    Stream,
    Unknown,
    split,
)

By = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="The column of keys that STATE is of; also of folders."),
]
OnUnknown = Annotated[
    Unknown, typer.Option("--unknown", help="A key that was not learned: an error, or as all together.")
]
OnEmpty = Annotated[
    Empty, typer.Option("--empty", help="A column of which no value was learned: an error, or as it is.")
]
Threads = Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: all CPUs.")]
Format = Annotated[Stream, typer.Option("--format", help="Of -o -: CSV, or a stream of Arrow IPC.")]


def apply(
    state: State,
    source: Input,
    output: Output,
    *,
    inverse: Inverse = False,
    columns: Columns = None,
    by: By = None,
    unknown: OnUnknown = Unknown.raise_,
    drop_others: DropOthers = False,
    empty: OnEmpty = Empty.refuse,
    dtype: OutputDType = None,
    nan_policy: NanPolicy = None,
    inf_policy: InfPolicy = None,
    constant_policy: OnConstant = None,
    epsilon: Epsilon = None,
    stream: Format = Stream.csv,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Write IN with the state's columns normalized: (x - mean) / sd.

    All else stays as it is: other columns, nulls, the order. STATE holds Moments, those of groups, or a
    Normalization layer, whose own policies count unless others are given. OUT is of the format that its
    ending tells; a folder gets a file for each of IN.

    ```
    exactnorm apply year.json today.parquet -o z.parquet
    exactnorm apply year.json z.parquet -o back.parquet --inverse --drop-others
    exactnorm apply carriers.json year=2013/ -o z.csv.gz --by carrier
    exactnorm apply year.json year=2013/ -o normalized/
    gunzip -c today.csv.gz | exactnorm apply year.json - -o - | head
    ```
    """
    from exactnorm.cli._progress import counting  # pyarrow and rich take their time
    from exactnorm.files import apply as normalize

    if json and output == "-":
        raise typer.BadParameter("standard output has the rows already", param_hint="--json")
    wanted = split(columns)
    settings: dict[str, Any] = {
        "dtype": dtype,
        "nan_policy": nan_policy,
        "inf_policy": inf_policy,
        "constant_policy": constant_policy,
        "epsilon": epsilon,
    }
    with reporting(), counting(threads) as counter:
        rows = normalize(
            state,
            source,
            output,
            columns=wanted,
            by=by,
            unknown=unknown.value,
            inverse=inverse,
            drop_others=drop_others,
            empty=empty.value,
            **settings,
            stdout_format=stream.value,
            threads=threads,
            on_progress=counter,
        )
        if json:
            typer.echo(json_format.dumps({"output": output, "rows": rows}, ensure_ascii=False))
