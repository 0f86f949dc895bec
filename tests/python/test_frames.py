"""Frames in, and the same kind of frame out: what is normalized, what stays, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import exactnorm as en
import ml_dtypes
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support import assert_same_bits

NAN = float("nan")
TABLE = pa.table(
    {
        "id": ["u", "v", "w", None],
        "a": pa.array([1.5, None, NAN, -2.0]),
        "day": pa.array([1, 2, None, 4], pa.date32()),
        "emb": pa.array([[1.0, 2.0], None, [3.0, None], [5.0, 7.0]], pa.list_(pa.float64(), 2)),
        "n": pa.array([1, 2, None, 2**40], pa.int64()),
    },
    metadata={"made": "by hand"},
)
LEARNED = ["a", "emb", "n"]


def layer_for(columns: list[str] = LEARNED, **options: Any) -> en.Normalization:
    layer = en.Normalization(nan_policy="omit", **options)
    layer.adapt(TABLE.select(columns))
    return layer


def expected(inverse: bool, dtype: str) -> pa.Table:
    """TABLE, with what the layer makes of an array, and the nulls put where they were by hand."""
    layer = layer_for(dtype=dtype)
    x = np.array([[1.5, 1, 2, 1], [NAN, NAN, NAN, 2], [NAN, 3, NAN, NAN], [-2, 5, 7, 2**40]])
    z = layer.inverse(x) if inverse else layer(x)
    number = pa.from_numpy_dtype(z.dtype)
    columns = {
        "a": pa.array([z[0, 0], None, NAN, z[3, 0]], number),
        "emb": pa.array([z[0, 1:3], None, [z[2, 1], None], z[3, 1:3]], pa.list_(number, 2)),
        "n": pa.array([z[0, 3], z[1, 3], None, z[3, 3]], number),
    }
    return pa.table({name: columns.get(name, TABLE[name]) for name in TABLE.column_names})


KINDS: dict[str, Callable[[], Any]] = {
    "table": lambda: TABLE,
    "chunks": lambda: pa.concat_tables([TABLE[:1], TABLE[1:1], TABLE[1:]]),
    "slice": lambda: pa.concat_tables([TABLE, TABLE]).combine_chunks()[4:],
    "record batch": lambda: TABLE.to_batches()[0],
    "reader": lambda: pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches(max_chunksize=3)),
    "polars": lambda: pl.from_arrow(TABLE),
    "polars chunks": lambda: pl.concat([pl.from_arrow(TABLE)[:3], pl.from_arrow(TABLE)[3:]], rechunk=False),
    "lazy": lambda: pl.from_arrow(TABLE).lazy(),
    "duckdb": lambda: duckdb.from_arrow(TABLE),
    "pandas": lambda: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
}


def to_arrow(frame: Any) -> pa.Table:
    if isinstance(frame, pd.DataFrame):  # whose own way takes NaN for null
        return pa.table({name: frame[name].array.__arrow_array__() for name in frame})
    return pa.table(frame.collect() if isinstance(frame, pl.LazyFrame) else frame)


def same_type(a: pa.DataType, b: pa.DataType) -> bool:
    """Whether types are equal but for the size of strings' offsets and the name of a list's items."""
    if pa.types.is_fixed_size_list(a):
        return pa.types.is_fixed_size_list(b) and (a.list_size, a.value_type) == (b.list_size, b.value_type)
    return a == b or (pa.types.is_string(a) and str(b) in ("large_string", "string_view"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inverse", [False, True], ids=["normalize", "inverse"])
def test_the_same_kind_comes_back(kind: str, dtype: str, inverse: bool) -> None:
    frame = KINDS[kind]()
    result = layer_for(dtype=dtype).transform_frame(frame, inverse=inverse)
    assert type(result) is type(frame)
    got, wanted = to_arrow(result), expected(inverse, dtype)
    assert got.column_names == TABLE.column_names
    assert repr(got.to_pydict()) == repr(wanted.to_pydict())  # == would not find NaN equal
    assert all(map(same_type, wanted.schema.types, got.schema.types))
    if kind != "reader":
        assert repr(to_arrow(frame).to_pydict()) == repr(TABLE.to_pydict())  # as it was


@pytest.mark.parametrize("kind", KINDS)
def test_some_columns(kind: str) -> None:
    wanted = expected(inverse=False, dtype="float32")
    for columns in (["emb"], ["n", "a"], ("a", "n", "emb"), iter(["n"]), []):
        chosen = list(columns)
        got = to_arrow(layer_for().transform_frame(KINDS[kind](), columns=iter(chosen)))
        for name in TABLE.column_names:
            column = wanted[name] if name in chosen else TABLE[name]
            assert repr(got[name].to_pylist()) == repr(column.to_pylist())


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows(kind: str) -> None:
    frame = KINDS[kind]()
    if kind == "reader":
        frame = pa.RecordBatchReader.from_batches(TABLE.schema, [])
    elif kind == "duckdb":
        frame = frame.limit(0)
    else:
        frame = frame[:0]
    got = to_arrow(layer_for().transform_frame(frame))
    assert got.num_rows == 0
    assert all(map(same_type, expected(inverse=False, dtype="float32").schema.types, got.schema.types))


def test_a_subset_of_many_features_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exactnorm._frames._SCRATCH_BYTES", 4000)
    x = np.random.default_rng(0).normal(3, 2, (1001, 7)).astype("float32")
    frame = {f"x{i}": x[:, i].astype("float64" if i % 2 else "float32") for i in range(7)}
    layer = en.Normalization()
    layer.adapt(frame)
    whole, part = layer.transform_frame(frame), layer.transform_frame(frame, ["x5", "x2"])
    assert list(part) == list(frame)
    for i in range(7):
        assert_same_bits(whole[f"x{i}"], layer(frame)[:, i])
        assert_same_bits(part[f"x{i}"], whole[f"x{i}"] if i in (2, 5) else frame[f"x{i}"])


# Which columns


def test_columns_of_a_layer_without_names() -> None:
    layer = en.Normalization()
    layer.adapt(np.array([[0.0, 10.0], [2.0, 26.0]]))
    frame = pl.DataFrame({"s": ["x"], "p": [2], "b": [True], "q": [18.0]})
    assert layer.transform_frame(frame).rows() == [("x", 1, True, 0)]
    assert layer.transform_frame(frame, ["q", "p"]).rows() == [("x", -2, True, 17)]
    with pytest.raises(ValueError, match=r"2 features.*numeric columns have 3: 'p', 'q', 'r'.*columns="):
        layer.transform_frame(frame.with_columns(r=pl.lit(1.0)))
    with pytest.raises(ValueError, match=r"2 features.*columns have 1: 'p'"):
        layer.transform_frame(frame, ["p"])
    with pytest.raises(ValueError, match="no column 'zz'; it has 's', 'p', 'b', 'q'"):
        layer.transform_frame(frame, ["p", "zz"])
    with pytest.raises(ValueError, match="numeric columns to normalize, got none"):
        layer.transform_frame(frame.select("s"))
    with pytest.raises(ValueError, match="columns to normalize, got none"):
        layer.transform_frame(frame, [])
    with pytest.raises(TypeError, match=r"'s'.*not a number"):
        layer.transform_frame(frame, ["s", "p"])
    vectors = pa.table({"v": pa.array([[2.0, 18.0]], pa.list_(pa.float32(), 2)), "w": ["x"]})
    assert layer.transform_frame(vectors).to_pylist() == [{"v": [1, 0], "w": "x"}]
    flags = layer.transform_frame(frame, ["b", "q"])  # learned as numbers, if asked for
    assert flags.rows() == [("x", 2, 0, 0)]


def test_errors_name_the_columns() -> None:
    layer = layer_for(["a", "n"])
    frame = TABLE.to_pandas()
    with pytest.raises(ValueError, match="no column 'n', which the layer has learned"):
        layer.transform_frame(frame.drop(columns="n"))
    with pytest.raises(ValueError, match="no column 'n', which the layer has learned"):
        layer.transform_frame(frame.drop(columns="n"), ["n"])
    with pytest.raises(ValueError, match="not learned 'day', 'zz'; it has learned 'a', 'n'"):
        layer.transform_frame(frame, ["day", "a", "zz"])
    with pytest.raises(ValueError, match="once, got more of 'a'"):
        layer.transform_frame(frame, ["a", "n", "a"])
    with pytest.raises(TypeError, match="sequence of columns, got 'a'"):
        layer.transform_frame(frame, "a")
    with pytest.raises(TypeError, match="'a'"):
        layer.transform_frame(frame.assign(a="text"))
    with pytest.raises(TypeError, match=r"a.*decimal"):
        layer.transform_frame(duckdb.sql("SELECT 1.5 AS a, 2 AS n"))
    wide = pa.table({"emb": pa.array([[1.0, 2.0, 3.0]], pa.list_(pa.float64(), 3))})
    with pytest.raises(ValueError, match=r"'emb' has 3 features.*'emb\[0\]', 'emb\[1\]'"):
        layer_for(["emb"]).transform_frame(wide)
    with pytest.raises(ValueError, match=r"'emb' has 1 features.*'emb\[0\]', 'emb\[1\]'"):
        layer_for(["emb"]).transform_frame({"emb": [1.0]})


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (3, "got builtins.int"),
        (np.ones((2, 2)), "numpy.ndarray; call the layer itself"),
        (pl.Series([1.0]), "Series; call the layer itself"),
        (TABLE["a"], "pyarrow.lib.ChunkedArray; call the layer itself"),
        ([TABLE], "builtins.list"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_frame(thing: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"expected a frame of .*{message}"):
        layer_for().transform_frame(thing)


def test_other_producers_of_arrow_are_told_what_to_do() -> None:
    class Producer:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return TABLE.__arrow_c_stream__(requested_schema)

    with pytest.raises(TypeError, match=r"Producer; pyarrow.table makes one"):
        layer_for().transform_frame(Producer())


def test_layers_of_other_kinds() -> None:
    frame = {"a": [0.0, 4.0], "b": [1.0, 3.0]}
    one = en.Normalization(axis=None)
    one.adapt([1.0, 3.0])  # of rank 1
    assert {k: v.tolist() for k, v in one.transform_frame(frame).items()} == {"a": [-2, 2], "b": [-1, 1]}
    one = en.Normalization(axis=None)
    one.adapt(frame)
    np.testing.assert_array_equal(np.column_stack(list(one.transform_frame(frame).values())), one(frame))
    given = en.Normalization(mean=1.0, variance=4.0)
    assert given.transform_frame(frame, ["b"])["b"].tolist() == [0, 1]
    assert given.mean.shape == (1, 1)
    back = en.Normalization(mean=1.0, variance=4.0, invert=True)
    assert back.transform_frame(frame, ["b"])["b"].tolist() == [3, 7]
    assert back.transform_frame(frame, ["b"], inverse=True)["b"].tolist() == [0, 1]
    with pytest.warns(RuntimeWarning, match="adapt"):
        same = en.Normalization().transform_frame(frame)
    assert_same_bits(same["a"], np.float32([0, 4]))
    elements = en.Normalization()
    with pytest.warns(RuntimeWarning, match="axis=None"):
        elements.adapt([1.0, 3.0])  # each index a feature
    with pytest.raises(ValueError, match=r"\(2,\)"):
        elements.transform_frame(frame)


def test_dtypes_that_frames_have() -> None:
    half, brain = layer_for(["a"], dtype="float16"), layer_for(["a"], dtype="bfloat16")
    frame = TABLE.select(["a"])
    assert half.transform_frame(frame).schema.field("a").type == pa.float16()
    assert half.transform_frame(pl.from_arrow(frame)).schema["a"] == pl.Float16
    assert half.transform_frame(pl.from_arrow(frame).lazy()).collect().schema["a"] == pl.Float16
    assert half.transform_frame(frame.to_pandas())["a"].dtype == np.float16
    assert brain.transform_frame({"a": [1.0]})["a"].dtype == ml_dtypes.bfloat16
    with pytest.raises(ValueError, match="no nullable float16 for column 'a'"):
        half.transform_frame(pd.DataFrame({"a": pd.array([1.0], "Float64")}))
    with pytest.raises(ValueError, match=r"float16.*float32"):
        half.transform_frame(duckdb.from_arrow(frame))
    for made in (frame, pl.from_arrow(frame), frame.to_pandas(), duckdb.from_arrow(frame)):
        with pytest.raises(ValueError, match=r"bfloat16.*float32"):
            brain.transform_frame(made)
    with pytest.raises(ValueError, match=r"polars.*bfloat16"):
        brain.transform_frame({"a": pl.Series([1.0])})


# Each library


def test_arrow_schemas_stay() -> None:
    fields = [
        pa.field("k", pa.string(), nullable=False, metadata={"unit": "none"}),
        pa.field("x", pa.int8(), nullable=False, metadata={"unit": "m"}),
    ]
    table = pa.table([["u", "v"], [1, 3]], pa.schema(fields, {"made": "by hand"}))
    layer = en.Normalization()
    layer.adapt(table.select(["x"]))
    result = layer.transform_frame(table)
    assert result.schema.metadata == table.schema.metadata
    assert result.schema.field("k").equals(fields[0], check_metadata=True)
    assert result.schema.field("x").equals(fields[1].with_type(pa.float32()), check_metadata=True)
    assert result["k"].chunk(0).buffers()[2].address == table["k"].chunk(0).buffers()[2].address


def test_dictionaries_of_numbers() -> None:
    column = pa.chunked_array(
        [pa.array([1.0, None]).dictionary_encode(), pa.array([3.0]).dictionary_encode()]
    )
    table = pa.table({"x": column})
    layer = en.Normalization()
    layer.adapt(table)
    assert layer.transform_frame(table).to_pydict() == {"x": [-1, None, 1]}


def test_a_reader_is_read_when_its_result_is() -> None:
    read = []

    def batches() -> Any:
        for batch in TABLE.to_batches(max_chunksize=1):
            read.append(batch)
            yield batch

    layer = layer_for()
    result = layer.transform_frame(pa.RecordBatchReader.from_batches(TABLE.schema, batches()))
    assert not read
    layer.adapt(pa.table({name: TABLE[name][:1] for name in LEARNED}))  # too late to be seen
    first = result.read_next_batch()
    assert len(read) == 1
    assert first["a"].to_pylist() == expected(inverse=False, dtype="float32")["a"][:1].to_pylist()
    with pytest.raises(ValueError, match="'n'"):  # at once
        layer_for().transform_frame(pa.RecordBatchReader.from_batches(TABLE.drop("n").schema, []))


def test_lazy_frames_stay_lazy() -> None:
    calls = []
    source = pl.from_arrow(TABLE).lazy().map_batches(lambda frame: calls.append(1) or frame)
    layer = layer_for()
    query = layer.transform_frame(source.with_row_index("row"))
    assert query.collect_schema()["a"] == pl.Float32
    assert not calls
    layer.adapt(TABLE.slice(0, 1).select(LEARNED))  # too late to be seen
    wanted = pl.from_arrow(expected(inverse=False, dtype="float32")).with_row_index("row")
    assert query.collect().equals(wanted)
    assert query.collect(engine="streaming").equals(wanted)
    # What is asked of the result means the result, wherever polars would like to do it.
    assert query.filter(pl.col("n") < 0).select("row").collect()["row"].to_list() == [0, 1]
    assert query.filter(pl.col("a") == 1).select("id", "row").collect().rows() == [("u", 0)]
    assert query.tail(1).select("n").collect().equals(wanted.tail(1).select("n"))
    with pytest.raises(ValueError, match="'n'"):
        layer_for().transform_frame(source.drop("n"))


def test_lazy_frames_are_learned() -> None:
    frame = pl.from_arrow(TABLE.select(LEARNED))
    assert en.Moments.from_data(frame.lazy()) == en.Moments.from_data(TABLE.select(LEARNED))
    layer = layer_for()
    np.testing.assert_array_equal(layer(frame.lazy()), layer(frame))
    long = pl.DataFrame({"x": np.arange(300_000.0)})
    m = en.Moments(shape=1, names=["x"])
    m.update(long.lazy().with_columns(pl.col("x") * 2))
    assert m == en.Moments.from_data({"x": np.arange(300_000.0) * 2})
    calls = []
    bad = pl.DataFrame({"s": ["x"]}).lazy().map_batches(lambda frame: calls.append(len(frame)) or frame)
    with pytest.raises(TypeError, match="column 's'"):
        en.Moments.from_data(bad)
    assert sum(calls) == 0  # noticed by the schema


def test_duckdb_relations_keep_connection_and_types() -> None:
    connection = duckdb.connect()
    connection.execute("CREATE TABLE exactnorm_unused_view AS SELECT 5 AS mine")
    connection.execute("CREATE TABLE people AS SELECT * FROM (VALUES ('u', 'one'), ('v', 'two')) t(id, name)")
    relation = connection.sql(
        """SELECT 'u' AS id, 1.5::DOUBLE AS "a ""b", 'x'::ENUM('x', 'y') AS e,
        170141183460469231731687303715884105727::HUGEINT AS h, '101'::BIT AS bits,
        '00000000-0000-0000-0000-000000000001'::UUID AS uuid, 2::UTINYINT AS n"""
    )
    layer = en.Normalization(mean=[1.0, 1.0], variance=[0.25, 4.0])
    result = layer.transform_frame(relation, ['a "b', "n"])
    types = [str(t) for t in relation.types]
    assert [str(t) for t in result.types] == [types[0], "FLOAT", *types[2:6], "FLOAT"]
    (before,), (after,) = relation.fetchall(), result.fetchall()
    assert after == (*before[:1], 1.0, *before[2:6], 0.5)
    joined = connection.sql("SELECT name, n FROM result JOIN people USING (id)").fetchall()
    assert joined == [("one", 0.5)]
    assert connection.sql("FROM exactnorm_unused_view").fetchall() == [(5,)]
    with pytest.raises(ValueError, match="distinct column names, got a, a"):
        layer.transform_frame(connection.sql("SELECT 1 AS a, 2 AS a"))


def test_duckdb_runs_the_query_once() -> None:
    connection = duckdb.connect()
    layer = en.Normalization(mean=0.0, variance=1.0)
    result = layer.transform_frame(connection.sql("SELECT i, random() AS r FROM range(100) t(i)"), ["r"])
    assert result.fetchall() == result.fetchall()


def test_pandas_dtypes() -> None:
    frame = pd.DataFrame(
        {
            "plain": [1.0, NAN, 3.0],
            "whole": [1, 2, 3],
            "nullable": pd.array([1.0, None, 3.0], "Float64"),
            "integer": pd.array([2**62 + 1, None, 3], "Int64"),
            "boolean": pd.array([True, None, False], "boolean"),
            "arrow": pd.array([1, None, 3], pd.ArrowDtype(pa.int16())),
            "numbers": pd.Categorical([3, None, 5]),
            "sparse": pd.arrays.SparseArray([0.0, 0.0, 3.0]),
        }
    )
    layer = en.Normalization(nan_policy="omit")
    layer.adapt(frame)
    others = {
        "text": ["x", None, "z"],
        "kind": pd.Categorical(["p", "q", None]),
        "when": pd.Timestamp("2013"),
    }
    frame = frame.assign(**others)
    result = layer.transform_frame(frame)
    assert list(result) == list(frame)
    assert [str(dtype) for dtype in result.dtypes[:8]] == [
        *("float32", "float32", "Float32", "Float32", "Float32", "float[pyarrow]", "Float32", "float32")
    ]
    pd.testing.assert_frame_equal(result[list(others)], frame[list(others)])
    assert (result.isna().to_numpy() == frame.isna().to_numpy()).all()
    values = layer(frame.iloc[:, :8])
    for i, name in enumerate(frame.columns[:8]):
        column = result[name].to_numpy(dtype="float32", na_value=np.float32("nan"))
        assert_same_bits(column, np.ascontiguousarray(values[:, i]))
    again = layer.transform_frame(result, inverse=True)
    assert again["nullable"].tolist()[::2] == [1, 3]
    assert again["nullable"][1] is pd.NA


def test_pandas_labels_and_index() -> None:
    layer = en.Normalization()
    columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")], names=["one", "two"])
    index = pd.MultiIndex.from_tuples([("p", 1), ("p", 1), ("q", 2)], names=["k", "l"])
    frame = pd.DataFrame(np.arange(9.0).reshape(3, 3), index=index, columns=columns)
    frame.attrs["source"] = "by hand"
    layer.adapt(frame)
    result = layer.transform_frame(frame)
    pd.testing.assert_index_equal(result.columns, columns)
    pd.testing.assert_index_equal(result.index, index)
    assert result.attrs == {"source": "by hand"}
    np.testing.assert_array_equal(result.to_numpy(), layer(frame))
    part = layer.transform_frame(frame, [("b", "x")])
    assert part.dtypes.tolist() == [np.float64, np.float64, np.float32]
    numbered = pd.DataFrame(np.arange(4.0).reshape(2, 2), index=[7, 7])
    layer = en.Normalization()
    layer.adapt(numbered)
    assert layer.transform_frame(numbered, [1]).values.tolist() == [[0, -1], [2, 1]]
    twice = pd.DataFrame(np.arange(9.0).reshape(3, 3), columns=["a", "b", "b"])
    layer = en.Normalization()
    layer.adapt({"a": [0.0, 6.0]})
    assert layer.transform_frame(twice).iloc[:, 0].tolist() == [-1, 0, 1]
    layer = en.Normalization()
    layer.adapt({"b": [0.0, 6.0]})
    with pytest.raises(ValueError, match="more than one column 'b'"):
        layer.transform_frame(twice)


def test_pandas_subclasses_and_copies() -> None:
    class Mine(pd.DataFrame):
        @property
        def _constructor(self) -> type[Mine]:
            return Mine

    frame = Mine({"x": [1.0, NAN, 3.0], "big": np.arange(3.0)})
    m = en.Moments.from_data(frame)
    assert (m.nan_count.tolist(), m.null_count.tolist()) == ([1, 0], [0, 0])  # not Arrow's nulls
    layer = en.Normalization(mean=[0.0], variance=[1.0])
    result = layer.transform_frame(frame, ["x"])
    assert type(result) is Mine
    assert np.shares_memory(result["big"].to_numpy(), frame["big"].to_numpy())
    result.loc[0, "big"] = 9.0
    result.loc[0, "x"] = 9.0
    assert frame["big"].tolist() == [0, 1, 2]
    assert frame["x"].tolist()[::2] == [1, 3]


def test_sparse_columns_are_learned() -> None:
    dense = pd.DataFrame({"x": [0.0, NAN, 3.0], "n": [0, 0, 5]})
    sparse = dense.astype({"x": pd.SparseDtype(float, 0.0), "n": pd.SparseDtype(int)})
    assert en.Moments.from_data(sparse) == en.Moments.from_data(dense)
    assert en.Moments.from_data(sparse["x"]) == en.Moments.from_data(dense["x"])


def test_dicts() -> None:
    layer = en.Normalization(nan_policy="omit")
    layer.adapt({"a": [1.0, 3.0], "m": [1.0, 3.0], "v": [[0.0, 0.0], [2.0, 4.0]]})
    other = object()
    frame = {
        "o": other,
        "v": np.array([[1, 2], [2, 4]], "int16"),
        "a": [1, 2],
        "m": np.ma.MaskedArray([1.0, 3.0], mask=[False, True]),
        3: "a key that is no name",
    }
    result = layer.transform_frame(frame)
    assert list(result) == list(frame)
    assert result["o"] is other
    assert_same_bits(result["v"], np.float32([[0, 0], [1, 1]]))
    assert_same_bits(result["a"], np.float32([-1, 0]))
    assert isinstance(result["m"], np.ma.MaskedArray)
    assert result["m"].tolist() == [-1, None]
    assert layer.transform_frame({"a": 2.0}, ["a"])["a"].shape == ()
    assert layer.transform_frame({"a": np.float64([[1], [3]])}, ["a"])["a"].tolist() == [[-1], [1]]
    with pytest.raises(ValueError, match="'m' has more rows than 'a'"):
        layer.transform_frame({"a": [1.0], "m": [1.0, 2.0]}, ["a", "m"])
    with pytest.raises(ValueError, match="'a' has more rows than 'm'"):
        layer.transform_frame({"m": [1.0], "a": [1.0, 2.0]}, ["a", "m"])
    unnamed = en.Normalization(mean=[1.0, 0.0, 0.0], variance=[1.0, 1.0, 1.0])
    result = unnamed.transform_frame(
        {"t": ["x"], "a": [3], "b": [True], "v": np.ones((1, 2)), "r": [[1], []]}
    )
    assert [result["a"].tolist(), result["v"].tolist()] == [[2], [[1, 1]]]
    assert (result["t"], result["b"], result["r"]) == (["x"], [True], [[1], []])


def test_dicts_of_columns() -> None:
    layer = en.Normalization(mean=1.0, variance=4.0)
    series = pd.Series([3, None], index=[8, 9], dtype="Int8", name="other")
    vectors = pl.Series([[1, 3], None], dtype=pl.Array(pl.Int8, 2))
    result = layer.transform_frame({"p": series, "q": pa.array([3, None]), "r": pl.Series("r", [3, None])})
    pd.testing.assert_series_equal(
        result["p"], pd.Series([1, None], index=[8, 9], dtype="Float32", name="other")
    )
    assert result["q"].equals(pa.array([1, None], pa.float32()))
    assert result["r"].equals(pl.Series("r", [1, None], dtype=pl.Float32))
    layer = en.Normalization(mean=1.0, variance=4.0)
    assert layer.transform_frame({"v": vectors})["v"].to_list() == [[0, 1], None]
    index = pd.Index([3.0, 5.0])
    assert en.Normalization(mean=1.0, variance=4.0).transform_frame({"i": index})["i"].tolist() == [1, 2]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_pyarrow_is_not_needed(library: str, tmp_path: Path) -> None:
    """Nor any library that the frame is not of."""
    script = f"""
import sys
for name in {{"pyarrow", "pandas", "polars", "duckdb"}} - {{{library!r}}}:
    sys.modules[name] = None
import numpy as np, exactnorm as en, {library} as lib
frame = lib.DataFrame({{"s": ["x", "y"], "a": [1.0, 3.0]}})
layer = en.Normalization()
layer.adapt(frame[["a"]])
result = layer.transform_frame(frame)
assert type(result) is lib.DataFrame
assert list(result["a"]) == [-1, 1], result
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)  # noqa: S603
    assert done.returncode == 0, done.stderr
