"""Where commands write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def check_is_no_input(output: str, inputs: Sequence[str]) -> None:
    """Raise a ValueError if a file that is there to write is one of those that have been read."""
    if Path(output).exists() and any(Path(output).samefile(path) for path in inputs):
        raise ValueError(f"{output}: this is the state itself: choose another file to write")
