"""Parquet, read a part of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from exactnorm.files._locations import Location
from exactnorm.files._parallel import ahead
from exactnorm.files._readers import Piece, batch_rows, naming_os_errors, row_bytes

_AT_ONCE = 64 << 20  # bytes in memory up to which row groups are read whole, which is faster
_SPAN = 32 << 20  # up to about which they are put together
_BATCH = 8 << 20  # of larger ones: Parquet has a cost for each batch


class ParquetReader:
    """An open Parquet file. A position is the number of a row group."""

    guessed = False

    def __init__(self, location: Location, *, use_threads: bool = True) -> None:
        self._location, self._use_threads = location, use_threads
        # Unlike a scan by pyarrow.dataset, this never holds a large row group, which may be the whole file.
        self._file = pq.ParquetFile(
            location.open(), buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
        )
        self.schema: pa.Schema = self._file.schema_arrow

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        with naming_os_errors(self._location.name):
            for span in self._spans(columns, start):
                yield from self._pieces_of(span, columns)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the file says."""
        raise error

    def _pieces_of(self, span: range, columns: Sequence[str]) -> Iterator[Piece]:
        metadata = self._file.metadata
        read = sum(metadata.row_group(i).num_rows for i in range(span.start))
        last: Piece | None = None
        for batch in self._batches(span, columns):
            if last is not None:
                yield last
            read += batch.num_rows
            last = Piece(batch.select(columns), None, read / metadata.num_rows)
        if last is not None:
            yield last._replace(position=span.stop)

    def _batches(self, span: range, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        how = {"columns": list(columns), "use_threads": self._use_threads}
        if self._bytes(span, columns) <= _AT_ONCE:
            # All CPUs decode, so reading ahead would gain little, and double the memory.
            yield from self._file.read_row_groups(list(span), **how).to_batches()
        else:
            rows = batch_rows(self.schema, columns, _BATCH)
            yield from ahead(self._file.iter_batches(rows, row_groups=list(span), **how))

    def _spans(self, columns: Sequence[str], start: int) -> Iterator[range]:
        """Put row groups together that are read faster at once."""
        first, end, size = start, self._file.metadata.num_row_groups, 0
        for i in range(start, end):
            size += self._bytes(range(i, i + 1), columns)
            if size >= _SPAN:
                yield range(first, i + 1)
                first, size = i + 1, 0
        if first < end:
            yield range(first, end)

    def _bytes(self, span: range, columns: Sequence[str]) -> int:
        """About how many bytes these columns take in memory."""
        rows = sum(self._file.metadata.row_group(i).num_rows for i in span)
        return int(rows) * row_bytes(self.schema, columns)
