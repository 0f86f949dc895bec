"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable
from contextvars import ContextVar
from types import FrameType, TracebackType

_NOT_THE_USER = ("exactnorm", "keras", "tf_keras", "tensorflow", "torch")
_held: ContextVar[list[tuple[str, type[Warning]]] | None] = ContextVar("_held", default=None)


def warn(messages: Iterable[str], category: type[Warning]) -> None:
    """Issue warnings at the innermost line outside this package and the frameworks that call it."""
    held = _held.get()
    if held is not None:
        held.extend((message, category) for message in messages)
        return
    level = 2  # the caller, which frame 1 is
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _NOT_THE_USER:
        level += 1
        frame = frame.f_back
    for message in messages:
        warnings.warn(message, category, stacklevel=level)


class late:  # noqa: N801
    """Hold the warnings of a block back until its end, for work of several steps.

    A warning may be made an error; then all steps are done. After another error nothing is issued.
    """

    def __enter__(self) -> None:
        self._held: list[tuple[str, type[Warning]]] = []
        self._token = _held.set(self._held)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _held.reset(self._token)
        if kind is None:
            for message, category in self._held:
                warn([message], category)  # an outer block holds it on
