"""Frames of each library: what columns they have, and the same frame with some columns replaced.

A library is imported by what it made the frame of, so it is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exactnorm._arrays import Dense, from_array, from_numbers, is_array
from exactnorm._extras import needs
from exactnorm._tables import is_lazy_frame, library_of

NDArray = npt.NDArray[Any]


class Kind(NamedTuple):
    """What a column is, as far as its type tells."""

    width: int = 1
    """How many features it has."""
    is_number: bool = False
    """Whether it holds numbers, or vectors of them; booleans are none."""


Normalize = Callable[[Any, int], list[NDArray]]
"""Gets a table of the chosen columns and its number of rows; returns (rows,) or (rows, width) for each."""


class Frame(ABC):
    """A user's frame."""

    lacks: tuple[str, ...] = ("bfloat16",)
    """The layer's dtypes that its columns cannot have."""
    labels: Sequence[str]
    """Of its columns, in order."""

    @abstractmethod
    def kind(self, i: int) -> Kind:
        """Tell what the column at i is."""

    @abstractmethod
    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        """Return a frame of the same kind, with these columns normalized and all others as they are."""


def frame_of(x: Any, dtype: str) -> Frame:
    """Wrap what a user calls a frame, for results of that dtype; TypeError if it is none."""
    if isinstance(x, Mapping):
        return _Arrays(x)
    library = library_of(x)
    if library == "pandas" and hasattr(x, "columns"):
        return _Pandas(x)
    if library == "polars" and hasattr(x, "collect_schema"):
        return _LazyPolars(x, dtype) if is_lazy_frame(x) else _Polars(x)
    if library == "pyarrow" and hasattr(x, "schema"):
        if hasattr(x, "read_next_batch"):
            return _ArrowReader(x, dtype)
        if hasattr(x, "column_names"):
            return _ArrowTable(x)
    if library == "duckdb" and hasattr(x, "query") and hasattr(x, "types"):
        return _DuckDB(x)
    hint = ""
    if is_array(x):
        hint = "; call the layer itself with an array"
    elif hasattr(x, "__arrow_c_stream__"):
        hint = "; pyarrow.table makes one of it"
    raise TypeError(
        "expected a frame of polars, pandas, pyarrow or duckdb, or a dict of named arrays; got "
        f"{type(x).__module__}.{type(x).__qualname__}{hint}"
    )


# pyarrow


class _ArrowTable(Frame):
    """A pyarrow Table or RecordBatch."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.labels, self._types = table.schema.names, table.schema.types

    def kind(self, i: int) -> Kind:
        return _arrow_kind(self._types[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        table = self._table
        columns, fields = list(table.columns), list(table.schema)
        results = normalize(table.select(chosen), table.num_rows)
        for i, values in zip(chosen, results, strict=True):
            columns[i] = arrow_column(columns[i], values)
            fields[i] = fields[i].with_type(columns[i].type)
        schema = import_module("pyarrow").schema(fields, table.schema.metadata)
        return type(table).from_arrays(columns, schema=schema)


class _ArrowReader(Frame):
    """A pyarrow RecordBatchReader, read as its result is read."""

    def __init__(self, reader: Any, dtype: str) -> None:
        self._reader, self._dtype = reader, dtype
        self.labels, self._types = reader.schema.names, reader.schema.types

    def kind(self, i: int) -> Kind:
        return _arrow_kind(self._types[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        schema = arrow_schema(self._reader.schema, chosen, self._dtype)
        batches = (_ArrowTable(batch).replaced(chosen, normalize) for batch in self._reader)
        return type(self._reader).from_batches(schema, batches)


def _arrow_kind(of: Any) -> Kind:
    types = import_module("pyarrow").types
    width = 1
    if types.is_fixed_size_list(of):
        width, of = of.list_size, of.value_type
    return Kind(width, types.is_integer(of) or types.is_floating(of))


def arrow_schema(schema: Any, chosen: Sequence[int], dtype: str) -> Any:
    """Return the schema that a table has with these columns normalized."""
    pa = import_module("pyarrow")
    number = pa.type_for_alias(dtype)
    for i in chosen:
        field = schema.field(i)
        is_vector = pa.types.is_fixed_size_list(field.type)
        schema = schema.set(
            i, field.with_type(pa.list_(number, field.type.list_size) if is_vector else number)
        )
    return schema


def arrow_column(column: Any, values: NDArray) -> Any:
    """Return values in the type of a column, list or not, and null where it is."""
    pa = import_module("pyarrow")
    if pa.types.is_fixed_size_list(column.type):
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        width = column.type.list_size
        elements = column.values.slice(column.offset * width, len(column) * width)
        nulls = column.is_null() if column.null_count else None
        return pa.FixedSizeListArray.from_arrays(
            arrow_column(elements, values.reshape(-1)), width, mask=nulls
        )
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return pa.array(
        values, mask=column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    )


# duckdb


class _DuckDB(Frame):
    """A duckdb relation, whose query runs once, now."""

    lacks = ("bfloat16", "float16")

    def __init__(self, relation: Any) -> None:
        if len(set(relation.columns)) < len(relation.columns):
            raise ValueError(f"expected distinct column names, got {', '.join(relation.columns)}")
        self._relation = relation
        with needs("cli", "transform_frame of a duckdb relation"):
            self._empty = import_module("pyarrow").table(relation.limit(0))
        self.labels, self._types = relation.columns, self._empty.schema.types

    def kind(self, i: int) -> Kind:
        return _arrow_kind(self._types[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        names, types = self._relation.columns, self._relation.types
        # What Arrow has no type for, as ENUM and HUGEINT, travels as text.
        as_text = [
            i
            for i, (old, new) in enumerate(
                zip(types, _related(self._relation, self._empty).types, strict=True)
            )
            if old != new and i not in chosen
        ]
        quoted = ['"' + name.replace('"', '""') + '"' for name in names]
        sent = [f"{name}::VARCHAR AS {name}" if i in as_text else name for i, name in enumerate(quoted)]
        table = import_module("pyarrow").table(self._relation.project(", ".join(sent)))
        result = _related(self._relation, _ArrowTable(table).replaced(chosen, normalize))
        got = [f"{name}::{types[i]} AS {name}" if i in as_text else name for i, name in enumerate(quoted)]
        return result.project(", ".join(got))


def _related(relation: Any, exactnorm_normalized_rows: Any) -> Any:  # noqa: ARG001 - duckdb looks it up
    """Make a relation of an Arrow table, on the connection of another relation; duckdb has no other way."""
    return relation.query("exactnorm_unused_view", "SELECT * FROM exactnorm_normalized_rows")


# polars


class _Polars(Frame):
    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.lacks = _polars_lacks()
        self.labels, self._dtypes = frame.columns, frame.dtypes

    def kind(self, i: int) -> Kind:
        return _polars_kind(self._dtypes[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        columns = self._frame.select([self.labels[i] for i in chosen])
        results = normalize(columns, self._frame.height)
        return self._frame.with_columns(list(map(_polars_column, columns.get_columns(), results)))


class _LazyPolars(Frame):
    """A LazyFrame, which stays one: the layer, as it is now, becomes a step of the query."""

    def __init__(self, frame: Any, dtype: str) -> None:
        self._frame, self._dtype = frame, dtype
        self.lacks = _polars_lacks()
        self._schema = frame.collect_schema()
        self.labels, self._dtypes = self._schema.names(), self._schema.dtypes()

    def kind(self, i: int) -> Kind:
        return _polars_kind(self._dtypes[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        pl = import_module("polars")
        schema = dict(self._schema)
        number = getattr(pl, self._dtype.capitalize())
        for i in chosen:
            name = self.labels[i]
            schema[name] = (
                pl.Array(number, schema[name].size) if isinstance(schema[name], pl.Array) else number
            )
        return self._frame.map_batches(
            lambda frame: _Polars(frame).replaced(chosen, normalize),
            schema=schema,
            predicate_pushdown=False,  # a later filter means the normalized values
            projection_pushdown=False,  # the layer looks for its columns
            slice_pushdown=True,
            streamable=True,
        )


def _polars_lacks() -> tuple[str, ...]:
    return ("bfloat16",) if hasattr(import_module("polars"), "Float16") else ("bfloat16", "float16")


def _polars_kind(dtype: Any) -> Kind:
    width = 1
    if hasattr(dtype, "shape"):  # Array
        width, dtype = dtype.size, dtype.inner
    return Kind(width, dtype.is_integer() or dtype.is_float())


def _polars_column(column: Any, values: NDArray) -> Any:
    pl = import_module("polars")
    if not isinstance(column.dtype, pl.Array):
        result = pl.Series(column.name, values)
        return result.set(column.is_null(), None) if column.null_count() else result
    width = column.dtype.size
    result = pl.Series(column.name, values.reshape(-1, width))
    missing = np.column_stack([column.arr.get(i).is_null().to_numpy() for i in range(width)])
    if not missing.any():
        return result
    flat = pl.Series(column.name, values.reshape(-1)).set(pl.Series(missing.reshape(-1)), None)
    result = flat.reshape((len(column), width))
    return result.zip_with(column.is_not_null(), pl.Series([None] * len(column), dtype=result.dtype))


# pandas


class _Pandas(Frame):
    def __init__(self, frame: Any) -> None:
        self._frame = frame
        self.labels, self._dtypes = list(map(str, frame.columns)), list(frame.dtypes)

    def kind(self, i: int) -> Kind:
        return _pandas_kind(self._dtypes[i])

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        columns = [self._frame.iloc[:, i] for i in chosen]
        labels = [self.labels[i] for i in chosen]
        results = normalize(dict(zip(labels, columns, strict=True)), len(self._frame))
        frame = self._frame.copy(deep=False)
        for i, column, values in zip(chosen, columns, results, strict=True):
            frame.isetitem(i, _pandas_column(column, values))
        return frame


def _pandas_kind(dtype: Any) -> Kind:
    if hasattr(dtype, "pyarrow_dtype"):
        return _arrow_kind(dtype.pyarrow_dtype)
    stored = getattr(dtype, "subtype", getattr(dtype, "numpy_dtype", dtype))  # sparse, nullable, plain
    return Kind(1, isinstance(stored, np.dtype) and stored.kind in "iuf")


def _pandas_column(column: Any, values: NDArray) -> Any:
    pd = import_module("pandas")
    if hasattr(column.dtype, "pyarrow_dtype"):
        array = import_module("pyarrow").array(column.array)
        values = pd.arrays.ArrowExtensionArray(arrow_column(array, values))
    elif not isinstance(column.dtype, np.dtype) and not hasattr(column.dtype, "subtype"):
        if values.dtype.name not in ("float32", "float64"):
            raise ValueError(
                f"pandas has no nullable {values.dtype} for column {str(column.name)!r}: expected a layer "
                "of dtype float32 or float64"
            )
        values = pd.arrays.FloatingArray(values, np.array(column.isna()))
    return pd.Series(values, index=column.index, name=column.name, copy=False)


# dicts of arrays


class _Arrays(Frame):
    lacks = ()

    def __init__(self, arrays: Mapping[Any, Any]) -> None:
        self._arrays = arrays
        self._keys = list(arrays)
        self.labels = list(map(str, arrays))

    def kind(self, i: int) -> Kind:
        value = self._arrays[self._keys[i]]
        library = library_of(value)
        if library == "pandas" and hasattr(value, "dtype"):
            return _pandas_kind(value.dtype)
        if library == "polars" and hasattr(value, "dtype"):
            return _polars_kind(value.dtype)
        if library == "pyarrow" and hasattr(value, "type"):
            return _arrow_kind(value.type)
        try:
            array = _dense(value)
        except (TypeError, ValueError):  # no numbers, or not all of a length
            return Kind()
        shape = array.values.shape
        return Kind(shape[1] if len(shape) == 2 else 1, len(shape) <= 2 and array.dtype != "bool")

    def replaced(self, chosen: Sequence[int], normalize: Normalize) -> Any:
        selected = {self._keys[i]: self._arrays[self._keys[i]] for i in chosen}
        results = normalize(selected, _length(next(iter(selected.values()))))
        normalized = map(_value_like, selected.values(), results)
        return dict(self._arrays) | dict(zip(selected, normalized, strict=True))


def _value_like(value: Any, values: NDArray) -> Any:
    library = library_of(value)
    if library and values.dtype.name == "bfloat16":
        raise ValueError(f"{library} has no columns of the layer's dtype bfloat16: expected float32, say")
    if library == "pandas" and hasattr(value, "iloc"):
        return _pandas_column(value, values)
    if library == "polars":
        return _polars_column(value, values)
    if library == "pyarrow":
        return arrow_column(value, values)
    array = _dense(value)
    values = values.reshape(array.values.shape)
    return values if array.valid is None else np.ma.MaskedArray(values, mask=~array.valid)


def _dense(value: Any) -> Dense:
    return from_array(value) if is_array(value) else from_numbers(value)


def _length(value: Any) -> int:
    return len(value) if library_of(value) in ("pandas", "polars", "pyarrow") else _dense(value).row_count
