"""Tables of pyarrow, polars, pandas and duckdb."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import exactnorm as en
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

TABLE = pa.table(
    {
        "a": pa.array([1.5, None, float("nan"), float("inf"), -2.0]),
        "b": pa.array([1, 2, None, 4, 2**62 + 1], pa.int64()),
        "c": pa.array([True, False, None, None, True]),
        "d": pa.array([0.1, 0.2, 0.3, 0.4, None], pa.float32()),
    }
)
NAMES = TABLE.column_names
EXPECTED = en.Moments.from_data(TABLE)


def test_counts_of_each_kind() -> None:
    assert EXPECTED.names == ("a", "b", "c", "d")
    assert EXPECTED.count.tolist() == [2, 4, 3, 4]
    assert EXPECTED.null_count.tolist() == [1, 1, 2, 1]
    assert EXPECTED.nan_count.tolist() == [1, 0, 0, 0]
    assert EXPECTED.posinf_count.tolist() == [1, 0, 0, 0]
    assert EXPECTED.mean(nan_policy="omit", inf_policy="omit")[1] == (7 + 2**62 + 1) / 4


def generator(batches: list[Any]) -> Iterator[Any]:
    yield from batches


def arrow_backed(column: pa.ChunkedArray) -> pd.Series:
    with pd.option_context("future.distinguish_nan_and_na", True):
        return pd.Series(pd.array(column, pd.ArrowDtype(column.type)))


SOURCES = {
    "table": lambda: TABLE,
    "record batch": lambda: TABLE.combine_chunks().to_batches()[0],
    "chunked": lambda: pa.concat_tables([TABLE[:2], TABLE[2:2], TABLE[2:]]),
    "sliced": lambda: pa.concat_tables([TABLE, TABLE])[5:],
    "batches": lambda: TABLE.to_batches(max_chunksize=2),
    "reader": lambda: pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches(max_chunksize=2)),
    "generator": lambda: generator(TABLE.to_batches(max_chunksize=1)),
    "polars": lambda: pl.from_arrow(TABLE),
    "polars chunks": lambda: pl.concat([pl.from_arrow(TABLE[:1]), pl.from_arrow(TABLE[1:])], rechunk=False),
    "duckdb": lambda: duckdb.from_arrow(TABLE),
    "dict of pandas": lambda: {name: arrow_backed(TABLE[name]) for name in NAMES},
    "dict": lambda: {name: TABLE[name] for name in NAMES},
    "dict of chunks": lambda: {
        name: pa.chunked_array([TABLE[name][:i].combine_chunks(), TABLE[name][i:].combine_chunks()])
        for i, name in enumerate(NAMES)
    },
    "dict of polars": lambda: {name: pl.from_arrow(TABLE[name]) for name in NAMES},
    "dict of readers": lambda: {name: _Stream(TABLE[name]) for name in NAMES},
}


class _Stream:
    def __init__(self, x: pa.ChunkedArray) -> None:
        self._x = x

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._x.__arrow_c_stream__()


@pytest.mark.parametrize("source", SOURCES)
def test_sources(source: str) -> None:
    make = SOURCES[source]
    assert en.Moments.from_data(make()) == EXPECTED
    m = en.Moments(shape=4, names=["d", "b", "a", "c"])
    m.update(make())
    assert m.names == ("d", "b", "a", "c")
    assert m.null_count.tolist() == [1, 1, 1, 2]
    layer = en.Normalization(nan_policy="omit", inf_policy="omit")
    layer.adapt(make())
    assert layer.moments == EXPECTED


@pytest.mark.parametrize(
    "column",
    [pa.array([1.0, None, 2.0]), pa.chunked_array([[1.0], [None, 2.0]]), pl.Series([1.0, None, 2.0])],
    ids=lambda column: type(column).__name__,
)
def test_single_arrays_are_one_feature(column: Any) -> None:
    m = en.Moments.from_data(column)
    assert (m.shape, m.names, int(m.count), int(m.null_count)) == ((), None, 2, 1)
    assert en.Moments.from_data(column, axis=None) == m
    with pytest.raises(ValueError, match="one feature"):
        en.Moments.from_data(column, axis=-1)
    flat, wide = en.Normalization(axis=None), en.Normalization()
    flat.adapt(column)
    wide.adapt(column)
    np.testing.assert_array_equal(flat(column), np.float32([-1, np.nan, 1]))
    np.testing.assert_array_equal(wide(column), np.float32([[-1], [np.nan], [1]]))
    assert flat.mean.shape == (1,)
    assert wide.mean.shape == (1, 1)


def test_fixed_size_lists_are_vectors() -> None:
    lists = pa.array([[1.0, 2.0], None, [3.0, None]], pa.list_(pa.float64(), 2))
    m = en.Moments.from_data(pa.table({"emb": lists, "x": [1, 2, 3]}))
    assert m.names == ("emb[0]", "emb[1]", "x")
    assert m.null_count.tolist() == [1, 2, 0]
    assert en.Moments.from_data({"emb": lists, "x": [1, 2, 3]}) == m
    assert en.Moments.from_data(lists).shape == (2,)
    assert en.Moments.from_data(pl.Series(lists, dtype=pl.Array(pl.Float64, 2))) == en.Moments.from_data(
        lists
    )
    layer = en.Normalization()
    layer.adapt(pa.table({"emb": lists, "x": [1, 2, 3]}))
    out = layer({"x": [2], "emb": [[2.0, 2.0]]})
    np.testing.assert_array_equal(out, np.float32([[0, 0, 0]]))


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["a"]),
        pa.array([b"a"]),
        pa.array([1], pa.date32()),
        pa.array([1], pa.timestamp("s")),
        pa.array([1], pa.duration("s")),
        pa.array([1]).cast(pa.decimal128(30, 2)),
        pa.array([[1.0]]),
        pa.array([{"x": 1.0}]),
        pa.array(["a"]).dictionary_encode(),
    ],
    ids=lambda values: str(values.type),
)
def test_other_types_are_refused_by_name(values: pa.Array) -> None:
    table = pa.table({"fine": [1.0], "wrong": values})
    m = en.Moments.from_data({"fine": [1.0]})
    before = m.to_bytes()
    for data in (table, {"fine": [1.0], "wrong": values}, [table]):
        with pytest.raises(TypeError, match="wrong"):
            en.Moments.from_data(data)
        with pytest.raises(TypeError, match="wrong"):
            m.update(data)
    assert m.to_bytes() == before


def test_other_types_of_pandas_are_refused_by_name() -> None:
    columns: dict[str, Any] = {
        "object": pd.Series(["a", 1], dtype=object),
        "str": pd.Series(["a", "b"], dtype="str"),
        "datetime": pd.to_datetime(pd.Series(["2013-01-01", None])),
        "zoned": pd.to_datetime(pd.Series(["2013-01-01", None])).dt.tz_localize("UTC"),
        "timedelta": pd.to_timedelta(pd.Series([1, 2]), unit="s"),
        "complex": pd.Series([1j, 2]),
        "category": pd.Series(["a", "b"], dtype="category"),
        "period": pd.Series(pd.period_range("2013", periods=2)),
        "arrow string": pd.Series(["a", "b"], dtype="string[pyarrow]"),
        "arrow date": pd.Series(pa.array([1, 2], pa.date32()).to_pylist(), dtype=pd.ArrowDtype(pa.date32())),
    }
    for name, series in columns.items():
        with pytest.raises(TypeError, match=f"column '{name}'"):
            en.Moments.from_data(pd.DataFrame({"fine": [1.0, 2.0], name: series}))
        with pytest.raises(TypeError):
            en.Moments.from_data(series)


def test_pandas_keeps_nan_and_na_apart() -> None:
    nan = float("nan")
    frame = pd.DataFrame(
        {
            "numpy": np.array([1.0, nan, 3.0]),
            "single": np.array([1.0, nan, 3.0], "f4"),
            "whole": [1, 2, 3],
            "flag": [True, False, True],
            "nullable": pd.array([1.0, None, 3.0], "Float64"),
            "integer": pd.array([2**62 + 1, None, 3], "Int64"),
            "boolean": pd.array([True, None, False], "boolean"),
            "arrow": pd.array([1.0, None, 3.0], pd.ArrowDtype(pa.float64())),
            "category": pd.Categorical([3, None, 5]),
        },
        index=[30, 10, 20],  # no column
    )
    m = en.Moments.from_data(frame)
    assert m.names == tuple(frame.columns)
    assert m.nan_count.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert m.null_count.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert m.mean(nan_policy="omit").tolist() == [2, 2, 2, 2 / 3, 2, (2**62 + 4) / 2, 0.5, 2, 4]
    for name in frame:
        series = en.Moments.from_data(frame[name])
        assert series.shape == ()
        assert int(series.null_count) == m.null_count[list(frame).index(name)]
        assert int(series.nan_count) == m.nan_count[list(frame).index(name)]
    layer = en.Normalization(nan_policy="omit")
    layer.adapt(frame)
    out = layer(frame[list(reversed(frame.columns))])
    assert out.shape == (3, 9)
    assert np.isnan(out[1]).tolist() == [True, True, False, False, True, True, True, True, True]


def test_pandas_labels() -> None:
    assert en.Moments.from_data(pd.DataFrame(np.ones((2, 3)))).names == ("0", "1", "2")
    with pytest.raises(ValueError, match="'a'"):
        en.Moments.from_data(pd.DataFrame(np.ones((2, 2)), columns=["a", "a"]))
    frame = pd.DataFrame({"x": np.arange(6.0), "y": np.arange(6.0)[::-1]})
    assert en.Moments.from_data(frame[::-2]) == en.Moments.from_data(frame.iloc[[5, 3, 1]])
    assert en.Moments.from_data(pd.Index([1.0, 2.0])) == en.Moments.from_data([1.0, 2.0])


def test_tables_without_rows() -> None:
    for table in (TABLE[:0], pl.from_arrow(TABLE[:0]), pa.table({"a": pa.chunked_array([], pa.int8())})):
        m = en.Moments.from_data(table)
        assert m == en.Moments(shape=len(table.columns), names=m.names)
        with pytest.raises(ValueError, match="nothing to learn"):
            en.Normalization().adapt(table)
    layer = en.Normalization()
    layer.adapt({"a": [1.0, 2.0]})
    assert layer({"a": []}).shape == (0, 1)
    assert layer(pa.table({"a": pa.chunked_array([], pa.float64())})).shape == (0, 1)
    with pytest.raises(ValueError, match="unexpected 'b'"):
        layer({"b": []})


def test_errors_of_a_producer_come_through() -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield TABLE.to_batches()[0]
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(TABLE.schema, batches())
    m = en.Moments.from_data(TABLE)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        m.update(reader)
    assert m == EXPECTED
    used = pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches())
    assert en.Moments.from_data(used) == EXPECTED
    assert en.Moments.from_data(used) == en.Moments(shape=4, names=NAMES)  # as an exhausted iterator


def test_shape_mismatch_names_both_sides() -> None:
    with pytest.raises(ValueError, match="2"):
        en.Moments(shape=3).update({"a": [1.0], "b": [1.0]})
    m = en.Moments.from_data([[1.0, 2.0, 3.0]], names=["a", "b", "c"])
    with pytest.raises(ValueError, match="missing 'c'"):
        m.update({"a": [1.0], "b": [1.0]})
