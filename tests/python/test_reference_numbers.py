"""The reference's numbers against numpy, struct, CPython's division and the processor's square root."""

from __future__ import annotations

import math
import struct
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "reference"))

import reference as ref
from reference import INF, NAN, decode, encode

NUMPY = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in ref.DTYPES}


def from_bits(dtype: str, bits: Any) -> np.ndarray[Any, Any]:
    return np.array(bits, f"uint{ref.width(dtype)}").view(NUMPY[dtype])


def floats(bits: list[int], dtype: str = "float64") -> list[float]:
    return [float(v) for v in from_bits(dtype, bits)]


def bit_patterns(dtype: str) -> st.SearchStrategy[int]:
    """Any bits, and often those at the edges of the format."""
    edges = [encode(dtype, v) for v in (Fraction(0), Fraction(1), INF, NAN)]
    near = [(b + d) % (1 << ref.width(dtype)) for b in edges for d in range(-2, 3)]
    near += [b ^ 1 << (ref.width(dtype) - 1) for b in near]
    return st.integers(0, (1 << ref.width(dtype)) - 1) | st.sampled_from(near)


rationals = st.builds(
    lambda n, d, e: Fraction(n, d) * Fraction(2) ** e,
    st.integers(0, 2**80),
    st.integers(1, 2**60) | st.just(1),
    st.integers(-1200, 1100),
)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "uint8", "int16", "uint16"])
def test_decode_and_encode_all_bits_of_short_dtypes(dtype: str) -> None:
    every = range(1 << ref.width(dtype))
    with np.errstate(invalid="ignore"):  # signalling NaN
        values = from_bits(dtype, every).astype(np.float64).tolist()
    for bits, value in zip(every, values, strict=True):
        decoded = decode(dtype, bits)
        assert decoded == value or (math.isnan(value) and ref.is_nan(decoded))
        if dtype in ref.FLOATS and not math.isnan(value):
            assert encode(dtype, decoded, ref.is_negative(dtype, bits)) == bits


@given(st.integers(0, 2**64 - 1))
def test_decode_long_dtypes(bits: int) -> None:
    for dtype, code in {
        "float32": "f",
        "float64": "d",
        "int32": "i",
        "uint32": "I",
        "int64": "q",
        "uint64": "Q",
    }.items():
        size = ref.width(dtype) // 8
        (value,) = struct.unpack("<" + code, bits.to_bytes(8, "little")[:size])
        decoded = decode(dtype, bits % (1 << 8 * size))
        assert decoded == value or (math.isnan(value) and ref.is_nan(decoded))


def test_decode_bool() -> None:
    assert [decode("bool", b) for b in (0, 1, 255)] == [0, 1, 1]


@given(rationals)
def test_encode_float64_as_python_divides_integers(q: Fraction) -> None:
    try:
        expected = q.numerator / q.denominator  # correctly rounded, as CPython documents
    except OverflowError:
        expected = INF
    assert floats([encode("float64", q), encode("float64", -q)]) == [expected, -expected]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@given(bits=bit_patterns("float64"))
def test_encode_float64_values_as_numpy_converts_them(dtype: str, bits: int) -> None:
    with np.errstate(all="ignore"):
        source = from_bits("float64", [bits])
        # numpy goes from float64 to bfloat16 by way of float32, which rounds twice
        source = source.astype("float32").astype("float64") if dtype == "bfloat16" else source
        expected = int(source.astype(NUMPY[dtype]).view(f"uint{ref.width(dtype)}")[0])
    value = decode("float64", ref.as_array(source).bits[0])
    if ref.is_nan(value):
        assert ref.is_nan(decode(dtype, encode(dtype, value)))
    else:
        assert encode(dtype, value, ref.is_negative("float64", bits)) == expected


@pytest.mark.parametrize("dtype", ref.FLOATS)
@given(q=rationals)
def test_roots_and_quotients_are_nearest(dtype: str, q: Fraction) -> None:
    """By the definition: between the middles to the two neighbours, and even on a middle."""
    limit = Fraction(2) ** (1 << (ref.FLOATS[dtype][1] - 1))

    def at(bits: int) -> Fraction:
        value = decode(dtype, bits)
        return value if isinstance(value, Fraction) else limit

    for bits, power in ((encode(dtype, q), 1), (ref.encode_sqrt(dtype, q), 2)):
        low = ((at(bits) + at(bits - 1)) / 2) ** power if bits else Fraction(-1)
        high = ((at(bits) + at(bits + 1)) / 2) ** power
        infinite = decode(dtype, bits) == INF
        assert low < q or (low == q and bits % 2 == 0)
        assert infinite or q < high or (q == high and bits % 2 == 0)


@given(bit_patterns("float64"))
def test_root_as_the_processor_takes_it(bits: int) -> None:
    value = decode("float64", bits & ~(1 << 63))
    root = floats([ref.encode_sqrt("float64", value)])[0]
    assert root == math.sqrt(value) or math.isnan(root) == ref.is_nan(value) is True


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@given(data=st.data())
def test_ieee_operations_as_numpy_does_them(dtype: str, data: st.DataObject) -> None:
    a, b = data.draw(bit_patterns(dtype)), data.draw(bit_patterns(dtype))
    x, y = from_bits(dtype, [a]), from_bits(dtype, [b])
    with np.errstate(all="ignore"):
        pairs = [(ref.add, x + y), (ref.subtract, x - y), (ref.multiply, x * y), (ref.divide, x / y)]
    for operation, expected in pairs:
        result = from_bits(dtype, [operation(dtype, a, b)])
        assert result.tobytes() == expected.tobytes() or (np.isnan(result[0]) and np.isnan(expected[0]))
