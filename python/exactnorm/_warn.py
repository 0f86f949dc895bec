"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from types import FrameType

_NOT_THE_USER = ("exactnorm", "keras", "tf_keras", "tensorflow", "torch")


def warn(messages: Iterable[str], category: type[Warning]) -> None:
    """Issue warnings at the innermost line outside this package and the frameworks that call it."""
    level = 2  # the caller, which frame 1 is
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_THE_USER:
        level += 1
        frame = frame.f_back
    for message in messages:
        warnings.warn(message, category, stacklevel=level)
