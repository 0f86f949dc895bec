"""Equal to the oracle and to itself, whatever the dtype, order, layout, batches, threads and kernels."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import exactnorm as en
import hypothesis.extra.numpy as hnp
import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import (
    DTYPES,
    LAYOUTS,
    NDArray,
    assert_equals_oracle,
    assert_same_bits,
    finite_values,
    from_hex,
    oracle,
)

import reference as ref

SCALES: dict[str, Any] = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "huge offset": lambda rng, n: 1e15 + rng.integers(-1, 2, n),
    "timestamps": lambda rng, n: 1.7e9 + 1e-3 * rng.standard_normal(n),
    "far apart": lambda rng, n: np.where(np.arange(n) % 2, 1e300, 1e-300),
    "constant": lambda rng, n: np.full(n, 0.1),
    "largest": lambda rng, n: rng.choice([-1, 1], n) * np.finfo(float).max,
    "subnormal": lambda rng, n: rng.integers(-9, 9, n) * 5e-324,
    "zeros of both signs": lambda rng, n: rng.choice([-0.0, 0.0], n),
    "lognormal": lambda rng, n: rng.lognormal(0, 20, n),
    "one value": lambda rng, n: rng.standard_normal(1),
}


@pytest.mark.parametrize("dtype", ref.DTYPES)
def test_every_dtype(dtype: str, target: str) -> None:
    for seed, shape in enumerate([(1, 3), (257, 2), (1000, 1)]):
        x = finite_values(dtype, shape, seed)
        with np.errstate(over="ignore"):
            assert_equals_oracle(en.Moments.from_data(x), oracle(x))


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("dtype", ref.FLOATS)
def test_every_scale(name: str, dtype: str, target: str) -> None:
    with np.errstate(over="ignore", under="ignore"):
        values = SCALES[name](np.random.default_rng(7), 600).astype(DTYPES[dtype])
    x = np.where(np.isfinite(values), values, values.dtype.type(1)).astype(values.dtype)
    m = en.Moments.from_data(x)
    assert_equals_oracle(m, oracle(x, None))
    if name == "constant":
        assert m.variance() == 0


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
        hnp.array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=None,
    )
)
def test_any_array(x: NDArray) -> None:
    expected = oracle(x)
    m = en.Moments.from_data(x)
    assert m.to_bytes() == ref.to_cbor(expected)
    bits = np.array(expected.mean("float32"), "uint32").view("float32").reshape(m.shape)
    if not expected.empty_features():
        assert_same_bits(m.mean("float32"), bits)


def test_float32_readings_do_not_go_through_float64() -> None:
    """The mean lies just above the middle of two float32 numbers, and float64 cannot see it."""
    x = np.array([1.0, 1.0 + 2.0**-23, 2.0**-60, 0.0], "float64")
    exact = Fraction(2.0) + Fraction(2.0**-23) + Fraction(2.0**-60)
    through = np.float32(float(exact / 4))
    m = en.Moments.from_data(x)
    assert m.mean("float32") != through
    assert m.mean("float32") == np.float32(0.5 + 2.0**-24)


@pytest.mark.parametrize("dtype", ref.DTYPES)
def test_layouts(dtype: str, target: str) -> None:
    x = finite_values(dtype, (300, 5), 3)
    expected = en.Moments.from_data(x).to_bytes()
    for name, layout in LAYOUTS.items():
        if name == "byte-swapped" and dtype == "bfloat16":
            continue  # numpy has no such dtype
        y = layout(x)
        assert np.array_equal(y, x)
        assert en.Moments.from_data(y).to_bytes() == expected, name


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_orders_batches_and_threads(dtype: str, threads: int, target: str) -> None:
    rng = np.random.default_rng(threads)
    x = (rng.standard_normal((9000, 3)) * 10.0 ** rng.integers(-3, 5, 3)).astype(dtype)
    expected = en.Moments.from_data(x, threads=1).to_bytes()
    assert en.Moments.from_data(rng.permutation(x), threads=threads).to_bytes() == expected
    for rows in (1, 7, 32, 4096):
        part = x[: 50 * rows]
        whole = en.Moments.from_data(part)
        batches = [part[i : i + rows] for i in range(0, len(part), rows)]
        assert en.Moments.from_data(iter(batches), threads=threads) == whole
        m = en.Moments(shape=3)
        for batch in rng.permutation(len(batches)):
            m.update(batches[batch], threads=threads)
        assert m.to_bytes() == whole.to_bytes()


@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, (0, 1), (0, 2), (2, 1), (0, 1, 2), ()])
def test_axes(axis: Any) -> None:
    x = finite_values("float32", (3, 4, 5), 1)
    expected = oracle(x, axis)
    assert_equals_oracle(en.Moments.from_data(x, axis), expected)
    m = en.Moments(shape=expected.shape)
    m.update(x, axis)
    m.update(np.asfortranarray(x), axis)
    assert m == en.Moments.from_data(x, axis) + en.Moments.from_data(x, axis)


def test_same_digest_from_numpy_arrow_and_dlpack() -> None:
    x = finite_values("float64", (1000, 3), 5)
    x[3] = np.nan
    x[5, 0] = np.inf
    from_numpy = en.Moments.from_data(x)
    table = pa.table({name: x[:, i] for i, name in enumerate("abc")})
    assert en.Moments.from_data(table).digest == from_numpy.digest
    assert en.Moments.from_data(table.to_batches(max_chunksize=7)).digest == from_numpy.digest
    with jax.enable_x64(True):
        assert en.Moments.from_data(jnp.asarray(x)).digest == from_numpy.digest
    assert en.Moments.from_data(_OnlyDLPack(x)).digest == from_numpy.digest
    mask = np.random.default_rng(0).random(x.shape) < 0.1
    masked = en.Moments.from_data(np.ma.MaskedArray(x, mask))
    columns = {name: pa.array(x[:, i], mask=mask[:, i]) for i, name in enumerate("abc")}
    assert en.Moments.from_data(pa.table(columns)).digest == masked.digest
    assert masked.null_count.tolist() == mask.sum(0).tolist()


@pytest.mark.parametrize("dtype", [name for name in ref.DTYPES if name != "bool"])
def test_jax_arrays_of_every_dtype(dtype: str) -> None:
    x = finite_values(dtype, (50, 3), 2)
    with jax.enable_x64(True):
        assert en.Moments.from_data(jnp.asarray(x)) == en.Moments.from_data(x)


class _OnlyDLPack:
    def __init__(self, x: NDArray) -> None:
        self._x = x

    def __dlpack__(self, **options: Any) -> Any:
        return self._x.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self._x.__dlpack_device__()


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40), st.data())
def test_a_plus_b_minus_b(bits: list[int], data: st.DataObject) -> None:
    x = np.array(bits, "uint64").view("float64")
    cut = data.draw(st.integers(0, len(x)))
    a, b = en.Moments.from_data(x[:cut]), en.Moments.from_data(x[cut:])
    whole = en.Moments.from_data(x)
    assert a + b == b + a == whole
    assert a + b - b == a
    assert whole - a == b
    assert (a + b - b).to_bytes() == a.to_bytes()


def test_merge_trees() -> None:
    """10,000 ways to add up the same parts."""
    rng = np.random.default_rng(0)
    x = finite_values("float32", (64, 2), 9)
    parts = [en.Moments.from_data(part) for part in np.array_split(x, 8)]
    expected = en.Moments.from_data(x).digest
    digests = set()
    for _ in range(10_000):
        nodes = [parts[i] for i in rng.permutation(len(parts))]
        while len(nodes) > 1:
            i = rng.integers(len(nodes) - 1)
            nodes[i : i + 2] = [nodes[i] + nodes[i + 1]]
        digests.add(nodes[0].digest)
    assert digests == {expected}


def test_sliding_window() -> None:
    days = [finite_values("float32", (20, 2), seed) for seed in range(12)]
    window = en.Moments(shape=2)
    for i, day in enumerate(days):
        window += en.Moments.from_data(day)
        if i >= 3:
            window -= en.Moments.from_data(days[i - 3])
        expected = np.concatenate(days[max(0, i - 2) : i + 1])
        assert window == en.Moments.from_data(expected)


def test_exact_ties() -> None:
    """Halfway between two float32 numbers: to even."""
    for bits, even in (("3f800000", "3f800000"), ("3f800001", "3f800002")):
        low = from_hex("float32", [bits])[0]
        high = np.nextafter(low, np.float32(2))
        x = np.array([low, high])
        assert_same_bits(en.Moments.from_data(x).mean("float32"), from_hex("float32", [even], ()))


def test_results_beyond_the_format() -> None:
    largest = np.finfo("float64").max
    m = en.Moments.from_data([largest, -largest])
    assert m.mean() == 0
    assert m.variance() == np.inf
    assert m.std() == largest
    least = 5e-324
    m = en.Moments.from_data([least, 3 * least])
    assert m.mean() == 2 * least
    assert m.variance() == 0  # rounded: the exact one is not
    assert m.std() == least
    assert m.mean("float32") == 0


def test_counts_beyond_memory() -> None:
    """2**40 repetitions by doubling; 2**63 - 1 values are the limit."""
    m = en.Moments.from_data([0.1, 0.2, 0.4])
    mean, variance = m.mean(), m.variance()
    for _ in range(40):
        m += m
    assert m.count == 3 * 2**40
    assert (m.mean(), m.variance()) == (mean, variance)
    for _ in range(21):
        m += m
    with pytest.raises(ValueError, match=r"2\^63|2⁶³|9223372036854775807"):
        m += m
    assert m.count == 3 * 2**61
