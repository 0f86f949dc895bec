"""exactnorm.spark learns and applies with the bits of one machine, on a real Spark."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exactnorm.spark import adapt, adapt_parquet, to_sql_columns, transform
from pyspark import cloudpickle
from pyspark.ml.functions import array_to_vector
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from support import assert_same_bits, finite_values

ROWS = 3000
NUMBERS = ["i", "small", "x", "y", "nothing", "a.b"]


def made_table() -> pa.Table:
    """Numbers of every exponent, NaN, infinities, nulls, a column of nulls alone, keys, vectors, others."""
    rng = np.random.default_rng(1)
    missing = rng.random(ROWS) < 0.1
    x = finite_values("float32", (ROWS,), 2)
    x[:5] = np.nan, np.inf, -np.inf, -0.0, 1e-45
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=3 * ROWS).astype("f4")), 3)
    return pa.table(
        {
            "i": pa.array(rng.integers(-(2**62), 2**62, ROWS), mask=missing),
            "small": pa.array(rng.integers(-99, 99, ROWS).astype("int16")),
            "x": pa.array(x, mask=missing[::-1]),
            "y": finite_values("float64", (ROWS,), 3),
            "nothing": pa.nulls(ROWS, pa.float64()),
            "a.b": rng.normal(size=ROWS),
            "flag": pa.array(missing),
            "emb": pa.array(embedding.to_pylist(), pa.list_(pa.float32())),
            "k": rng.integers(-5, 5, ROWS),
            "s": pa.array(rng.choice(["a", "b", "ü"], ROWS)),
            "w": rng.integers(0, 4, ROWS).astype("f4"),
            "d": pa.array(np.arange(ROWS, dtype="i4")).cast(pa.decimal128(12, 2)),
        }
    )


TABLE = made_table()


def vectors(table: pa.Table) -> pa.Table:
    """The table as a single machine has it: with vectors of a fixed size."""
    i = table.schema.get_field_index("emb")
    return table.set_column(i, "emb", table.column(i).cast(pa.list_(pa.float32(), 3)))


def local(columns: list[str], **options: Any) -> en.Moments:
    return en.Moments.from_data(vectors(TABLE).select(columns), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet")
    for i in range(3):
        pq.write_table(TABLE.slice(1000 * i, 1000), path / f"{i}.parquet", row_group_size=300)
    return path


@pytest.fixture(scope="module")
def df(spark: SparkSession, folder: Path) -> DataFrame:
    return spark.read.parquet(str(folder))


def arrow(df: DataFrame) -> pa.Table:
    return df.toArrow()


def in_order(df: DataFrame) -> DataFrame:
    return df.orderBy("d").coalesce(1)


# Learning


@pytest.mark.parametrize("partitions", [1, 2, 7, 200])
def test_partitions_do_not_matter(df: DataFrame, partitions: int) -> None:
    """Beyond 3000 rows in 200 of them, some are empty after the filter."""
    learned = adapt(df.repartition(partitions))
    assert learned == local([*NUMBERS, "k", "w"])
    assert learned.names == (*NUMBERS, "k", "w")


def test_any_distribution_gives_the_same(df: DataFrame) -> None:
    expected = local(["x", "i"])
    skewed = df.repartition(6, F.when(F.col("small") > -98, 0).otherwise(F.col("small")))
    sizes = [row.n for row in skewed.groupBy(F.spark_partition_id()).agg(F.count("*").alias("n")).collect()]
    assert max(sizes) > 0.9 * ROWS
    assert len(sizes) < 6  # the others are empty
    for spread in (skewed, df.orderBy(F.rand(7)), df.repartition(5, F.rand(8)), df.limit(0).union(df)):
        assert adapt(spread, ["x", "i"]).digest == expected.digest


def test_no_rows(df: DataFrame) -> None:
    assert adapt(df.limit(0), ["x", "i"]) == en.Moments((2,), ["x", "i"])
    with pytest.raises(ValueError, match="column 'emb' has no row that says how many features"):
        adapt(df.limit(0), ["emb"])


def test_a_task_that_is_run_again_counts_once(df: DataFrame) -> None:
    def fails_at_first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        task = TaskContext.get()
        yield from batches
        if task is not None and task.attemptNumber() == 0 and task.partitionId() == 1:
            raise OSError("the disk is full")

    flaky = df.select("x", "i").repartition(3).mapInArrow(fails_at_first, "x float, i long")
    assert adapt(flaky) == local(["x", "i"])


def test_columns_booleans_and_arrays(df: DataFrame) -> None:
    wanted = ["emb", "flag", "a.b"]
    learned = adapt(df.repartition(4), wanted)
    assert learned == local(wanted)
    assert learned.names == ("emb[0]", "emb[1]", "emb[2]", "flag", "a.b")
    with_nulls = df.withColumn("emb", F.when(F.col("k") > 0, F.col("emb")))
    learned = adapt(with_nulls, ["emb"])
    assert (learned.null_count == np.count_nonzero(TABLE["k"].to_numpy() <= 0)).all()


@pytest.mark.parametrize("by", ["k", "s"])
def test_groups_and_weights(df: DataFrame, by: str) -> None:
    chosen = TABLE.select(["x", "y"])
    keys, weights = TABLE[by], TABLE["w"].to_numpy()
    spread = df.repartition(5)
    learned = adapt(spread, ["x", "y"], by=by, weights="w")
    assert learned == en.GroupedMoments.from_data(chosen, keys, weights=weights)
    assert adapt(spread, ["x", "y"], weights="w") == en.Moments.from_data(chosen, weights=weights)


def test_many_keys(spark: SparkSession) -> None:
    keys, rows = 100_000, 250_000
    df = spark.range(0, rows, 1, 4).selectExpr(f"id * 7 % {keys} as k", "float(id) as x")
    ids = np.arange(rows)
    expected = en.GroupedMoments.from_data({"x": ids.astype("f4")}, ids * 7 % keys)
    learned = adapt(df, by="k")
    assert len(learned) == keys
    assert learned.digest == expected.digest


@pytest.mark.parametrize("options", [{}, {"by": "s"}, {"columns": ["emb", "a.b"], "weights": "w"}])
def test_parquet_read_by_the_workers(
    spark: SparkSession, folder: Path, df: DataFrame, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("exactnorm.spark._adapt._PART_BYTES", 20_000)  # so that files are divided
    assert adapt_parquet(spark, str(folder), **options) == adapt(df, **options)


def test_paths_that_are_no_ascii(spark: SparkSession, tmp_path: Path) -> None:
    table = TABLE.select(["x", "i"])
    for name in ("dü/a b.parquet", "dü/100%.parquet", "dü/a%20b#?.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / name)
        assert adapt_parquet(spark, str(tmp_path / name)) == local(["x", "i"])
    thrice = local(["x", "i"]) + local(["x", "i"]) + local(["x", "i"])
    assert adapt_parquet(spark, str(tmp_path / "dü")) == thrice


def test_columns_that_folders_names_have(spark: SparkSession, tmp_path: Path) -> None:
    """Of Spark they have the folder's value, which the workers do not see."""
    for month in (1, 2):
        (tmp_path / f"t/Möon=4/month={month}").mkdir(parents=True)
        pq.write_table(pa.table({"x": [1.0], "month": [7]}), tmp_path / f"t/Möon=4/month={month}/a.parquet")
    folder = str(tmp_path / "t")
    learned = adapt_parquet(spark, folder)
    assert learned == adapt(spark.read.parquet(folder), ["x"])
    assert learned.count.tolist() == [2]
    for options in ({"columns": ["month"]}, {"columns": ["x"], "by": "month"}, {"weights": "month"}):
        with pytest.raises(ValueError, match="column 'month' is of folders' names"):
            adapt_parquet(spark, folder, **options)
    with pytest.raises(ValueError, match="column 'Möon' is of folders' names"):
        adapt_parquet(spark, folder, by="Möon")
    # A folder that is asked for is no column of Spark's: there, month is what files have.
    assert adapt_parquet(spark, f"{folder}/Möon=4/month=2") == en.Moments.from_data(
        {"x": [1.0], "month": [7]}
    )


# Applying


def layers() -> Iterator[en.Normalization]:
    for options in (
        {},
        {"dtype": "float64"},
        {"constant_policy": "unit", "invert": True},
        {"dtype": "float64", "invert": True},
    ):
        layer = en.Normalization(**options, nan_policy="omit", inf_policy="omit")
        layer.adapt(local(["x", "small", "i", "flag", "emb", "a.b", "y"]))
        yield layer


@pytest.mark.filterwarnings("ignore:the variance is too large:RuntimeWarning")
@pytest.mark.parametrize(
    ("native", "typed"),
    [(False, False), (True, False), (True, True)],
    ids=["transform", "to_sql_columns", "to_sql_columns_of_df"],
)
def test_applied_as_one_machine_does(df: DataFrame, native: bool, typed: bool) -> None:
    for layer in layers():
        expected = layer.transform_frame(vectors(TABLE))
        if native:
            names = ["x", "small", "i", "flag", "emb", "a.b", "y"]
            result = arrow(in_order(df).select(*to_sql_columns(layer, df if typed else None)))
            assert result.column_names == names
        else:
            names = TABLE.column_names
            result = arrow(transform(in_order(df), layer))
            assert result.column_names == names
            assert result.schema.field("d").type == TABLE.schema.field("d").type
        for name in names:
            got, wanted = result[name].combine_chunks(), expected[name].combine_chunks()
            if name == "emb":
                got, wanted = got.values, wanted.values
            assert got.is_null().equals(wanted.is_null()), name
            if pa.types.is_floating(wanted.type):
                assert_same_bits(got.fill_null(0).to_numpy(), wanted.fill_null(0).to_numpy())
            else:
                assert got.equals(wanted), name


def test_columns_that_look_like_elements(spark: SparkSession) -> None:
    rows = [(1.0, 5.0, [1.0, 10.0]), (3.0, 9.0, [3.0, 30.0])]
    df = spark.createDataFrame(rows, "`a[0]` double, `a[1]` double, b array<double>").coalesce(1)
    layer = en.Normalization()
    layer.adapt(adapt(df, ["a[0]", "a[1]", "b"]))
    result = df.select(*to_sql_columns(layer, df))
    assert [tuple(row) for row in result.collect()] == [(-1, -1, [-1, -1]), (1, 1, [1, 1])]
    assert arrow(result).equals(arrow(transform(df, layer)))
    for wrong, error, message in (
        (df.drop("b"), ValueError, r"no column 'b\[0\]'"),
        (df.drop("a[0]"), ValueError, r"no column 'a\[0\]'"),
        (df.withColumn("b", F.lit("1")), TypeError, "column 'b' is string: expected arrays of numbers"),
        (df.withColumn("a[0]", F.lit("1")), TypeError, r"column 'a\[0\]' is string: expected numbers"),
        (df.withColumn("b", array_to_vector("b")), TypeError, "column 'b' has vectors, .* use transform"),
        (pa.table({}), TypeError, r"expected a pyspark\.sql\.DataFrame, got a pyarrow\.lib\.Table"),
    ):
        with pytest.raises(error, match=message):
            to_sql_columns(layer, wrong)


def test_columns_that_differ_in_case(spark: SparkSession) -> None:
    df = spark.createDataFrame([(1.0, 5.0, [2.0]), (3.0, 9.0, [4.0])], "a double, A double, b array<double>")
    assert adapt(df).mean().tolist() == [2, 7]
    assert adapt(df.toDF("x", "b", "B"), ["B", "b"]).names == ("B[0]", "b")


def test_what_is_no_dataframe() -> None:
    layer = en.Normalization()
    layer.adapt(local(["small"]))
    for use in (adapt, lambda x: transform(x, layer)):
        with pytest.raises(TypeError, match=r"expected a pyspark\.sql\.DataFrame, got a pyarrow\.lib\.Table"):
            use(TABLE)


def test_long_arrays_are_applied_as_short_ones(spark: SparkSession) -> None:
    x = np.random.default_rng(0).normal(size=(50, 70)).astype("f4")
    df = spark.createDataFrame([(row.tolist(),) for row in x], "emb array<float>").coalesce(1)
    for dtype in ("float32", "float64"):
        layer = en.Normalization(dtype=dtype)
        layer.adapt(adapt(df, ["emb"]))
        for result in (df.select(*to_sql_columns(layer)), transform(df, layer)):
            values = arrow(result)["emb"].combine_chunks().values.to_numpy()
            assert_same_bits(values.reshape(x.shape), layer(x))


def test_rows_keep_their_order_and_columns_their_place(df: DataFrame) -> None:
    layer = en.Normalization()
    layer.adapt(local(["small"]))
    ordered = df.select("d", "small", "s").orderBy(F.col("d").desc())
    result = transform(ordered, layer)
    assert [field.name for field in result.schema.fields] == ["d", "small", "s"]
    assert arrow(result)["d"].to_pylist() == TABLE["d"].to_pylist()[::-1]


def test_some_columns_and_layers_without_names(df: DataFrame) -> None:
    layer = en.Normalization()
    layer.adapt(local(["small", "a.b"]))
    result = arrow(transform(in_order(df), layer, ["a.b"]))
    assert result["small"].equals(arrow(in_order(df))["small"])
    nameless = en.Normalization()
    nameless.adapt(
        np.stack(
            [
                TABLE["a.b"],
                TABLE["small"],
                *vectors(TABLE)["emb"].combine_chunks().values.to_numpy().reshape(-1, 3).T,
            ],
            1,
        )
    )
    result = arrow(transform(in_order(df), nameless, ["a.b", "small", "emb"]))
    expected = nameless.transform_frame(vectors(TABLE), ["a.b", "small", "emb"])
    assert_same_bits(result["a.b"].to_numpy(), expected["a.b"].to_numpy())
    assert_same_bits(
        result["emb"].combine_chunks().values.to_numpy(), expected["emb"].combine_chunks().values.to_numpy()
    )


# Errors


def test_wrong_columns(df: DataFrame, spark: SparkSession, folder: Path) -> None:
    for wrong, error, message in (
        ({"columns": ["X"]}, ValueError, "no column 'X'; it has 'i', 'small'"),
        ({"columns": ["s"]}, TypeError, "column 's' is string: expected numbers or booleans"),
        ({"columns": ["d"]}, TypeError, r"column 'd' is decimal\(12,2\)"),
        ({"columns": "x"}, TypeError, "expected a sequence of columns, got 'x'"),
        ({"columns": ["x", "x"]}, ValueError, "each column once"),
        ({"columns": []}, ValueError, "got none"),
        ({"by": "x"}, TypeError, "column 'x' is float: expected keys"),
        ({"weights": "s"}, TypeError, "column 's' is string: expected weights"),
        ({"columns": ["x", "k"], "by": "k"}, ValueError, "column 'k' has keys or weights"),
    ):
        with pytest.raises(error, match=message):
            adapt(df, **wrong)
        with pytest.raises(error, match=message):
            adapt_parquet(spark, str(folder), **wrong)
    twice = df.select("x", F.col("i").alias("x"))
    with pytest.raises(ValueError, match="more than one column 'x'"):
        adapt(twice, ["x"])


def test_errors_of_the_data_are_raised_here(df: DataFrame) -> None:
    with pytest.raises(ValueError, match="weights") as raised:
        adapt(df.withColumn("w", -F.col("w")), ["x"], weights="w")
    assert len(str(raised.value)) < 200  # and nothing of Java
    with pytest.raises(ValueError, match="key"):
        adapt(df.withColumn("k", F.when(F.col("k") > 3, F.col("k"))), ["x"], by="k")
    uneven = df.withColumn(
        "emb", F.when(F.col("k") > 0, F.col("emb")).otherwise(F.array(F.lit(1.0).cast("float")))
    )
    with pytest.raises(ValueError, match="column 'emb' has rows of 1 and 3 numbers"):
        adapt(uneven, ["emb"])


def test_a_damaged_file_is_named(spark: SparkSession, folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.parquet"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    document = bytearray((tmp_path / "2.parquet").read_bytes())
    document[4 : len(document) // 2] = bytes(len(document) // 2 - 4)
    (tmp_path / "2.parquet").write_bytes(document)
    with pytest.raises(OSError, match=r"2\.parquet"):
        adapt_parquet(spark, str(tmp_path), ["x"])


def test_workers_of_another_version(
    spark: SparkSession, folder: Path, df: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = en.Normalization()
    layer.adapt(local(["small"]))
    version = en.__version__
    monkeypatch.setattr(en, "__version__", "9.9.9")
    message = f"expected exactnorm 9.9.9 on the workers, as on the driver, got {version} with the Python at"
    with pytest.raises(RuntimeError, match=message):
        adapt(df)
    with pytest.raises(RuntimeError, match=message):
        adapt_parquet(spark, str(folder))
    with pytest.raises(Exception, match=message) as raised:
        transform(df, layer).collect()
    assert len(str(raised.value)) < 1500


def test_work_is_read_without_exactnorm(
    spark: SparkSession, folder: Path, df: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a worker with another version fails before it can say so."""
    sent = []
    monkeypatch.setattr(type(df), "mapInArrow", lambda _, work, __: sent.append(work) or df.limit(0))
    layer = en.Normalization()
    layer.adapt(local(["small"]))
    for use in (lambda: adapt(df), lambda: adapt_parquet(spark, str(folder)), lambda: transform(df, layer)):
        with contextlib.suppress(Exception):  # there is no result
            use()
    assert len(sent) >= 3
    code = "import sys; sys.modules['exactnorm'] = None; import pickle; pickle.load(sys.stdin.buffer)"
    for work in sent:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], input=cloudpickle.dumps(work), capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()


def test_layers_that_do_not_fit(df: DataFrame) -> None:
    layer = en.Normalization()
    layer.adapt(local(["small", "k"]))
    for use in (lambda: transform(df.drop("small"), layer), lambda: transform(df.drop("k"), layer, ["k"])):
        with pytest.raises(ValueError, match="the frame has no column"):
            use()
    with pytest.raises(ValueError, match="has not learned 'i'"):
        transform(df, layer, ["i"])
    with pytest.raises(TypeError, match="column 'k' is string"):
        transform(df.withColumn("k", F.col("s")), layer)
    for use in (lambda wrong: transform(df, wrong), to_sql_columns):
        with pytest.raises(TypeError, match="expected a Normalization, got a Moments"):
            use(local(["small"]))
        half = en.Normalization(dtype="float16")
        half.adapt(local(["small"]))
        with pytest.raises(ValueError, match="no columns of the layer's dtype, float16"):
            use(half)
    with pytest.raises(ValueError, match="not adapted"):
        to_sql_columns(en.Normalization())
    given = en.Normalization(mean=0.0, variance=1.0)
    given.build((None, 1))
    with pytest.raises(ValueError, match=r"not name any columns|not adapted"):
        to_sql_columns(given)
    constant = en.Normalization(epsilon=0.0)
    constant.adapt(en.Moments.from_data({"c": [1.0, 1.0]}))
    with pytest.raises(ValueError, match="SQL does not divide by 0"):
        to_sql_columns(constant)


def test_native_expressions_refuse_what_is_no_number(df: DataFrame) -> None:
    layer = en.Normalization()
    layer.adapt(local(["small", "emb"]))
    with pytest.raises(Exception, match="column 'small' is string: expected numbers or booleans"):
        df.withColumn("small", F.col("s")).select(*to_sql_columns(layer)).collect()
    with pytest.raises(Exception, match="column 'emb' has rows of 3 and 2 numbers"):
        df.withColumn("emb", F.slice("emb", 1, 2)).select(*to_sql_columns(layer)).collect()
