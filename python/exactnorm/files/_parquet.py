"""Parquet, read a part of a row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from exactnorm.files._locations import Location
from exactnorm.files._readers import Piece, batch_rows, naming_os_errors

_SPAN_BYTES = 128 << 20  # of row groups that are read together


class ParquetReader:
    """An open Parquet file. A position is the number of a row group."""

    guessed = False

    def __init__(self, location: Location, *, use_threads: bool = True) -> None:
        self._location, self._use_threads = location, use_threads
        # Unlike a scan by pyarrow.dataset, this never holds a whole row group, which may be the whole file.
        self._file = pq.ParquetFile(
            location.open(), buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
        )
        self.schema: pa.Schema = self._file.schema_arrow

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        rows = batch_rows(self.schema, columns)
        all_rows = max(1, self._file.metadata.num_rows)
        read = sum(self._file.metadata.row_group(i).num_rows for i in range(start))
        with naming_os_errors(self._location.name):
            for span in self._spans(columns, start):
                batches = self._file.iter_batches(
                    rows, row_groups=list(span), columns=list(columns), use_threads=self._use_threads
                )
                last: Piece | None = None
                for batch in batches:
                    if last is not None:
                        yield last
                    read += batch.num_rows
                    last = Piece(batch.select(columns), None, read / all_rows)
                if last is not None:
                    yield last._replace(position=span.stop)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the file says."""
        raise error

    def _spans(self, columns: Sequence[str], start: int) -> Iterator[range]:
        """Put row groups together that are read faster at once."""
        metadata = self._file.metadata
        share = len(columns) / max(1, len(self.schema))
        first, size = start, 0.0
        for i in range(start, metadata.num_row_groups):
            size += share * metadata.row_group(i).total_byte_size
            if size >= _SPAN_BYTES:
                yield range(first, i + 1)
                first, size = i + 1, 0.0
        if first < metadata.num_row_groups:
            yield range(first, metadata.num_row_groups)
