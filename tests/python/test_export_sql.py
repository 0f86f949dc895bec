"""The SQL that exactnorm.export writes: what duckdb computes has the bits of the layer."""

from __future__ import annotations

import warnings
from typing import Any

import duckdb
import exactnorm as en
import numpy as np
import pyarrow as pa
import pytest
from exactnorm.export import to_sql
from exactnorm.export._sql import _number
from support import assert_same_bits, finite_values

ODD = 'odd "name", (x)'
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -2.3e-308, 1.7e308, -1.7e308]


def adapted(data: Any, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # data are meant to be hard
        layer.adapt(data)
    return layer


def table() -> pa.Table:
    rng = np.random.default_rng(0)
    size = 400
    wild = finite_values("float64", (size,), seed=1)
    wild[: len(SPECIAL)] = SPECIAL
    return pa.table(
        {
            "id": np.arange(size),
            "usual": rng.normal(1e4, 3, size),
            "wild": wild,
            "tiny": rng.normal(size=size) * 1e-310,
            "constant": np.full(size, 0.1),
            "whole": rng.integers(-(2**62), 2**62, size),
            "less": pa.array(rng.integers(-9, 9, size), pa.int32(), mask=rng.random(size) < 0.2),
            ODD: rng.random(size),
        }
    )


COLUMNS = ["usual", "wild", "tiny", "constant", "whole", "less", ODD]


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("policy", ["epsilon", "unit"])
def test_bits_in_duckdb(policy: Any, invert: bool) -> None:
    rows = table()
    options: dict[str, Any] = {"nan_policy": "omit", "inf_policy": "omit", "dtype": "float64"}
    layer = adapted(rows.select(COLUMNS), constant_policy=policy, invert=invert, **options)
    connection = duckdb.connect()
    connection.register("rows of data", rows)
    found = connection.sql(to_sql(layer, "rows of data")).to_arrow_table()
    assert found.column_names == COLUMNS
    expected = layer.transform_frame(rows.select(COLUMNS))
    for name in COLUMNS:
        assert found.schema.field(name).type == pa.float64()
        assert found[name].null_count == rows[name].null_count
        assert_same_bits(found[name].to_numpy(), expected[name].to_numpy())


def test_float32_is_rounded_once() -> None:
    columns = ["usual", "tiny", "whole", "less"]
    rows = table().select(columns)
    layer = adapted(rows)
    found = duckdb.sql(to_sql(layer, "rows")).to_arrow_table()
    expected = layer.transform_frame(rows)
    for name in columns:
        assert found.schema.field(name).type == pa.float32()
        assert_same_bits(found[name].to_numpy(), expected[name].to_numpy())


def test_what_float32_cannot_hold_is_an_error_of_duckdb() -> None:
    rows = pa.table({"x": [1e300]})
    layer = adapted({"x": [0.0, 2.0]})
    with pytest.raises(duckdb.ConversionException, match="out of range"):
        duckdb.sql(to_sql(layer, "rows")).fetchall()
    assert duckdb.sql(to_sql(adapted({"x": [0.0, 2.0]}, dtype="float64"), "rows")).fetchall() == [(1e300,)]
    assert rows.num_rows == 1


def test_numbers_mean_themselves() -> None:
    x = np.concatenate([finite_values("float64", (2000,), seed=2), SPECIAL, [1.5, -1.5, 1e22, 123456.0]])
    texts = [_number(value) for value in x.tolist()]
    found = duckdb.sql(f"SELECT unnest([{', '.join(texts)}]) AS x").fetchnumpy()["x"]
    assert_same_bits(np.asarray(found), x)
    rows = ", ".join(f"({text})" for text in texts)
    kinds = duckdb.sql(f"SELECT DISTINCT typeof(x) FROM (VALUES {rows}) t(x)")  # noqa: S608
    assert kinds.fetchall() == [("DOUBLE",)]


def test_statistics_that_are_no_numbers() -> None:
    layer = en.Normalization(mean=[np.nan, np.inf, 1.0], variance=[1.0, 1.0, np.inf], dtype="float64")
    layer.build((None, 3))
    rows = pa.table({"a": [1.0, np.inf], "b": [1.0, np.inf], "c": [1.0, np.inf]})
    found = duckdb.sql(to_sql(layer, "rows", ["a", "b", "c"])).to_arrow_table()
    expected = layer(np.array([rows[name].to_numpy() for name in "abc"]).T.copy())
    for i, name in enumerate("abc"):
        assert_same_bits(found[name].to_numpy(), expected[:, i])


def test_columns_and_tables() -> None:
    layer = adapted({"a": [1.0, 3.0], 'b"': [-2.0, 0.0]}, dtype="float64")
    assert to_sql(layer, ("main", 'my "table"'), ['b"', "a"], keep=["id", "day"]) == (
        'SELECT\n  "id",\n  "day",\n'
        '  (CAST("b""" AS DOUBLE PRECISION) - (-1.0e0)) / 1.0e0 AS "b""",\n'
        '  (CAST("a" AS DOUBLE PRECISION) - 2.0e0) / 1.0e0 AS "a"\n'
        'FROM "main"."my ""table"""'
    )
    nameless = adapted([[1.0], [3.0]])
    assert 'AS REAL) AS "height"' in to_sql(nameless, "t", ["height"])
    single = adapted([1.0, 3.0], axis=None)
    assert 'AS REAL) AS "height"' in to_sql(single, "t", ["height"])


def test_refusals() -> None:
    layer = adapted({"a": [1.0, 3.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="has not learned a column 'c'"):
        to_sql(layer, "t", ["a", "c"])
    with pytest.raises(ValueError, match="distinct columns, got a, a"):
        to_sql(layer, "t", ["a", "a"])
    with pytest.raises(ValueError, match="cannot keep the column 'a'"):
        to_sql(layer, "t", keep=["a"])
    for table in ("", (), ("main", "")):
        with pytest.raises(ValueError, match="expected the name of a table"):
            to_sql(layer, table)
    with pytest.raises(ValueError, match="no names: say which columns"):
        to_sql(adapted([[1.0], [3.0]]), "t")
    with pytest.raises(ValueError, match="expected 1 columns, one a feature, got 2"):
        to_sql(adapted([[1.0], [3.0]]), "t", ["a", "b"])
    with pytest.raises(ValueError, match="no column or table of SQL"):
        to_sql(layer, "t\0")
    with pytest.raises(ValueError, match="SQL has no type for the layer's float16"):
        to_sql(adapted({"a": [1.0, 3.0]}, dtype="float16"), "t")


def test_lists_are_refused_and_odd_names_are_not() -> None:
    layer = adapted({"emb[0]": [1.0, 3.0], "emb[1]": [1.0, 3.0], "a": [1.0, 2.0]}, dtype="float64")
    with pytest.raises(ValueError, match=r"column 'emb' is a list, and 'emb\[0\]' an element"):
        to_sql(layer, "t")
    assert '"emb[1]" AS DOUBLE' in to_sql(layer, "t", ["emb[1]", "a"])
