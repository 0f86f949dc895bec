"""Tables into files of every format."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Callable, Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from exactnorm.files._text import LINES, csv_header, csv_lines, json_lines

Write = Callable[[pa.RecordBatch], None]

_ROW_GROUP_BYTES = 16 << 20
_DICTIONARY_BYTES = 1 << 16  # a larger one, of numbers that hardly repeat, costs more than it saves
_ROW_GROUP_ROWS = 1 << 20  # which pyarrow does not exceed


@contextlib.contextmanager
def table_writer(file: IO[bytes], form: str, compression: str | None, schema: pa.Schema) -> Iterator[Write]:
    """Give what writes batches of this schema into an open file; the file is complete at the end.

    Raises
    ------
    ValueError
        For a format that has no tables, and naming a column that the format cannot hold.
    OSError
        If the file cannot be written.
    """
    match form:
        case "parquet":
            with pq.ParquetWriter(file, schema, dictionary_pagesize_limit=_DICTIONARY_BYTES) as writer:
                groups = _RowGroups(writer)
                yield groups.add
                groups.flush()
        case "csv" | "jsonl":
            lines = csv_lines if form == "csv" else json_lines
            with _compressed(file, compression) as sink:
                if form == "csv":
                    sink.write(csv_header(schema.names))
                yield lambda batch: _write_lines(sink, lines, batch)
        case "arrow":
            options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
            with pa.ipc.new_file(file, schema, options=options) as writer:
                dictionaries = _Dictionaries(schema)
                yield lambda batch: writer.write_batch(dictionaries.unified(batch))
        case "arrows":
            with pa.ipc.new_stream(file, schema) as writer:
                yield writer.write_batch
        case _:
            raise ValueError(f"expected a format of tables, got .{form}")


class _RowGroups:
    """Batches put together: small row groups are slow to read."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._batches: list[pa.RecordBatch] = []
        self._rows = self._bytes = 0

    def add(self, batch: pa.RecordBatch) -> None:
        if self._rows + batch.num_rows > _ROW_GROUP_ROWS or self._bytes >= _ROW_GROUP_BYTES:
            self.flush()
        self._batches.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes

    def flush(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches)
            self._batches, self._rows, self._bytes = [], 0, 0
            self._writer.write_table(table, row_group_size=max(1, table.num_rows))
            pa.default_memory_pool().release_unused()  # it keeps what one row group needed, and more


class _Dictionaries:
    """One dictionary for each column, which grows: an Arrow IPC file cannot hold one that changes."""

    def __init__(self, schema: pa.Schema) -> None:
        self._known = {
            i: pa.array([], kind.value_type)
            for i, kind in enumerate(schema.types)
            if pa.types.is_dictionary(kind)
        }

    def unified(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch with all values that have been there before in front, in the same order."""
        if not self._known:
            return batch
        columns = batch.columns
        for i, known in self._known.items():
            column = columns[i]
            own = column.dictionary
            new = own.filter(pc.invert(pc.is_in(own, known))).unique()
            known = self._known[i] = pa.concat_arrays([known, new])
            places = pc.index_in(own, known).take(column.indices).cast(column.type.index_type)
            columns[i] = pa.DictionaryArray.from_arrays(places, known, ordered=column.type.ordered)
        return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _compressed(file: IO[bytes], compression: str | None) -> contextlib.AbstractContextManager[Any]:
    if compression is None:
        return contextlib.nullcontext(file)
    if compression == "gzip":  # pyarrow's level is 9, which takes far longer; without a time, bytes are equal
        return gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, mtime=0, filename="")
    stream: contextlib.AbstractContextManager[Any] = pa.CompressedOutputStream(file, compression)
    return stream


def _write_lines(
    sink: IO[bytes], lines: Callable[[pa.RecordBatch], pa.Buffer], batch: pa.RecordBatch
) -> None:
    for first in range(0, batch.num_rows, LINES):
        sink.write(lines(batch.slice(first, LINES)))
