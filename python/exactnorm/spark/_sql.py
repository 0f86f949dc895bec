"""Applying a layer by expressions of Spark's own, which run in the JVM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from exactnorm._frames import features_by_column
from exactnorm._normalization import Normalization
from exactnorm.spark import _columns

NDArray = npt.NDArray[Any]

_NARROW = ("boolean", "tinyint", "smallint", "float")  # a float32 layer computes with these in float32
_WIDE = ("int", "bigint", "double")
_COMPILED = 64  # elements of an array that get expressions of their own, which Spark compiles


def to_sql_columns(layer: Normalization, df: DataFrame | None = None) -> list[Any]:
    """Return the layer's call as native column expressions, one for each column that it has learned.

    They have the bits of `transform`, need no Python on the workers, and Spark optimizes them with the rest
    of the query.

    Parameters
    ----------
    layer : Normalization
        Adapted, to a table: its features have names. Of dtype float32 or float64.
    df : pyspark.sql.DataFrame, optional
        What they will be used on; only its schema is read. Then each expression is for the type that its
        column has, which makes them faster to build, and features are in columns as for `transform`. Without
        it, features ``emb[0]``, ``emb[1]``, … that follow each other are taken for an array column ``emb``.

    Returns
    -------
    list of pyspark.sql.Column
        In the layer's order, with the names of the columns that they read. A column that does not hold
        numbers or booleans is an error, with df at once and otherwise when the query runs; an array of
        another length is one when the query runs.

    Raises
    ------
    ValueError
        For a layer that is not adapted, has no names or another dtype, for a divisor of 0, by which SQL
        does not divide, and for a df without the layer's columns.
    TypeError
        For what is no Normalization, what is no DataFrame, and columns of df that are not numbers, booleans
        or arrays of numbers.

    Examples
    --------
    >>> import exactnorm as en
    >>> from pyspark.sql import SparkSession
    >>> from exactnorm.spark import adapt, to_sql_columns
    >>> spark = SparkSession.builder.master("local[2]").getOrCreate()
    >>> df = spark.createDataFrame([("a", 1.0), ("b", 5.0)], ["name", "x"])
    >>> layer = en.Normalization()
    >>> layer.adapt(adapt(df))
    >>> df.select("name", *to_sql_columns(layer)).show()
    +----+----+
    |name|   x|
    +----+----+
    |   a|-1.0|
    |   b| 1.0|
    +----+----+
    <BLANKLINE>
    """
    _columns.result_type(layer)
    if not layer.is_adapted:
        raise ValueError("the layer is not adapted")
    if not layer.names:
        raise ValueError("the layer does not name any columns: it was not adapted to a table")
    readings = {
        kind: tuple(reading.reshape(-1) for reading in layer._impl.statistics(kind == "double"))
        for kind in ("float", "double")
    }
    if df is not None:
        _columns.check_frame(df)
        columns = _columns_in(df, layer.names)
    else:
        columns = [(*column, None) for column in _columns_by_name(layer.names)]
    return [
        _normalized(layer, readings, label, own, width, of).alias(label) for label, own, width, of in columns
    ]


def _columns_in(df: DataFrame, names: Sequence[str]) -> list[tuple[str, Any, int | None, str | None]]:
    """Find as `_columns_by_name`, and the columns' types, in a DataFrame."""
    index = {name: i for i, name in enumerate(names)}
    columns: list[tuple[str, Any, int | None, str | None]] = []
    for label, learned in features_by_column(names, df.columns).items():
        field = _columns.field_of(df, label)
        of, width = field.dataType.simpleString(), None if learned == [label] else len(learned)
        own = [label] if width is None else [f"{label}[{i}]" for i in range(width)]
        if set(own) != set(learned):
            raise ValueError(
                f"column {label!r}: the layer has learned {_columns.listed(learned)} of it alone"
            )
        if _columns.is_vector(field.dataType):
            raise TypeError(f"column {label!r} has vectors, for which SQL has no expressions: use transform")
        columns.append((label, [index[name] for name in own], width, of))
    return columns


def _columns_by_name(names: Sequence[str]) -> list[tuple[str, Any, int | None]]:
    """Find the columns that features are in: their names, their features, and how many if it is a list."""
    columns: list[tuple[str, Any, int | None]] = []
    first = 0
    while first < len(names):
        label, width = names[first].removesuffix("[0]"), None
        if label != names[first]:
            same = (f"{label}[{i}]" == name for i, name in enumerate(names[first:]))
            width = sum(takewhile(bool, same))
        own = slice(first, first + (width or 1))
        columns.append((label, own, width))
        first = own.stop
    return columns


def scaled(
    x: Any,
    kind: str,
    shift: NDArray | None,
    scale: NDArray | None,
    width: int | None,
    *,
    inverse: bool = False,
) -> Any:
    """Return ``(x - shift) / scale``, or ``shift + x * scale``, each step rounded to kind: float or double.

    x is a column of numbers, or of arrays if there is a width. None leaves a step out. Spark divides floats
    as doubles; rounded to float, such a quotient is the float32 quotient: 53 bits are more than twice 24.
    """
    whole = _of(width, kind)

    def step(x: Any, operation: Callable[[Any, Any], Any], by: NDArray | None) -> Any:
        if by is None:
            return x
        if width is None:
            return operation(x, F.lit(float(by[0])).cast(kind)).cast(kind)
        operands = F.array(*(F.lit(float(number)) for number in by)).cast(whole)
        return F.zip_with(x, operands, operation).cast(whole)

    if width is not None and width <= _COMPILED:
        elements = [
            scaled(
                F.get(x, F.lit(i)),
                kind,
                None if shift is None else shift[i:],
                None if scale is None else scale[i:],
                None,
                inverse=inverse,
            )
            for i in range(width)
        ]
        return F.when(x.isNotNull(), F.array(*elements))
    x = x.cast(whole)
    if inverse:
        return step(step(x, lambda a, b: a * b, scale), lambda a, b: b + a, shift)
    return step(step(x, lambda a, b: a - b, shift), lambda a, b: a / b, scale)


def checked(x: Any, label: str, width: int, value: Any) -> Any:
    """Return the value where the array x is null or has this many numbers, else an error."""
    complaint = F.concat(
        F.lit(f"column {label!r} has rows of {width} and "),
        F.size(x),
        F.lit(" numbers: expected as many in every row"),
    )
    return F.when(x.isNull() | (F.size(x) == width), value).otherwise(F.raise_error(complaint))


def _normalized(
    layer: Normalization,
    readings: Mapping[str, Sequence[NDArray]],
    label: str,
    own: Any,
    width: int | None,
    of: str | None,
) -> Any:
    """Return the expression for a column, of a type if that is known."""
    config = layer.get_config()
    x = _columns.quoted(label)

    def computed(kind: str) -> Any:
        mean, _, divisor = (reading[own] for reading in readings[kind])
        if (divisor == 0).any():
            raise ValueError(f"SQL does not divide by 0, as the layer would in column {label!r}")
        return scaled(x, kind, mean, divisor, width, inverse=config["invert"])

    result_kind = "float" if config["dtype"] == "float32" else "double"
    narrow, wide = (_NARROW, _WIDE) if result_kind == "float" else ((), _NARROW + _WIDE)
    kinds = {
        "float": [_of(width, kind) for kind in narrow],
        "double": [_of(width, kind) for kind in wide],
    }
    expected = "arrays of numbers" if width else "numbers or booleans"
    if of is not None:
        kind = next((kind for kind, types in kinds.items() if of in types), None)
        if kind is None:
            raise TypeError(f"column {label!r} is {of}: expected {expected}")
        value = computed(kind).cast(_of(width, result_kind))
    else:
        found = F.typeof(x)
        complaint = F.concat(F.lit(f"column {label!r} is "), found, F.lit(f": expected {expected}"))
        value = F.when(found.isin(kinds["double"]), computed("double").cast(_of(width, result_kind)))
        if narrow:
            value = value.when(found.isin(kinds["float"]), computed("float"))
        value = value.otherwise(F.raise_error(complaint))
    return value if width is None else checked(x, label, width, value)


def _of(width: int | None, kind: str) -> str:
    return kind if width is None else f"array<{kind}>"
