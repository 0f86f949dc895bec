"""Numbers and arrays for the cases to use, and how they are written."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from reference import FLOATS, INF, Array, encode, width

Case = dict[str, Any]
Axis = Sequence[int] | None
Number = float | Fraction
POLICIES = ("propagate", "omit")
LARGEST, LEAST = 1.7976931348623157e308, 5e-324  # of float64


def element(dtype: str, value: Number) -> int:
    """A number as bits, rounded if it must be."""
    if dtype not in FLOATS:
        return int(value) % (1 << width(dtype))
    if isinstance(value, float) and math.isfinite(value):
        return encode(dtype, Fraction(value), negative=math.copysign(1.0, value) < 0)
    return encode(dtype, value if isinstance(value, float) else Fraction(value))


def array(dtype: str, values: Number | Sequence[Any]) -> Array:
    """An array of nested lists of numbers; of rank 0 for a number."""
    if isinstance(values, int | float | Fraction):
        return Array(dtype, (), [element(dtype, values)])
    rows = [array(dtype, v) for v in values]
    return Array(dtype, (len(rows), *(rows[0].shape if rows else ())), [b for row in rows for b in row.bits])


def mask(values: Sequence[Any] | bool) -> Array:
    return array("bool", values)


def dice(name: str) -> random.Random:
    """A generator of its own for every case: a new case changes no other. Only its getrandbits is used."""
    return random.Random(zlib.crc32(name.encode()))  # noqa: S311


def random_array(name: str, dtype: str, shape: Sequence[int], low: int = -4, high: int = 6) -> Array:
    """Any integers; or floats of either sign with 2**low <= |x| < 2**high (exponents that the dtype has)."""
    rng, bits = dice(name), []
    for _ in range(math.prod(shape)):
        if dtype in FLOATS:
            precision, exponent_bits = FLOATS[dtype]
            exponent = low + rng.getrandbits(16) % (high - low) + (1 << (exponent_bits - 1)) - 1
            top = rng.getrandbits(1) << exponent_bits | exponent
            bits.append(top << (precision - 1) | rng.getrandbits(precision - 1))
        else:
            bits.append(rng.getrandbits(1 if dtype == "bool" else width(dtype)))
    return Array(dtype, tuple(shape), bits)


def largest(dtype: str) -> int:
    """The bits of the largest finite number."""
    if dtype in FLOATS:
        return element(dtype, INF) - 1
    return 1 if dtype == "bool" else (1 << (width(dtype) - dtype.startswith("int"))) - 1


def hexes(dtype: str, bits: Sequence[int]) -> list[str]:
    return [f"{b:0{width(dtype) // 4}x}" for b in bits]


def as_json(a: Array) -> Case:
    return {"dtype": a.dtype, "shape": a.shape, "bits": hexes(a.dtype, a.bits)}
