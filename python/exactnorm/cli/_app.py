"""The program: its commands, in the order of its help."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from exactnorm.cli.commands.adapt import adapt
from exactnorm.cli.commands.apply import apply
from exactnorm.cli.commands.check import check
from exactnorm.cli.commands.compare import compare
from exactnorm.cli.commands.digest import digest
from exactnorm.cli.commands.export import export
from exactnorm.cli.commands.merge import merge
from exactnorm.cli.commands.report import report
from exactnorm.cli.commands.show import show
from exactnorm.cli.commands.subtract import subtract

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"exactnorm {version('exactnorm')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", metavar="", is_eager=True, callback=_print_version, help="Print the version."),
]


@app.callback(
    epilog="Exit status: 0; 1 if a file or its data will not do; 2 if an argument will not; "
    "3 if compare finds the drift it is to fail for; 4 if adapt has left out bad files; 130 after Ctrl-C, "
    "143 after SIGTERM, 129 after SIGHUP."
)
def _program(*, print_version: Version = False) -> None:
    """Learn the exact mean and variance of every column, and normalize with them.

    ```
    exactnorm adapt 2013-*.parquet -o year.json
    exactnorm show year.json
    exactnorm apply year.json today.csv -o today.parquet
    ```
    """


for command in (adapt, apply, merge, subtract, show, compare, digest, check, report, export):
    app.command()(command)
