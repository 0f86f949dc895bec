"""Applying a layer to a DataFrame by Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql import types as T  # noqa: N812

from exactnorm._frames import features_by_column
from exactnorm._normalization import Normalization
from exactnorm.spark import _columns
from exactnorm.spark._shipping import shipped


def transform(df: DataFrame, layer: Normalization, columns: Iterable[str] | None = None) -> DataFrame:
    """Normalize columns of a DataFrame, on its workers, when it is computed.

    The results are those of ``layer.transform_frame``, bit for bit. Columns keep their places, and rows
    their order; other columns are as they were. Nulls stay null, and NaN stays NaN.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    layer : Normalization
        As it is now: what it learns later does not matter. Of dtype float32 or float64.
    columns : sequence of str, optional
        Which to normalize. A layer that has learned names finds its features by them; the default is all
        that it has learned. A layer without names takes these columns in this order as its features; the
        default is all columns of integers or floats.

    Returns
    -------
    pyspark.sql.DataFrame
        The normalized columns are of type float or double, as the layer's `dtype` says; arrays and vectors
        stay that, vectors with doubles. All columns must be of types that Spark can send to Python by Arrow.

    Raises
    ------
    ValueError
        For columns that are not there or that the layer has not learned, if they are more or fewer features
        than the layer has, and for a layer of another dtype.
    TypeError
        For what is no DataFrame or no Normalization, and for columns that are not numbers or booleans.

    Examples
    --------
    >>> import exactnorm as en
    >>> from pyspark.sql import SparkSession
    >>> from exactnorm.spark import adapt, transform
    >>> spark = SparkSession.builder.master("local[2]").getOrCreate()
    >>> df = spark.createDataFrame([("a", 1.0), ("b", 5.0)], ["name", "x"])
    >>> layer = en.Normalization()
    >>> layer.adapt(adapt(df))
    >>> transform(df, layer).show()
    +----+----+
    |name|   x|
    +----+----+
    |   a|-1.0|
    |   b| 1.0|
    +----+----+
    <BLANKLINE>
    """
    _columns.check_frame(df)
    result = _columns.result_type(layer)
    wanted = None if columns is None else _columns.labels_of(columns)
    widths = _widths(df, layer, wanted)
    chosen = _chosen(df, layer, wanted, widths)
    fields = df.schema.fields
    sent, received, results = [], [], []
    for i, field in enumerate(fields):
        of, name, column = field.dataType, field.name, F.col(str(i))
        if name in chosen:
            sent.append(_columns.as_array(column, of).alias(str(i)))
            of = T.ArrayType(result) if name in widths else result
            column = _columns.like(column, field.dataType)
        else:
            sent.append(column)
        received.append(T.StructField(str(i), of, field.nullable))
        results.append(column.alias(name, metadata=field.metadata))
    lists = {name: width for name, width in widths.items() if name in chosen}
    work = shipped("apply", df.columns, lists, layer.to_bytes(), chosen)
    return _columns.numbered(df).select(*sent).mapInArrow(work, T.StructType(received)).select(*results)


def _widths(df: DataFrame, layer: Normalization, wanted: list[str] | None) -> dict[str, int]:
    """How many features there are in a row of each column of lists that may be meant."""
    lists = [field.name for field in df.schema.fields if _columns.is_list(field.dataType)]
    if layer.names:
        learned = features_by_column(layer.names, df.columns)
        return {name: len(learned[name]) for name in lists if name in learned}
    return _columns.widths(df, [name for name in wanted or () if name in lists])


def _chosen(
    df: DataFrame, layer: Normalization, wanted: list[str] | None, widths: Mapping[str, int]
) -> list[str]:
    """Return the columns to normalize; the layer itself checks them, by what it does with no rows."""
    if wanted is not None:
        chosen = wanted
    elif layer.names:
        chosen = list(features_by_column(layer.names, df.columns))
    else:
        chosen = [field.name for field in df.schema.fields if _columns.is_number(field.dataType)]
    for field in df.schema.fields:
        of = field.dataType
        is_numeric = _columns.is_scalar(of) or field.name in widths
        if field.name in chosen and not is_numeric:
            raise TypeError(f"column {field.name!r} is {of.simpleString()}: expected numbers or booleans")
    layer.transform_frame(_columns.empty_table(df.schema.fields, widths), chosen)
    return chosen
