"""The columns of a DataFrame: which there are, what they hold, and the same as Arrow has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql import types as T  # noqa: N812

from exactnorm._arguments import columns_of
from exactnorm._normalization import Normalization

_NUMBERS = {
    T.ByteType: pa.int8(),
    T.ShortType: pa.int16(),
    T.IntegerType: pa.int32(),
    T.LongType: pa.int64(),
    T.FloatType: pa.float32(),
    T.DoubleType: pa.float64(),
}
_SCALARS = {**_NUMBERS, T.BooleanType: pa.bool_(), T.StringType: pa.string()}
_RESULTS = {"float32": T.FloatType(), "float64": T.DoubleType()}
_VECTOR = "org.apache.spark.ml.linalg.VectorUDT"


def is_number(of: Any) -> bool:
    """Whether a type is of integers or floats; booleans and decimals are none."""
    return type(of) in _NUMBERS


def is_scalar(of: Any) -> bool:
    """Whether a type has one number in a row, as booleans do."""
    return is_number(of) or isinstance(of, T.BooleanType)


def is_vector(of: Any) -> bool:
    """Whether a type is that of vectors of pyspark.ml."""
    return isinstance(of, T.UserDefinedType) and of.scalaUDT() == _VECTOR


def is_list(of: Any) -> bool:
    """Whether a type has several numbers in a row: a vector, or an array of numbers."""
    return is_vector(of) or (isinstance(of, T.ArrayType) and is_number(of.elementType))


def listed(labels: Iterable[str]) -> str:
    """Return names for a message."""
    return ", ".join(map(repr, labels)) or "none"


def labels_of(columns: Iterable[str]) -> list[str]:
    """Return names that a user gave, each once."""
    labels = columns_of(columns)
    for label in labels:
        if not isinstance(label, str):
            raise TypeError(f"expected names of columns, got {label!r}")
    if len(set(labels)) < len(labels):
        raise ValueError(f"expected each column once, got {listed(labels)}")
    return labels


def check_frame(df: Any) -> None:
    """Raise TypeError for what is no DataFrame of Spark."""
    if not isinstance(df, DataFrame):
        kind = f"{type(df).__module__}.{type(df).__qualname__}"
        raise TypeError(f"expected a pyspark.sql.DataFrame, got a {kind}")


def numbered(df: DataFrame) -> DataFrame:
    """Give columns their numbers for names, which are never one to Spark, as a and A are."""
    return df.toDF(*map(str, range(len(df.columns))))


def field_of(df: DataFrame, label: str) -> Any:
    """Return the field of this name, to the letter; ValueError unless there is one."""
    fields = [field for field in df.schema.fields if field.name == label]
    if len(fields) != 1:
        found = "no column" if not fields else "more than one column"
        raise ValueError(f"the DataFrame has {found} {label!r}; it has {listed(df.columns)}")
    return fields[0]


def of_folders(path: str, files: Iterable[str]) -> set[str]:
    """Return the columns that Spark makes of the names of folders, month=3, below a path; files are URIs."""
    found = {unquote(part) for file in files for part in file.split("/")[:-1]}
    below = {_column_of(unquote(part)) for part in found} - {_column_of(part) for part in path.split("/")}
    return below - {""}


def _column_of(folder: str) -> str:
    return folder.partition("=")[0] if "=" in folder else ""


def folding(spark: SparkSession) -> Callable[[str], str]:
    """Return what makes names equal that are the same column to Spark."""
    return str if spark.conf.get("spark.sql.caseSensitive") == "true" else str.lower


def quoted(label: str) -> Any:
    """Return the column of this name, whatever is in the name."""
    return F.col("`" + label.replace("`", "``") + "`")


def result_type(layer: Normalization) -> Any:
    """Return the type that normalized columns have; errors for what Spark can apply no layer of."""
    if not isinstance(layer, Normalization):
        raise TypeError(f"expected a Normalization, got a {type(layer).__name__}")
    dtype = layer.get_config()["dtype"]
    if dtype not in _RESULTS:
        raise ValueError(f"Spark has no columns of the layer's dtype, {dtype}: expected float32 or float64")
    return _RESULTS[dtype]


def as_array(column: Any, of: Any) -> Any:
    """Return vectors as arrays, null where they are; other columns as they are."""
    if not is_vector(of):
        return column
    # Dense ones as they lie there: vector_to_array is a call for each row, and for each use of it.
    parts = F.unwrap_udt(column)
    dense = F.when(parts["type"] == 1, parts["values"]).otherwise(vector_to_array(column))
    return F.when(column.isNotNull(), dense)


def widths(df: DataFrame, labels: Sequence[str]) -> dict[str, int]:
    """Find how many numbers a row has in these columns of lists: by their first rows that are not null."""
    fields = {label: field_of(df, label) for label in labels}
    found = {
        label: size
        for label, field in fields.items()
        if (size := field.metadata.get("ml_attr", {}).get("num_attrs")) is not None
    }
    for label in fields.keys() - found.keys():
        column = F.col(str(df.columns.index(label)))
        array = as_array(column, fields[label].dataType)
        row = numbered(df).where(column.isNotNull()).select(F.size(array)).first()
        if row is None:
            raise ValueError(f"column {label!r} has no row that says how many features it has")
        found[label] = row[0]
    return found


def like(column: Any, of: Any) -> Any:
    """Return arrays as vectors if the type is that, null where they are; other columns as they are."""
    if not is_vector(of):
        return column
    return F.when(column.isNotNull(), array_to_vector(column.cast("array<double>")))


def empty_table(fields: Iterable[Any], widths: Mapping[str, int]) -> pa.Table:
    """Return columns without rows, as exactnorm reads them; what holds no numbers is of type null."""
    found = []
    for field in fields:
        of = field.dataType
        kind = _SCALARS.get(type(of), pa.null())
        if field.name in widths:
            element = pa.float64() if is_vector(of) else _NUMBERS[type(of.elementType)]
            kind = pa.list_(element, widths[field.name])
        found.append(pa.field(field.name, kind))
    return pa.schema(found).empty_table()
