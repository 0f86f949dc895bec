"""Everything that can be handed in: kinds of arrays, streams, tuples, dicts; and what is refused."""

from __future__ import annotations

import array
import datetime as dt
import decimal
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exactnorm as en
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse
from support import NDArray, finite_values

X = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 60.0]])
EXPECTED = en.Moments.from_data(X)


@pytest.mark.parametrize(
    "data",
    [
        X.tolist(),
        tuple(map(tuple, X.tolist())),
        [tuple(row) for row in X.tolist()],
        X.astype(int).tolist(),
        X.astype("f2"),
        X.astype(ml_dtypes.bfloat16),
        X.astype(">f4"),
        X.astype(">i8"),
        np.asmatrix(X),
        X.view(np.recarray),
        np.ma.MaskedArray(X),
        memoryview(X),
        jnp.asarray(X),
        jnp.asarray(X, jnp.bfloat16),
        [row for row in X],  # noqa: C416 - arrays in a list are batches
        iter(X),
        [X[:2], X[2:].tolist()],
        (X, np.zeros(3)),
        (X, np.zeros(3), np.ones(3)),
        (X,),
        [(X[:1], 0), (X[1:], 1)],
        [[X[:1], 0], [X[1:], 1]],
        (row for row in X.tolist()),
        np.broadcast_to(X, (1, 3, 2)),
    ],
    ids=lambda data: type(data).__name__,
)
def test_kinds_of_data(data: Any) -> None:
    is_rows = isinstance(data, Iterator) or (
        isinstance(data, list) and isinstance(data[0], np.ndarray) and data[0].ndim == 1
    )
    if not is_rows:
        assert en.Moments.from_data(data) == EXPECTED
        return
    m = en.Moments(shape=2)
    m.update(data)
    assert m == EXPECTED


@pytest.mark.parametrize(
    "data", [5, 5.0, True, np.float32(5), np.array(5), jnp.asarray(5.0), [5], array.array("d", [5])]
)
def test_single_numbers(data: Any) -> None:
    m = en.Moments.from_data(data)
    assert m.shape == ()
    assert m == en.Moments.from_data([float(data if not isinstance(data, (list, array.array)) else data[0])])


def test_one_dimension_is_one_feature() -> None:
    assert en.Moments.from_data(np.arange(5)).shape == ()
    assert en.Moments.from_data(np.arange(5), axis=-1).shape == (5,)
    assert en.Moments.from_data(np.arange(5), axis=None).shape == ()
    assert en.Moments.from_data(range(5)) == en.Moments.from_data([np.arange(3), np.array([3, 4])])
    assert en.Moments.from_data(float(i) for i in range(10_000)) == en.Moments.from_data(np.arange(10_000.0))


def test_memory_map(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    for mode in ("r", "c", "r+"):
        assert en.Moments.from_data(np.load(tmp_path / "x.npy", mmap_mode=mode)) == EXPECTED


def test_empty_arrays() -> None:
    assert en.Moments.from_data([]) == en.Moments()
    assert en.Moments.from_data(np.empty((0, 3))) == en.Moments(shape=3)
    assert en.Moments.from_data(np.empty((3, 0))) == en.Moments(shape=0)
    m = en.Moments(shape=2)
    m.update(np.empty((0, 2)))
    m.update(iter([]))
    assert m == en.Moments(shape=2)
    with pytest.raises(ValueError, match="no batch"):
        en.Moments.from_data(iter([]))


REFUSED = {
    "object": np.array([1, None]),
    "<U1": np.array(["a"]),
    "|S1": np.array([b"a"]),
    "complex128": np.array([1j]),
    "longdouble|float128": np.array([1], np.longdouble),
    "datetime64": np.array(["2013-01-01"], "datetime64[s]"),
    "timedelta64": np.array([1], "timedelta64[s]"),
    r"\('x', '<f4'\)": np.zeros(2, [("x", "f4")]),
    "float8_e5m2": np.zeros(2, ml_dtypes.float8_e5m2),
    "int4": np.zeros(2, ml_dtypes.int4),
}


@pytest.mark.parametrize("dtype", REFUSED)
def test_refused_dtypes_are_named(dtype: str) -> None:
    x = REFUSED[dtype]
    m = en.Moments.from_data([1.0])
    layer = en.Normalization(axis=None)
    for learn in (en.Moments.from_data, m.update, layer.adapt, layer):
        for data in (x, np.ma.MaskedArray(x) if dtype not in ("float8_e5m2", "int4") else x):
            with pytest.raises(TypeError, match=dtype):
                learn(data)
    with pytest.raises(TypeError, match=f"(?s)column 'b'.*{dtype}"):
        m.update({"a": np.ones(len(x)), "b": x})
    with pytest.raises(TypeError, match=dtype):
        m.update(iter([np.ones(1), x]))
    assert m == en.Moments.from_data([1.0])


@pytest.mark.parametrize(
    "data",
    [
        None,
        "text",
        b"bytes",
        ["a", "b"],
        [None],
        [1.0, None],
        [1j],
        [decimal.Decimal(1)],
        [dt.date(2013, 1, 1)],
        [2**70],
        {1, 2},
        object(),
        len,
        [object()],
        [X, "text"],
        [X, None],
        [("a", 1)],
        {1: [1.0]},
        {"a": "text"},
        {"a": None},
        {"a": {"b": [1.0]}},
        scipy.sparse.csr_matrix(X),
        jnp.asarray([1j]),
    ],
    ids=repr,
)
def test_what_is_no_data(data: Any) -> None:
    m = en.Moments.from_data([1.0])
    before = m.to_bytes()
    for learn in (en.Moments.from_data, m.update, en.Normalization(axis=None).adapt):
        with pytest.raises(TypeError):
            learn(data)
    assert m.to_bytes() == before


def test_data_on_another_device() -> None:
    class OnGpu:
        def __dlpack_device__(self) -> tuple[int, int]:
            return 2, 0

        def __dlpack__(self) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match=r"OnGpu.*device"):
        en.Moments.from_data(OnGpu())


def test_tensors_that_require_grad_are_detached() -> None:
    class Tensor:
        requires_grad = True

        def detach(self) -> NDArray:
            return X

        def __dlpack__(self) -> None:
            raise AssertionError

    assert en.Moments.from_data(Tensor()) == EXPECTED


def test_array_protocols() -> None:
    class WithArray:
        def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray:
            return X

    class WithInterface:
        __array_interface__ = X.__array_interface__

    class Sequence:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, i: int) -> tuple[NDArray, int]:
            return X[i : i + 1], i  # for ever, were it not for the length

    for data in (WithArray(), WithInterface(), Sequence()):
        assert en.Moments.from_data(data) == EXPECTED


def test_arrow_comes_before_array() -> None:
    """An object that offers both has nulls in Arrow alone."""

    class Both:
        def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray:
            raise AssertionError

        def __arrow_c_array__(self, requested_schema: object = None) -> Any:
            return pa.array([1.0, None]).__arrow_c_array__()

    assert en.Moments.from_data(Both()).null_count == 1


def test_old_tables_are_refused() -> None:
    """Without the capsules there is only __array__, where nulls are NaN."""

    class DataFrame:
        def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray:
            return X

    DataFrame.__module__ = "polars.dataframe"
    for data in (DataFrame(), [DataFrame()]):
        with pytest.raises(TypeError, match=r"polars.*nulls.*later"):
            en.Moments.from_data(data)


def test_masked_arrays() -> None:
    x = np.ma.MaskedArray(X, mask=[[0, 1], [0, 0], [1, 0]])
    m = en.Moments.from_data(x)
    assert m.null_count.tolist() == [1, 1]
    assert m.mean().tolist() == [1.5, 40.0]
    np.testing.assert_array_equal(m.mean(), x.mean(axis=0))
    assert en.Moments.from_data(x.astype(">f4")) == m
    assert en.Moments.from_data(x[::-1]) == m
    assert en.Moments.from_data(x.T, axis=0) == m
    assert en.Moments.from_data(x.astype(ml_dtypes.bfloat16)) == m
    assert en.Moments.from_data(np.ma.MaskedArray(X, mask=True)).count.tolist() == [0, 0]
    for hidden in (np.nan, np.inf, 1e300):
        y = x.copy()
        y.data[x.mask] = hidden
        assert en.Moments.from_data(y) == m


@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("axis", [-1, 0, None, (0, 1)])
def test_large_byte_swapped_arrays_are_cut_right(axis: Any, layout: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((700_000, 4)).astype("f4")
    if axis == 0:
        x = x.reshape(4, 700_000).copy()
    if axis == (0, 1):
        x = x[:1000]
    swapped = x.astype(">f4", order=layout)
    mask = rng.random(x.shape) < 0.1
    assert en.Moments.from_data(swapped, axis) == en.Moments.from_data(x, axis)
    masked = np.ma.MaskedArray(swapped, mask)
    assert en.Moments.from_data(masked, axis) == en.Moments.from_data(np.ma.MaskedArray(x, mask), axis)
    where = rng.random(len(x)) < 0.5
    assert en.Moments.from_data(swapped, axis, where=where) == en.Moments.from_data(x, axis, where=where)


def test_dicts() -> None:
    columns = {
        "a": [1, 2, 3],
        "b": np.float32([1.5, np.nan, 2]),
        "c": np.ma.MaskedArray([True, False, True], [0, 0, 1]),
    }
    m = en.Moments.from_data(columns)
    assert m.names == ("a", "b", "c")
    assert m.nan_count.tolist() == [0, 1, 0]
    assert m.null_count.tolist() == [0, 0, 1]
    assert en.Moments.from_data(
        [{"a": 1, "b": 1.5, "c": True}, {"c": [False], "b": [2.0], "a": [2]}]
    ).count.tolist() == [2, 2, 2]
    batches = ({key: value[i : i + 1] for key, value in columns.items()} for i in range(3))
    assert en.Moments.from_data(batches) == m
    mixed = {"a": pa.chunked_array([[1], [2, 3]]), "b": columns["b"], "c": columns["c"]}
    assert en.Moments.from_data(mixed) == m
    wide = en.Moments.from_data(
        {"emb": np.ones((3, 2)), "one": np.ones((3, 1)), "swapped": np.ones(3, ">i2")}
    )
    assert wide.names == ("emb[0]", "emb[1]", "one", "swapped")
    assert en.Moments.from_data({"a": [], "b": []}) == en.Moments(shape=2, names=["a", "b"])
    with pytest.raises(ValueError, match=r"'a'.*'b'"):
        en.Moments.from_data({"a": [1, 2], "b": [1]})
    with pytest.raises(ValueError, match=r"'b'.*'a'"):
        en.Moments.from_data({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(ValueError, match="at least one"):
        en.Moments.from_data({})
    with pytest.raises(ValueError, match=r"column 'a'.*\(1, 1, 1\)"):
        en.Moments.from_data({"a": np.ones((1, 1, 1))})


def test_columns_are_matched_by_name() -> None:
    m = en.Moments.from_data({"a": [1.0], "b": [2.0]})
    m.update({"b": [4.0], "a": [3.0]})
    assert m.mean().tolist() == [2.0, 3.0]
    before = m.to_bytes()
    with pytest.raises(ValueError, match="missing 'b'; unexpected 'c'"):
        m.update({"a": [1.0], "c": [1.0]})
    with pytest.raises(ValueError, match="unexpected 'c', 'd'"):
        m.update([{"a": [1.0], "b": [1.0]}, {"a": [1.0], "b": [1.0], "c": [1.0], "d": [1.0]}])
    assert m.to_bytes() == before
    m.update([[5.0, 6.0]])  # an array goes by position
    assert m.count.tolist() == [3, 3]
    chosen = en.Moments.from_data({"a": [1.0], "b": [2.0]}, names=["b", "a"])
    assert chosen.names == ("b", "a")
    assert chosen.mean().tolist() == [2.0, 1.0]
    lists = en.Moments(shape=3, names=["e[1]", "x", "e[0]"])
    lists.update({"e": np.array([[1.0, 2.0]]), "x": [9.0]})
    assert lists.mean().tolist() == [2.0, 9.0, 1.0]
    unnamed = en.Moments(shape=2)
    unnamed.update({"a": [1.0], "b": [2.0]})
    assert unnamed.names == ("a", "b")


def test_axis_of_tables() -> None:
    table = {"a": [1.0], "b": [2.0]}
    assert (
        en.Moments.from_data(table, axis=-1)
        == en.Moments.from_data(table, axis=1)
        == en.Moments.from_data(table)
    )
    for axis in (0, None, (0, 1)):
        with pytest.raises(ValueError, match="columns"):
            en.Moments.from_data(table, axis=axis)


def test_weights_of_tables() -> None:
    table = pa.table({"a": [1.0, 2.0, None, 4.0], "b": [1, 2, 3, 4]})
    weights = np.array([1.0, 0.0, 2.0, 0.5])
    where = weights > 0
    expected = en.Moments.from_data(table, weights=weights)
    assert expected.null_count.tolist() == [1, 0]
    batches = pa.Table.from_batches(table.to_batches(max_chunksize=1))
    assert en.Moments.from_data(batches, weights=weights) == expected
    assert en.Moments.from_data(batches, where=where) == en.Moments.from_data(table.filter(pa.array(where)))
    assert en.Moments.from_data((batches, None, weights), use_sample_weight=True) == expected
    for length in (3, 5):
        with pytest.raises(ValueError, match=str(length)):
            en.Moments.from_data(batches, weights=np.ones(length))


def test_sample_weights() -> None:
    w = np.array([1.0, 2.0, 0.5])
    expected = en.Moments.from_data(X, weights=w)
    batches = [(X[:2], None, w[:2]), (X[2:], None, w[2:].tolist())]
    assert en.Moments.from_data(iter(batches), use_sample_weight=True) == expected
    assert en.Moments.from_data(iter(batches)) == EXPECTED
    assert en.Moments.from_data((X.astype(">f4"), None, w.astype(">f8")), use_sample_weight=True) == expected
    single = [(row, 0, weight) for row, weight in zip(X, w, strict=True)]
    m = en.Moments(shape=2)
    m.update(single, use_sample_weight=True)
    assert m == expected
    for data in ([(X, 0)], [X], [(X,)], (X, 0), X):
        with pytest.raises((ValueError, TypeError), match=r"sample_weight|batch"):
            en.Moments.from_data(data, use_sample_weight=True)
    with pytest.raises(ValueError, match="not both"):
        en.Moments.from_data((X, 0, w), weights=w, use_sample_weight=True)
    with pytest.raises(ValueError, match="belong to one"):
        en.Moments.from_data(iter([X]), weights=w)
    with pytest.raises(ValueError, match="4 elements"):
        en.Moments.from_data([(X, X, X, X)])


def test_infinite_data_are_refused_before_they_are_read() -> None:
    class Dataset:
        def cardinality(self) -> int:
            return -1

        def __iter__(self) -> Iterator[NDArray]:
            raise AssertionError

    for data in (itertools.repeat(X), itertools.cycle([X]), itertools.count(), Dataset()):
        with pytest.raises(ValueError, match="infinite"):
            en.Moments.from_data(data)
    assert en.Moments.from_data(itertools.repeat(X, 2)) == EXPECTED + EXPECTED


def test_a_failing_stream_changes_nothing() -> None:
    def batches(last: Any) -> Iterator[Any]:
        for i in range(1000):
            yield finite_values("float32", (3, 2), i)
        if isinstance(last, Exception):
            raise last
        yield last

    m = en.Moments.from_data(X)
    before = m.to_bytes()
    for last, error in (
        (KeyError("gone"), KeyError),
        (np.ones((2, 3)), ValueError),
        (np.array(["a"]), TypeError),
    ):
        with pytest.raises(error):
            m.update(batches(last))
        assert m.to_bytes() == before
    m.update(batches(X))
    assert m.count.tolist() == [3006, 3006]


def test_the_caller_may_use_the_object_in_its_own_stream() -> None:
    m = en.Moments.from_data(X)

    def batches() -> Iterator[NDArray]:
        for _ in range(3):
            assert m == EXPECTED
            yield X

    m.update(batches())
    assert m.count.tolist() == [12, 12]
