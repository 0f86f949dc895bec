"""For tests: run on a certain kernel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from exactnorm import _core


@contextlib.contextmanager
def force_target(name: str) -> Iterator[None]:
    """Use the kernels of one instruction set in the whole process, until the block ends.

    Parameters
    ----------
    name : str
        One of `exactnorm.targets`, supported by this CPU.

    Raises
    ------
    ValueError
        If it is not; the message lists them.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.testing import force_target
    >>> with force_target("portable"):
    ...     [target.name for target in en.targets() if target.chosen]
    ['portable']
    """
    before = next(target for target, _, chosen in _core.targets() if chosen)
    _core.force_target(name)
    try:
        yield
    finally:
        _core.force_target(before)
