"""Arguments and options that commands share."""

from __future__ import annotations

import csv
from enum import StrEnum
from typing import Annotated

import typer


class Policy(StrEnum):
    """Of NaN or of infinities."""

    propagate = "propagate"
    omit = "omit"
    raise_ = "raise"


class ConstantPolicy(StrEnum):
    """Of constant columns."""

    epsilon = "epsilon"
    unit = "unit"
    raise_ = "raise"


class Unknown(StrEnum):
    """Of keys."""

    raise_ = "raise"
    global_ = "global"


class Empty(StrEnum):
    """Of columns without a value."""

    refuse = "refuse"
    pass_ = "pass"  # noqa: S105


class Stream(StrEnum):
    """Of what standard output gets."""

    csv = "csv"
    arrow = "arrow"


class DType(StrEnum):
    """Of what is written."""

    float32 = "float32"
    float64 = "float64"


class Order(StrEnum):
    """Of a table of drift."""

    shift = "shift"
    variance_ratio = "variance_ratio"
    null_rate = "null_rate"
    nan_rate = "nan_rate"
    feature = "feature"


State = Annotated[str, typer.Argument(metavar="STATE", help="What adapt, or Python, has written.")]
Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES...", help="Parquet, CSV, JSON lines, Arrow, .npy or .npz; folders, patterns, URIs, -."
    ),
]
Input = Annotated[str, typer.Argument(metavar="IN", help="A file, pattern, folder or URI, or -.")]
StateOutput = Annotated[str, typer.Option("--output", "-o", metavar="STATE", help="The document to write.")]
States = Annotated[list[str], typer.Argument(metavar="STATES...", help="Documents of one kind.")]
Documents = Annotated[
    list[str], typer.Argument(metavar="STATES...", help="What adapt, or Python, has written.")
]
Before = Annotated[str, typer.Argument(metavar="A", help="A state.")]
After = Annotated[str, typer.Argument(metavar="B", help="Another, of the same features.")]
Key = Annotated[str | None, typer.Option(metavar="KEY", help="Of groups: the one with this key.")]
Total = Annotated[bool, typer.Option("--total", metavar="", help="Of groups: all of them together.")]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="The file or URI to write, or a folder, or -.")
]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help='Only these columns; one with a comma in double quotes: "B,2".'),
]
Inverse = Annotated[bool, typer.Option("--inverse", metavar="", help="Go back: x * sd + mean.")]
DropOthers = Annotated[
    bool, typer.Option("--drop-others", metavar="", help="Write only columns that were normalized.")
]
OutputDType = Annotated[
    DType | None, typer.Option(help="Of normalized columns. Default: float32, or what a layer says.")
]
NanPolicy = Annotated[
    Policy | None, typer.Option(help="What NaNs that were learned mean. Default: propagate.")
]
InfPolicy = Annotated[Policy | None, typer.Option(help="The same of infinities. Default: propagate.")]
OnConstant = Annotated[
    ConstantPolicy | None,
    typer.Option("--constant-policy", help="What a constant column is divided by. Default: epsilon."),
]
Epsilon = Annotated[
    float | None, typer.Option(min=0, metavar="NUMBER", help="The least divisor. Default: 1e-7.")
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="One JSON object, with numbers in full.")]


def split(columns: str | None, option: str = "--columns") -> list[str] | None:
    """Return the names of a list like A,B,"C,D"; BadParameter for one that is empty or not distinct."""
    if columns is None:
        return None
    names = next(csv.reader([columns]), [])
    if not names or "" in names or len(set(names)) < len(names):
        raise typer.BadParameter(f"expected distinct names of columns, got {columns!r}", param_hint=option)
    return names
