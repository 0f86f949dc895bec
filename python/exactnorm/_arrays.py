"""Arrays of any kind, as numpy arrays that C++ can read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exactnorm import _core

NDArray = npt.NDArray[Any]

_DLPACK_HOST = (1, 3, 11, 13)  # CPU, CUDA and ROCm pinned host memory, CUDA managed memory
_PIECE_BYTES = 8 << 20

_WIDTHS = {"float": (16, 32, 64), "int": (8, 16, 32, 64), "uint": (8, 16, 32, 64)}
_NAMES: dict[np.dtype[Any], str] = {np.dtype(bool): "bool"} | {
    np.dtype(f"{kind}{width}"): f"{kind}{width}" for kind, widths in _WIDTHS.items() for width in widths
}


class Dense(NamedTuple):
    """An array of numbers."""

    values: NDArray
    """Of any strides; bfloat16 as its bits in uint16."""
    dtype: str
    """The element type, as C++ names it."""
    valid: npt.NDArray[np.bool_] | None = None
    """False where an element is null."""

    @property
    def is_native(self) -> bool:
        """Whether C++ can read the values where they are."""
        return self.values.dtype.isnative

    @property
    def row_count(self) -> int:
        """The length of the first axis; a scalar is a row."""
        return len(self.values) if self.values.ndim > 0 else 1

    @property
    def fits_at_once(self) -> bool:
        """Whether one update may take it as it is.

        What is larger is learned aside and merged, so that Ctrl-C cannot come between the sum and its end.
        """
        return self.values.dtype.isnative and self.values.nbytes < _PIECE_BYTES

    def view(self) -> _core.View:
        """Return the values, for C++."""
        return _core.View(self.values, self.dtype)

    def valid_view(self) -> _core.View | None:
        """Return where the values are not null, for C++."""
        return None if self.valid is None else _core.View(self.valid, "bool")

    def part(self, index: Any) -> Dense:
        """Take what numpy's basic index says, without a copy."""
        return Dense(self.values[index], self.dtype, None if self.valid is None else self.valid[index])

    def rows(self, rows: slice) -> Dense:
        """Take some rows; a scalar is the same for all."""
        return self if self.values.ndim == 0 else self.part(rows)

    def native(self) -> Dense:
        """Return the same values in this machine's byte order, copied if need be."""
        if self.values.dtype.isnative:
            return self
        values = self.values.astype(self.values.dtype.newbyteorder("="))
        return Dense(values, self.dtype, self.valid)


def dense(x: NDArray) -> Dense:
    """Describe a numpy array, masked or not; TypeError for a dtype that is not taken."""
    valid: npt.NDArray[np.bool_] | None = None
    if isinstance(x, np.ma.MaskedArray):
        mask = np.ma.getmask(x)
        x = np.ma.getdata(x)
        if mask is not np.ma.nomask and x.dtype.names is None:
            valid = np.logical_not(mask, out=np.empty(x.shape, np.bool_))
    name = _NAMES.get(x.dtype)
    if name is None:
        if x.dtype.name == "bfloat16":
            return Dense(np.asarray(x).view(np.uint16), "bfloat16", valid)
        name = _NAMES.get(x.dtype.newbyteorder("="))
        if name is None:
            raise TypeError(f"expected numbers or booleans, got an array of dtype {x.dtype}")
    return Dense(x, name, valid)


def is_array(x: object) -> bool:
    """Whether x says itself that it is an array (lists do not)."""
    return isinstance(x, np.ndarray) or any(
        hasattr(x, name) for name in ("__dlpack__", "__array__", "__array_interface__")
    )


def from_array(x: Any) -> Dense:
    """Read an object for which is_array holds: a tensor of any framework, in host memory."""
    if isinstance(x, np.ndarray):
        return dense(x)
    if hasattr(x, "__dlpack__"):
        shared = _from_dlpack(x)
        if shared is not None:
            return shared
    return dense(np.asarray(x))


def _from_dlpack(x: Any) -> Dense | None:
    if getattr(x, "requires_grad", False):
        x = x.detach()
    if not hasattr(x, "__dlpack_device__"):  # a tracer of jax: numpy's attempt gives jax's own error
        return None
    dtype = str(getattr(x, "dtype", ""))
    if any(name in dtype for name in ("string", "variant", "resource")):
        raise TypeError(f"expected numbers or booleans, got a tensor of {dtype}")  # TensorFlow would abort
    try:
        device, _ = x.__dlpack_device__()
        if device not in _DLPACK_HOST:
            raise TypeError(
                f"expected data in host memory, got a {type(x).__module__}.{type(x).__qualname__} "
                f"on DLPack device type {int(device)}: copy it to the CPU first"
            )
        if "bfloat16" in dtype:  # numpy knows no bfloat16
            return Dense(_core.bfloat16_bits(x), "bfloat16")
        return dense(np.from_dlpack(x))
    except (BufferError, RuntimeError) as error:  # what the producer, or numpy, cannot hand over this way
        if hasattr(x, "__array__"):
            return None
        raise TypeError(f"cannot read a {type(x).__module__}.{type(x).__qualname__}: {error}") from error


def from_numbers(x: Any) -> Dense:
    """Numbers, alone or in nested lists."""
    return dense(np.asarray(x))


def companion(x: Any, what: str) -> Dense | None:
    """Read a `weights` or `where` argument, which has no nulls."""
    if x is None:
        return None
    array = from_array(x) if is_array(x) else from_numbers(x)
    if array.valid is not None and not array.valid.all():
        raise ValueError(f"{what} must not have masked elements")
    return array.native()


def native_pieces(array: Dense, axis: Sequence[int]) -> Iterator[tuple[Any, Dense]]:
    """Copy a byte-swapped array in this machine's order, in pieces of a few MB, each with its index.

    Cut along a reduced axis: `axis` names the kept ones.
    """
    if array.is_native:
        yield ..., array
        return
    shape = array.values.shape
    kept = _core.kept_axes(axis, len(shape))
    reduced = [i for i in range(len(shape)) if i not in kept]
    if array.values.nbytes <= _PIECE_BYTES or not reduced:
        yield ..., array.native()
        return
    along = max(reduced, key=shape.__getitem__)
    step = max(1, _PIECE_BYTES * shape[along] // array.values.nbytes)
    for first in range(0, shape[along], step):
        index = (slice(None),) * along + (slice(first, first + step),)
        yield index, array.part(index).native()
