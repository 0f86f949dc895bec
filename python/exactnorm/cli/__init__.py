"""The command line: `exactnorm --help`. Needs ``pip install exactnorm[cli]``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program `exactnorm`."""
    try:
        from exactnorm.cli._app import app

        app()
    except ModuleNotFoundError as error:
        if error.name not in ("pyarrow", "rich", "typer"):
            raise
        sys.exit(f"exactnorm: the command line needs {error.name}: pip install 'exactnorm[cli]'")
