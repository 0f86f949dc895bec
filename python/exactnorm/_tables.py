"""Tables of any kind, as columns that C++ can read. One column is one feature, or k of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from exactnorm import _core
from exactnorm._arrays import Dense, from_array, from_numbers, is_array

Chunks = Iterator[list[_core.Column]]

_LIBRARIES = ("pandas", "polars", "pyarrow", "duckdb")


class Table(NamedTuple):
    """A batch of rows. Without rows it may lack columns; they may die when the next batch is asked for."""

    columns: list[_core.Column]
    names: list[str]
    """Of the features; none for a single array."""
    shape: tuple[int, ...]
    """Of the features: (their number,), or () for a single array."""

    @property
    def row_count(self) -> int:
        """The number of rows."""
        return self.columns[0].rows if self.columns else 0

    def rows(self, rows: slice) -> Table:
        """Take some of the rows, without a copy."""
        first, last, _ = rows.indices(self.row_count)
        return self._replace(columns=[column.slice(first, max(0, last - first)) for column in self.columns])

    def columns_for(self, names: Sequence[str]) -> list[_core.Column]:
        """Put the columns in the order of these names, if any; ValueError if they are others."""
        if not names or not self.names or list(names) == self.names:
            return self.columns
        missing = [name for name in names if name not in set(self.names)]
        unexpected = [name for name in self.names if name not in set(names)]
        if missing or unexpected:
            found = [
                f"{what} {', '.join(map(repr, columns))}"
                for what, columns in (("missing", missing), ("unexpected", unexpected))
                if columns
            ]
            raise ValueError(f"the columns do not match the features' names: {'; '.join(found)}")
        features = (column.feature(i) for column in self.columns for i in range(column.width))
        by_name = dict(zip(self.names, features))  # noqa: B905 - there are none without rows
        return [by_name[name] for name in names if name in by_name]


def table_kind(x: Any) -> Callable[[Any], Iterator[Table]] | None:
    """How to read x as a table, or None if it is none."""
    if isinstance(x, Mapping):
        return _from_mapping
    library = library_of(x)
    if library == "pandas" and hasattr(x, "isna"):
        # pandas exports NaN to Arrow as null, so its columns are taken one by one.
        return _from_frame if hasattr(x, "columns") else _from_series
    if is_lazy_frame(x):
        return _from_lazy_frame
    if hasattr(x, "__arrow_c_stream__") or hasattr(x, "__arrow_c_array__"):
        return _from_arrow
    if library in ("polars", "pyarrow") and is_array(x):
        raise TypeError(
            f"a {type(x).__qualname__} of this version of {library} would lose its nulls: a later one is "
            "needed, which has Arrow's PyCapsule interface"
        )
    return None


def read_table(x: Any) -> Iterator[Table]:
    """Read what is known to be a table."""
    kind = table_kind(x)
    if kind is None:
        raise TypeError(f"expected a table, got a {type(x).__qualname__}")
    return kind(x)


def library_of(x: Any) -> str:
    """Return the package that x is of, a subclass like a class of its own."""
    for base in type(x).__mro__:
        library = base.__module__.partition(".")[0]
        if library in _LIBRARIES:
            return library
    return ""


def is_lazy_frame(x: Any) -> bool:
    """Whether x is a query of polars."""
    return hasattr(x, "collect_schema") and hasattr(x, "collect") and library_of(x) == "polars"


def _reader(x: Any) -> _core.ArrowReader:
    if hasattr(x, "__arrow_c_stream__"):
        return _core.ArrowReader(x.__arrow_c_stream__(None))
    return _core.ArrowReader(*x.__arrow_c_array__(None))


def _chunks(reader: _core.ArrowReader) -> Chunks:
    while reader.next():
        yield reader.columns()


def _from_arrow(x: Any) -> Iterator[Table]:
    reader = _reader(x)
    names, shape = reader.names, reader.feature_shape
    yield Table([], names, shape)  # for a table without batches
    for columns in _chunks(reader):
        yield Table(columns, names, shape)


def _from_lazy_frame(x: Any) -> Iterator[Table]:
    yield from _from_arrow(x.limit(0).collect())  # wrong columns are noticed before the query runs
    # Batches where polars has them, so that what is larger than memory can be learned.
    for frame in x.collect_batches() if hasattr(x, "collect_batches") else [x.collect()]:
        yield from _from_arrow(frame)


def _from_series(x: Any) -> Iterator[Table]:
    for columns in _series_chunks(x):
        yield Table(columns, [], () if columns[0].width == 1 else (columns[0].width,))


def _from_frame(x: Any) -> Iterator[Table]:
    return _side_by_side([(str(name), _series_chunks(series)) for name, series in x.items()])


def _from_mapping(x: Mapping[Any, Any]) -> Iterator[Table]:
    for name in x:
        if not isinstance(name, str):
            raise TypeError(f"expected a dict of names and arrays, got the key {name!r}")
    return _side_by_side([(name, _value_chunks(values)) for name, values in x.items()])


def _series_chunks(series: Any) -> Chunks:
    dtype = series.dtype
    if isinstance(dtype, np.dtype) or hasattr(dtype, "fill_value"):  # or sparse
        yield [_column(from_array(series.to_numpy()))]
        return
    kept_as = getattr(dtype, "numpy_dtype", None)  # of nullable and Arrow-backed dtypes
    if isinstance(kept_as, np.dtype) and kept_as.kind in "biuf":
        values = from_array(series.to_numpy(dtype=kept_as, na_value=kept_as.type(0)))
        yield [_column(values._replace(valid=~np.asarray(series.isna())))]
        return
    if not hasattr(series, "__arrow_c_stream__") and hasattr(series, "to_frame"):  # pandas 2.2
        series = series.reset_index(drop=True).to_frame("x")
    try:
        reader = _reader(series)
    except (ImportError, AttributeError):  # pandas needs pyarrow for this; every number was taken above
        raise TypeError(f"expected numbers or booleans, got a pandas column of dtype {dtype}") from None
    yield from _chunks(reader)


def _value_chunks(values: Any) -> Chunks:
    kind = table_kind(values)
    if kind is not None:
        for table in kind(values):
            if table.names:
                raise TypeError(f"expected an array, got a table of columns {', '.join(table.names)}")
            yield table.columns
    else:
        array = from_array(values) if is_array(values) else from_numbers(values)
        yield [_column(array.part(None) if array.values.ndim == 0 else array)]


def _column(array: Dense) -> _core.Column:
    if array.values.ndim == 2 and array.values.shape[1] == 1:
        array = array.part((slice(None), 0))
    if array.values.ndim not in (1, 2):
        raise ValueError(f"expected an array of shape (rows,) or (rows, k), got {array.values.shape}")
    array = array.native()
    return _core.Column(array.view(), array.valid_view())


def _side_by_side(sources: list[tuple[str, Chunks]]) -> Iterator[Table]:
    """One table of columns that come in chunks of their own lengths."""
    if not sources:
        raise ValueError("expected at least one named column, got none")
    queues = [_Queue(name, chunks) for name, chunks in sources]
    while True:
        lengths = [queue.ready() for queue in queues]
        rows = min(lengths)
        columns = [column for queue in queues for column in queue.take(rows)] if rows > 0 else []
        names = [name for queue in queues for name in queue.feature_names()]
        yield Table(columns, names, (len(names),))
        if rows == 0:
            break
    for queue, length in zip(queues, lengths, strict=True):
        if length > 0:
            raise ValueError(
                f"columns must have equal lengths: {queue.name!r} has more rows than "
                f"{queues[lengths.index(0)].name!r}, which has {queue.rows}"
            )


class _Queue:
    """A column: what is left of its current chunk, and the chunks to come."""

    def __init__(self, name: str, chunks: Chunks) -> None:
        self.name = name
        self.rows = 0  # taken so far
        self._chunks = chunks
        self._columns: list[_core.Column] = []
        self._first = 0

    def ready(self) -> int:
        """How many rows there are to take; 0 at the end."""
        while not self._columns or self._first == self._columns[0].rows:
            try:
                columns = next(self._chunks, None)
            except (TypeError, ValueError) as error:
                raise type(error)(f"column {self.name!r}: {error}") from error
            if columns is None:
                return 0
            self._columns, self._first = columns, 0
        return self._columns[0].rows - self._first

    def take(self, rows: int) -> list[_core.Column]:
        columns = [column.slice(self._first, rows) for column in self._columns]
        self._first += rows
        self.rows += rows
        return columns

    def feature_names(self) -> list[str]:
        """Its name, or name[0], name[1], … of k features."""
        width = sum(column.width for column in self._columns)
        return [self.name] if width <= 1 else [f"{self.name}[{i}]" for i in range(width)]
