"""What several test files need: the vectors, bit patterns, and one array in many layouts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import exactnorm as en
import ml_dtypes
import numpy as np
import numpy.typing as npt

import reference as ref

ROOT = Path(__file__).resolve().parents[2]
NDArray = npt.NDArray[Any]
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in ref.DTYPES
}
POLICIES = ("propagate", "omit", "raise")


@functools.cache
def vectors(file: str) -> list[dict[str, Any]]:
    """The cases of a file in vectors/."""
    cases: list[dict[str, Any]] = json.loads((ROOT / "vectors" / file).read_text(encoding="utf-8"))
    assert cases
    return cases


def from_hex(dtype: str, bits: list[str], shape: tuple[int, ...] | None = None) -> NDArray:
    """A numpy array of these bit patterns."""
    flat = np.array([int(b, 16) for b in bits], f"uint{ref.width(dtype)}").view(DTYPES[dtype])
    return flat if shape is None else flat.reshape(shape)


def array_of(case: dict[str, Any] | None) -> NDArray | None:
    """The array of a case."""
    return None if case is None else from_hex(case["dtype"], case["bits"], tuple(case["shape"]))


def assert_same_bits(actual: NDArray, expected: NDArray) -> None:
    """Equal dtype, shape and bits; a NaN equals any NaN."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    unsigned = f"uint{8 * actual.dtype.itemsize}"
    a, b = (np.ascontiguousarray(x).reshape(-1) for x in (actual, expected))
    same = a.view(unsigned) == b.view(unsigned)
    if actual.dtype.kind not in "biu":
        same |= np.isnan(a) & np.isnan(b)
    assert same.all(), (a[~same][:5], b[~same][:5])


def finite_values(dtype: str, shape: tuple[int, ...], seed: int) -> NDArray:
    """Random bit patterns of every exponent, without NaN and infinity: the hardest data."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (*shape, DTYPES[dtype].itemsize), dtype=np.uint8).view(DTYPES[dtype])[..., 0]
    if dtype == "bool":
        return x.view(np.uint8) > 127
    if dtype in ref.FLOATS:
        with np.errstate(invalid="ignore"):  # ml_dtypes minds signalling NaNs
            x = np.where(np.isfinite(x), x, np.ones((), x.dtype))
    return x


def oracle(x: NDArray, axis: Any = -1, **options: Any) -> ref.Moments:
    """What the reference learns from an array."""
    return ref.Moments.from_data(x, axis, **options)


def assert_equals_oracle(m: en.Moments, expected: ref.Moments) -> None:
    """Same document, and same readings bit for bit."""
    assert m.to_bytes() == ref.to_cbor(expected)
    for dtype in ("float32", "float64"):
        for what in ("mean", "variance", "std"):
            bits = np.array(getattr(expected, what)(dtype), f"uint{ref.width(dtype)}")
            assert_same_bits(getattr(m, what)(dtype), bits.view(dtype).reshape(expected.shape))


def unaligned(x: NDArray) -> NDArray:
    """The same values at an odd address."""
    memory = np.empty(x.nbytes + 1, np.uint8)[1:]
    copy = memory[: x.nbytes].view(x.dtype).reshape(x.shape) if x.size else x
    copy[...] = x
    return copy


def read_only(x: NDArray) -> NDArray:
    copy = x.copy()
    copy.flags.writeable = False
    return copy


def every_second(x: NDArray) -> NDArray:
    """The same values with gaps between them, along every axis."""
    wide = np.zeros([2 * n for n in x.shape], x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def field(x: NDArray) -> NDArray:
    """The same values in a packed record: strides that are no multiple of the element."""
    records = np.zeros(x.shape, np.dtype([("before", "u1"), ("x", x.dtype)]))
    records["x"] = x
    return records["x"]


LAYOUTS: dict[str, Callable[[NDArray], NDArray]] = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "gaps": every_second,
    "packed record": field,
    "unaligned": unaligned,
    "read-only": read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder("S")),
}
