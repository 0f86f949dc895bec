"""State documents in and out."""

from __future__ import annotations

import os

from exactnorm import _core
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

State = Moments | GroupedMoments | Normalization


def load(path: str | os.PathLike[str]) -> State:
    """Load what `Moments.save`, `GroupedMoments.save` or `Normalization.save` has written.

    Parameters
    ----------
    path : str or path-like
        A file with a state document, JSON or CBOR.

    Returns
    -------
    Moments, GroupedMoments or Normalization
        What the document says it is.

    Raises
    ------
    StateError
        If the document is damaged or needs a later version; the message names the file and the place.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import exactnorm as en
    >>> m = en.Moments.from_data([1.0, 2.0])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "stats.json"
    ...     m.save(path)
    ...     en.load(path) == m
    True
    """
    return _wrap(_core.load(os.fsencode(path)))


def from_bytes(document: bytes | bytearray | memoryview) -> State:
    """Load what `to_bytes` of any of these classes has returned, or the text of a saved file.

    Raises
    ------
    StateError
        If the document is damaged or needs a later version; the message says where.

    Examples
    --------
    >>> import exactnorm as en
    >>> m = en.Moments.from_data([1.0, 2.0])
    >>> en.from_bytes(m.to_bytes()) == m
    True
    """
    if not isinstance(document, (bytes, bytearray, memoryview)):
        raise TypeError(f"expected bytes, got a {type(document).__name__}")
    return _wrap(_core.from_bytes(bytes(document)))


def _wrap(core: _core.Moments | _core.GroupedMoments | _core.Normalization) -> State:
    if isinstance(core, _core.GroupedMoments):
        return GroupedMoments._of(core)
    return Moments._of(core) if isinstance(core, _core.Moments) else Normalization._of(core)
