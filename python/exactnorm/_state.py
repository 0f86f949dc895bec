"""What everything that holds exact sums has: a shape, a digest, documents, copies."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Self

from exactnorm import _core


class State:
    """The part of `exactnorm.Moments` and `exactnorm.GroupedMoments` that is the same."""

    __slots__ = ("__weakref__", "_impl")

    _core_type: ClassVar[type]
    _impl: _core.Moments | _core.GroupedMoments

    @classmethod
    def _of(cls, core: Any) -> Self:
        state = object.__new__(cls)
        state._impl = core
        return state

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the features."""
        return self._impl.shape

    @property
    def names(self) -> tuple[str, ...] | None:
        """The features' names in C order, if they have any."""
        return tuple(self._impl.names) or None

    @property
    def weighted(self) -> bool:
        """Whether the data had weights."""
        return self._impl.weighted

    @property
    def digest(self) -> str:
        """Digest of shape, keys if any, sums and counts, names apart: what to compare between machines."""
        return self._impl.digest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as a JSON document, which `exactnorm.load` reads.

        The file is replaced at once: a reader sees the old or the new one.

        Raises
        ------
        OSError
            If the file cannot be written; it is as it was.
        """
        self._impl.save(os.fsencode(path))

    def to_bytes(self) -> bytes:
        """Return the state as a CBOR document, which `exactnorm.from_bytes` reads. Same state, same bytes."""
        return self._impl.to_bytes()

    def copy(self) -> Self:
        """Return an object of its own with the same state."""
        return self._of(self._impl.copy())

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: object) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return self._from_document, (self.to_bytes(),)

    @classmethod
    def _from_document(cls, document: bytes) -> Self:
        """Unpickle."""
        core = _core.from_bytes(document)
        if not isinstance(core, cls._core_type):
            raise _core.StateError(f"expected the state of {cls.__name__}, got another")
        return cls._of(core)
