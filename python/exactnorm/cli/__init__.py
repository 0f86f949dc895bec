"""The command line: `exactnorm --help`. Needs ``pip install exactnorm[cli]``."""

from __future__ import annotations

import signal
import sys
from types import FrameType


def main() -> None:
    """Run the program `exactnorm`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup has SIGHUP ignored
            signal.signal(number, _unwind)
    try:
        from exactnorm.cli._app import app

        app()
    except ModuleNotFoundError as error:
        if error.name not in ("pyarrow", "rich", "typer"):
            raise
        sys.exit(f"exactnorm: the command line needs {error.name}: pip install 'exactnorm[cli]'")


def _unwind(number: int, _frame: FrameType | None) -> None:
    """End by an exception, so that temporary files are removed."""
    signal.signal(number, signal.SIG_IGN)  # a second one would stop that
    sys.exit(128 + number)
