"""Calls: bit for bit what numpy computes, whatever the layout; in place; of tables; and back."""

from __future__ import annotations

from typing import Any

import exactnorm as en
import hypothesis.extra.numpy as hnp
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import DTYPES, LAYOUTS, NDArray, assert_same_bits, finite_values

import reference as ref


def adapted(x: NDArray, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(x)
    return layer


@pytest.mark.parametrize("axis", [-1, None, 1, (0, 2)])
@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "int8", "uint8", "int16", "uint16", "bool"]
)
def test_bits_of_numpy(dtype: str, axis: Any, target: str) -> None:
    """In float32, with the readings at float32."""
    rng = np.random.default_rng(0)
    x = (100 * rng.standard_normal((6, 5, 7))).astype("int8").astype(DTYPES[dtype])
    x[..., 0] = x[0, 0, 0]
    layer = adapted(x, axis=axis)
    wide = x.astype("float32")
    divisor = np.maximum(np.sqrt(layer.variance), np.float32(1e-7))
    assert_same_bits(layer(x), (wide - layer.mean) / divisor)
    assert_same_bits(layer.inverse(x), layer.mean + wide * divisor)


@pytest.mark.parametrize("dtype", ["float64", "int32", "uint32", "int64", "uint64"])
def test_wide_types_are_computed_in_float64(dtype: str) -> None:
    seconds = (1_700_000_000 + np.arange(1000)).astype(dtype)
    layer = adapted(seconds, axis=None)
    m = layer.moments
    expected = (seconds.astype("float64") - m.mean()) / np.sqrt(m.variance())
    assert_same_bits(layer(seconds), expected.astype("float32"))
    assert len(np.unique(layer(seconds))) == 1000  # float32 seconds would be 128 apart


@pytest.mark.parametrize("out", ref.FLOATS)
def test_output_dtypes(out: str) -> None:
    x = np.random.default_rng(0).standard_normal((100, 3)).astype("float32")
    layer = adapted(x, dtype=out)
    y = layer(x)
    assert y.dtype == DTYPES[out]
    assert layer.mean.dtype == layer.variance.dtype == ("float64" if out == "float64" else "float32")
    divisor = np.sqrt(layer.variance)
    assert_same_bits(y, ((x - layer.mean) / divisor).astype(DTYPES[out]))
    assert en.Normalization(dtype=DTYPES[out]).get_config()["dtype"] == out
    np.testing.assert_allclose(layer.inverse(y).astype("f8"), x, rtol=0.02, atol=0.02)


finite = st.floats(-(2.0**60), 2.0**60, width=32)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=3, max_side=5), elements=finite))
def test_any_array(x: NDArray) -> None:
    layer = adapted(x)
    with np.errstate(all="ignore"):
        divisor = np.maximum(np.sqrt(layer.variance), np.float32(1e-7))
        assert_same_bits(layer(x), (x - layer.mean) / divisor)
        assert_same_bits(layer.inverse(x), layer.mean + x * divisor)


def test_invert() -> None:
    x = finite_values("float32", (50, 3), 1) / np.float32(1e20)
    plain, inverted = adapted(x), adapted(x, invert=True)
    assert inverted.invert
    assert_same_bits(inverted(x), plain.inverse(x))
    assert_same_bits(inverted.inverse(x), plain(x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int16"])
def test_layouts(dtype: str, layout: str, target: str) -> None:
    x = np.random.default_rng(0).integers(-100, 100, (300, 5)).astype(dtype)
    layer = adapted(x)
    expected = layer(x)
    y = LAYOUTS[layout](x)
    assert_same_bits(layer(y), expected)
    if layout not in ("read-only", "byte-swapped"):
        out = LAYOUTS[layout](np.zeros(x.shape, "float32"))
        assert layer(y, out=out) is out
        assert_same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_threads(threads: int) -> None:
    x = np.random.default_rng(0).standard_normal((200_001, 3)).astype("float32")
    layer = adapted(x)
    assert_same_bits(layer(x, threads=threads), layer(x, threads=1))


def test_subnormals_infinities_and_nan() -> None:
    layer = en.Normalization(axis=None, mean=0.0, variance=1.0)
    x = np.array([1e-45, -1e-45, -0.0, np.inf, -np.inf, np.nan, 3.4e38], "float32")
    assert_same_bits(layer(x), x)


def test_in_place() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 3)).astype("float32")
    layer = adapted(x)
    expected = layer(x)
    for view in (
        lambda a: a,
        np.asfortranarray,
        lambda a: a.repeat(2, 0)[::2],
        lambda a: a[::-1].copy()[::-1],
    ):
        y = view(x.copy())
        assert layer(y, out=y) is y
        assert_same_bits(np.ascontiguousarray(y), expected)
    shifted = np.zeros((1001, 3), "float32")
    shifted[:-1] = x
    with pytest.raises(ValueError, match="overlap"):
        layer(shifted[:-1], out=shifted[1:])
    assert_same_bits(shifted[:-1], x)


@pytest.mark.parametrize(
    ("out", "error", "match"),
    [
        (np.empty((4, 3), "float64"), ValueError, r"\(4, 3\).*float32.*float64"),
        (np.empty((3, 4), "float32"), ValueError, r"\(4, 3\).*\(3, 4\)"),
        (np.empty((1, 4, 3), "float32"), ValueError, r"\(4, 3\).*\(1, 4, 3\)"),
        (np.empty((4, 3), ">f4"), ValueError, ">f4"),
        (np.broadcast_to(np.empty(3, "float32"), (4, 3)), ValueError, "read-only"),
        (np.ma.empty((4, 3), "float32"), TypeError, "MaskedArray"),
        ([[0.0] * 3] * 4, TypeError, "list"),
    ],
)
def test_out_that_does_not_fit(out: Any, error: type[Exception], match: str) -> None:
    layer = en.Normalization(mean=0.0, variance=1.0)
    for x in (np.ones((4, 3)), {"a": [1.0] * 4, "b": [2.0] * 4, "c": [3.0] * 4}):
        with pytest.raises(error, match=match):
            layer(x, out=out)


def test_out_that_repeats_elements() -> None:
    repeated = np.lib.stride_tricks.as_strided(np.zeros(3, "float32"), (4, 3), (0, 4))
    with pytest.raises(ValueError, match="out"):
        en.Normalization(mean=0.0, variance=1.0)(np.ones((4, 3)), out=repeated)


def test_kinds_of_arrays() -> None:
    x = np.arange(12.0).reshape(4, 3)
    layer = adapted(x)
    expected = layer(x)
    for data in (
        x.tolist(),
        jnp.asarray(x),
        jnp.asarray(x, jnp.bfloat16),
        x.astype(ml_dtypes.bfloat16),
        list(x),
    ):
        y = layer(data)
        assert type(y) is np.ndarray
        assert_same_bits(y, expected)
    assert layer(np.empty((0, 3))).shape == (0, 3)
    for data in (None, "text", iter([x]), object()):
        with pytest.raises(TypeError, match="expected"):
            layer(data)


def test_ranks() -> None:
    layer = adapted(np.arange(5.0), axis=None)
    assert layer(2.0).shape == (1,)  # the documented exception
    scalar = en.Normalization(axis=None, mean=1.0, variance=4.0)
    assert scalar(3.0).shape == ()
    assert scalar(3.0) == 1
    assert scalar(3.0, out=np.empty((), "float32")).shape == ()
    with pytest.raises(ValueError, match="None"):
        layer(np.ones((2, 2)))
    pictures = adapted(np.arange(24.0).reshape(2, 2, 2, 3))
    assert pictures(np.zeros((7, 5, 1, 3))).shape == (7, 5, 1, 3)


def test_masked_elements_become_nan() -> None:
    x = np.ma.MaskedArray([[1.0, 2.0], [3.0, 6.0]], mask=[[0, 1], [0, 0]])
    layer = adapted(x)
    y = layer(x)
    assert type(y) is np.ndarray
    assert np.isnan(y).tolist() == [[False, True], [False, False]]
    assert y[1].tolist() == [1, 0]
    for dtype in ref.FLOATS:
        assert np.isnan(adapted(x, dtype=dtype)(x).astype("f8")).tolist() == np.ma.getmaskarray(x).tolist()


@pytest.mark.parametrize("out", ref.FLOATS)
def test_tables(out: str) -> None:
    """Each column is computed in the type that its own dtype asks for; a null is NaN."""
    rng = np.random.default_rng(0)
    columns = {
        "small": rng.standard_normal(50).astype("float32"),
        "time": 1_700_000_000_000 + rng.integers(0, 100, 50),
        "flag": rng.integers(0, 2, 50).astype(bool),
    }
    layer = adapted(columns, dtype=out)
    alone = [adapted(column, axis=None, dtype=out)(column) for column in columns.values()]
    expected = np.stack(alone, axis=1)
    assert_same_bits(layer(columns), expected)
    table = pa.table(columns)
    assert_same_bits(layer(table), expected)
    assert_same_bits(layer(pa.Table.from_batches(table.to_batches(max_chunksize=7))), expected)
    assert_same_bits(layer(table.select(["flag", "small", "time"])), expected)
    target = np.empty((50, 3), DTYPES[out])
    assert layer(table, out=target) is target
    assert_same_bits(target, expected)
    masked = {name: pa.array(column, mask=np.arange(50) % 5 == 0) for name, column in columns.items()}
    y = layer(pa.table(masked))
    assert np.isnan(y[::5].astype("f8")).all()
    keep = np.arange(50) % 5 != 0
    assert_same_bits(np.ascontiguousarray(y[keep]), np.ascontiguousarray(expected[keep]))
    back = layer.inverse(pa.table(dict(zip(columns, expected.astype("f8").T, strict=True))))
    np.testing.assert_allclose(back[:, 0].astype("f8"), columns["small"], atol=0.05)


def test_tables_of_an_unadapted_layer() -> None:
    layer = en.Normalization()
    with pytest.warns(RuntimeWarning, match="not adapted"):
        y = layer({"a": [1.0, 2.0], "b": [3, 4]})
    assert y.tolist() == [[1, 3], [2, 4]]
    given = en.Normalization(mean=[1.0, 2.0], variance=4.0, invert=True)
    assert given({"a": [1.0], "b": [3]}).tolist() == [[3, 8]]
    with pytest.raises(ValueError, match="got"):
        given({"a": [1.0]})


@pytest.mark.parametrize("dtype", [">f4", ">i8", ">u2"])
def test_byte_swapped_pieces(dtype: str) -> None:
    x = np.random.default_rng(0).integers(0, 1000, (700_000, 4)).astype(dtype)
    layer = adapted(x)
    assert_same_bits(layer(x), layer(x.astype(x.dtype.newbyteorder("="))))


def test_large_calls_are_cut_right() -> None:
    """More than 8 MB run in pieces along a reduced axis."""
    x = np.random.default_rng(0).standard_normal((3000, 1500)).astype("float32")
    for axis in (0, 1, None):
        layer = adapted(x, axis=axis)
        divisor = np.maximum(np.sqrt(layer.variance), np.float32(1e-7))
        expected = (x - layer.mean) / divisor
        assert_same_bits(layer(x), expected)
        assert_same_bits(np.ascontiguousarray(layer(np.asfortranarray(x))), expected)
        y = x.copy()
        layer(y, out=y)
        assert_same_bits(y, expected)
    memory = np.zeros(x.size + 1_000_000, "float32")
    before = memory.copy()
    with pytest.raises(ValueError, match="overlap"):
        adapted(x, axis=0)(memory[: x.size].reshape(x.shape), out=memory[-x.size :].reshape(x.shape))
    assert_same_bits(memory, before)
