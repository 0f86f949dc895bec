"""The commands: their arguments, their help, and what their errors look like."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer

from exactnorm.cli._states import load_single

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown"
)


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


class DType(StrEnum):
    """Of what is written."""

    float32 = "float32"
    float64 = "float64"


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"exactnorm {version('exactnorm')}")
        raise typer.Exit


State = Annotated[str, typer.Argument(metavar="STATE", help="What adapt, or Python, has written.")]
Files = Annotated[list[str], typer.Argument(metavar="FILES...", help="Parquet, CSV, .csv.gz or .csv.zst.")]
Input = Annotated[str, typer.Argument(metavar="IN", help="Parquet, CSV, .csv.gz or .csv.zst.")]
StateOutput = Annotated[str, typer.Option("--output", "-o", metavar="STATE", help="The document to write.")]
Output = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT", help="The file to write, of these kinds.")
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
Version = Annotated[
    bool,
    typer.Option("--version", metavar="", is_eager=True, callback=_print_version, help="Print the version."),
]


@app.callback(
    epilog="Exit status: 0; 1 if a file or its data will not do; 2 if an argument will not; 130 after Ctrl-C."
)
def _program(*, print_version: Version = False) -> None:
    """Learn the exact mean and variance of every column, and normalize with them.

    ```
    exactnorm adapt 2013-*.parquet -o year.json
    exactnorm show year.json
    exactnorm apply year.json today.csv -o today.parquet
    ```
    """


@app.command()
def adapt(files: Files, output: StateOutput, columns: Columns = None) -> None:
    """Learn the columns of FILES into a state document.

    By default, all columns of numbers are learned. Their order, and that of the files, changes no result.

    ```
    exactnorm adapt 2013-*.parquet -o year.json
    exactnorm adapt flights.csv.gz -o delays.json --columns dep_delay,arr_delay
    ```
    """
    from exactnorm.cli._adapt import learn  # pyarrow takes its time

    wanted = _split(columns)
    with _reporting():
        learn(files, wanted).save(output)


@app.command()
def apply(
    state: State,
    source: Input,
    output: Output,
    *,
    inverse: Inverse = False,
    columns: Columns = None,
    drop_others: DropOthers = False,
    dtype: OutputDType = None,
    nan_policy: NanPolicy = None,
    inf_policy: InfPolicy = None,
    constant_policy: OnConstant = None,
    epsilon: Epsilon = None,
) -> None:
    """Write IN with the state's columns normalized: (x - mean) / sd.

    All else stays as it is: other columns, nulls, the order. STATE holds Moments, or a Normalization layer,
    whose own policies count unless others are given.

    ```
    exactnorm apply year.json today.parquet -o z.parquet
    exactnorm apply year.json today.csv -o z.csv.gz --constant-policy unit
    exactnorm apply year.json z.parquet -o back.parquet --inverse --drop-others
    ```
    """
    from exactnorm.cli._apply import normalize

    given = {
        "dtype": dtype,
        "nan_policy": nan_policy,
        "inf_policy": inf_policy,
        "constant_policy": constant_policy,
        "epsilon": epsilon,
    }
    wanted = _split(columns)
    with _reporting():
        normalize(
            state,
            source,
            output,
            columns=wanted,
            settings={key: value for key, value in given.items() if value is not None},
            inverse=inverse,
            drop_others=drop_others,
        )


@app.command()
def show(state: State, *, json: Json = False) -> None:
    """Print what a state knows: counts, mean and sd of the finite values, the digest.

    ```
    exactnorm show year.json
    exactnorm show --json year.json | jq -r .digest
    ```
    """
    from exactnorm.cli._show import as_json, print_state

    with _reporting():
        loaded = load_single(state)
        if json:
            typer.echo(as_json(loaded))
        else:
            print_state(loaded)


def _split(columns: str | None) -> list[str] | None:
    if columns is None:
        return None
    names = next(csv.reader([columns]), [])
    if not names or "" in names or len(set(names)) < len(names):
        raise typer.BadParameter(
            f"expected distinct names of columns, got {columns!r}", param_hint="--columns"
        )
    return names


@contextmanager
def _reporting() -> Iterator[None]:
    """Errors and warnings as a line each, on stderr."""
    failure: Exception | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", RuntimeWarning)
        try:
            yield
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except BrokenPipeError:
            raise  # whoever read stdout has gone; typer ends quietly
        except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            failure = error
    for warning in caught:
        _complain(f"warning: {warning.message}")
    if failure is not None:
        _complain(_message(failure))
        raise typer.Exit(1) from failure


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def _complain(message: str) -> None:
    typer.echo(f"exactnorm: {' '.join(message.split())}", err=True)
