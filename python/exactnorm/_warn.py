"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from types import FrameType

_PASSED_THROUGH = ("exactnorm", "torch")  # torch's modules call ours


def warn(messages: Iterable[str], category: type[Warning]) -> None:
    """Issue warnings at the innermost line outside this package and its frameworks."""
    level = 2  # the caller, which frame 1 is
    frame = sys._getframe(1)
    while frame is not None and _package(frame) in _PASSED_THROUGH:
        level += 1
        frame = frame.f_back  # type: ignore[assignment]
    for message in messages:
        warnings.warn(message, category, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
