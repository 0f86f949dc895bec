"""ExactStandardScaler in pipelines of pyspark.ml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.spark import ExactStandardScaler, ExactStandardScalerModel
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructField, StructType
from support import assert_same_bits

X = np.random.default_rng(0).normal([1e6, -3, 0.1], [1, 30, 1e-3], (400, 3))
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def df(spark: SparkSession) -> DataFrame:
    rows = [
        (i, *map(float, x), Vectors.dense(x) if i % 2 else Vectors.sparse(3, range(3), x), x.tolist())
        for i, x in enumerate(X)
    ]
    frame = spark.createDataFrame(rows, ["i", *NAMES, "vector", "array"]).coalesce(1)
    return frame.cache()


def exact(**options: Any) -> en.Normalization:
    layer = en.Normalization(dtype="float64", constant_policy="unit", **options)
    layer.adapt(X)
    return layer


def values(df: DataFrame, column: str) -> Any:
    return np.array([list(row[0]) for row in df.select(column).collect()])


@pytest.mark.parametrize("column", ["vector", "array"])
def test_bits_of_the_layer(df: DataFrame, column: str) -> None:
    scaler = ExactStandardScaler(inputCol=column, outputCol="z", withMean=True, ddof=0)
    model = scaler.fit(df)
    result = model.transform(df)
    assert_same_bits(values(result, "z"), exact()(X))
    assert model.moments.digest == en.Moments.from_data(X).digest
    assert result.schema["z"].dataType == df.schema[column].dataType or column == "array"


def test_several_columns(df: DataFrame) -> None:
    scaler = ExactStandardScaler(inputCols=NAMES, outputCols=["x", "y", "z"], withMean=True, ddof=0)
    result = scaler.fit(df).transform(df)
    assert result.columns == [*df.columns, "x", "y", "z"]
    assert_same_bits(np.array(result.select("x", "y", "z").collect()), exact()(X))


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("with_std", [False, True])
def test_in_the_place_of_sparks_own(df: DataFrame, with_mean: bool, with_std: bool) -> None:
    options = {"inputCol": "vector", "outputCol": "z", "withMean": with_mean, "withStd": with_std}
    theirs = StandardScaler(**options).fit(df)
    ours = ExactStandardScaler(**options).fit(df)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-9)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-5)  # Spark's own has lost digits beside 1e6
    got, wanted = (values(model.transform(df), "z") for model in (ours, theirs))
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)
    defaults = StandardScaler(), ExactStandardScaler()
    for name in ("withMean", "withStd"):
        assert defaults[0].getOrDefault(name) == defaults[1].getOrDefault(name)


def test_nulls_nan_and_constants(spark: SparkSession) -> None:
    rows = [
        (Vectors.dense(1.0, 5.0),),
        (None,),
        (Vectors.dense(float("nan"), 5.0),),
        (Vectors.dense(3.0, 5.0),),
    ]
    df = spark.createDataFrame(rows, StructType([StructField("v", VectorUDT())])).coalesce(1)
    result = ExactStandardScaler(inputCol="v", outputCol="z", withMean=True, ddof=0).fit(df).transform(df)
    z = [row.z for row in result.collect()]
    assert z[1] is None
    assert np.array_equal([z[0], z[2], z[3]], [[-1, 0], [np.nan, 0], [1, 0]], equal_nan=True)


def test_saved_and_loaded_in_a_pipeline(df: DataFrame, tmp_path: Path) -> None:
    stages = [
        VectorAssembler(inputCols=NAMES, outputCol="x"),
        ExactStandardScaler(inputCol="x", outputCol="z", withMean=True),
    ]
    Pipeline(stages=stages).save(str(tmp_path / "unfitted"))
    pipeline = Pipeline.load(str(tmp_path / "unfitted"))
    assert pipeline.getStages()[1].extractParamMap() == stages[1].extractParamMap()
    fitted = pipeline.fit(df)
    fitted.save(str(tmp_path / "fitted"))
    loaded = PipelineModel.load(str(tmp_path / "fitted"))
    model = loaded.stages[1]
    assert isinstance(model, ExactStandardScalerModel)
    assert model.moments == fitted.stages[1].moments
    assert model.uid == fitted.stages[1].uid
    assert_same_bits(values(loaded.transform(df), "z"), values(fitted.transform(df), "z"))
    (document,) = (tmp_path / "fitted" / "stages").glob("1_*/state/part-*")
    assert en.load(document) == model.moments  # a state document like any other


def test_params_and_copies(df: DataFrame) -> None:
    scaler = ExactStandardScaler(inputCol="array", outputCol="z")
    model = scaler.fit(df, {scaler.withMean: True, scaler.ddof: 0})
    assert_same_bits(values(model.transform(df), "z"), exact()(X))
    renamed = model.transform(df.withColumnRenamed("array", "other"), {model.inputCol: "other"})
    assert_same_bits(values(renamed, "z"), exact()(X))


def test_setters_and_getters_as_sparks_own_has_them(df: DataFrame) -> None:
    theirs = {name for name in dir(StandardScaler) if name.startswith(("get", "set"))}
    assert theirs <= set(dir(ExactStandardScaler))
    scaler = ExactStandardScaler().setInputCol("array").setOutputCol("z").setWithMean(True).setDdof(0)
    assert (scaler.getWithMean(), scaler.getWithStd(), scaler.getDdof()) == (True, True, 0)
    model = scaler.setParams(withStd=True, outputCol="y").fit(df).setOutputCol("q")
    assert scaler.getOutputCol() == "y"
    assert_same_bits(values(model.transform(df), "q"), exact()(X))
    assert not scaler.setWithStd(False).getWithStd()
    several = ExactStandardScaler(withMean=True, ddof=0).setInputCols(NAMES).setOutputCols(["x", "y", "z"])
    assert several.fit(df).transform(df).columns == [*df.columns, "x", "y", "z"]
    with pytest.raises(TypeError):
        scaler.setParams("array")


def test_names_that_look_like_elements(spark: SparkSession, tmp_path: Path) -> None:
    """What is a column and what an element is known when it is learned, and stays known."""
    rows = [(1.0, 5.0, [1.0, 10.0]), (3.0, 9.0, [3.0, 30.0])]
    df = spark.createDataFrame(rows, "`a[0]` double, `a[1]` double, b array<double>").coalesce(1)
    inputs, outputs = ["a[0]", "a[1]", "b"], ["x", "y", "z"]
    scaler = ExactStandardScaler(inputCols=inputs, outputCols=outputs, withMean=True, ddof=0)
    scaler.fit(df).save(str(tmp_path / "model"))
    model = ExactStandardScalerModel.load(str(tmp_path / "model"))
    scaled = model.transform(df).select("x", "y", "z").collect()
    assert [tuple(row) for row in scaled] == [(-1, -1, [-1, -1]), (1, 1, [1, 1])]


def test_booleans(spark: SparkSession) -> None:
    df = spark.createDataFrame([(True,), (False,), (None,)], "b boolean").coalesce(1)
    model = ExactStandardScaler(inputCol="b", outputCol="z", withMean=True, ddof=0).fit(df)
    assert [row.z for row in model.transform(df).collect()] == [1, -1, None]


def test_one_value_is_enough_for_a_mean(spark: SparkSession) -> None:
    df = spark.createDataFrame([(4.0,)], "x double")
    model = ExactStandardScaler(inputCol="x", outputCol="z", withMean=True, withStd=False).fit(df)
    assert model.transform(df).first().z == 0
    with pytest.raises(ValueError, match="more than 0 finite values"):
        ExactStandardScaler(inputCol="x", withStd=False).fit(df.limit(0))


def test_an_output_that_is_a_column_but_for_case(df: DataFrame, spark: SparkSession) -> None:
    model = ExactStandardScaler(inputCol="array", outputCol="A").fit(df)
    with pytest.raises(ValueError, match="there is a column 'a' already"):
        model.transform(df)
    spark.conf.set("spark.sql.caseSensitive", True)
    try:
        assert model.transform(df).columns == [*df.columns, "A"]
    finally:
        spark.conf.unset("spark.sql.caseSensitive")


def test_errors(df: DataFrame) -> None:
    for options, error, message in (
        ({}, ValueError, "expected either inputCol or inputCols"),
        (
            {"inputCols": NAMES, "outputCols": ["x"]},
            ValueError,
            "as many outputCols as inputCols, got 1 and 3",
        ),
        ({"inputCol": "q"}, ValueError, "no column 'q'"),
    ):
        with pytest.raises(error, match=message):
            ExactStandardScaler(**options).fit(df)
    model = ExactStandardScaler(inputCol="vector", outputCol="z").fit(df)
    for changed, error, message in (
        (df.withColumn("z", df["i"]), ValueError, "there is a column 'z' already"),
        (
            df.withColumn("vector", df["i"]),
            TypeError,
            "column 'vector' is bigint: expected vectors or arrays of 3",
        ),
    ):
        with pytest.raises(error, match=message):
            model.transform(changed)
    with pytest.raises(ValueError, match="more than 1 finite values in each feature, not so in 'a'"):
        ExactStandardScaler(inputCol="a").fit(df.limit(1))
