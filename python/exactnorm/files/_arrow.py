"""Arrow IPC: files (Feather), read a record batch at a time, and streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.ipc

from exactnorm.files._locations import Location
from exactnorm.files._parallel import ahead
from exactnorm.files._readers import Piece, batch_rows, naming_os_errors


class ArrowFileReader:
    """An open Arrow IPC file. A position is the number of a record batch."""

    guessed = False

    def __init__(self, location: Location) -> None:
        self._location = location
        with pa.ipc.open_file(location.open()) as file:
            self.schema: pa.Schema = file.schema

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        wanted = [self.schema.get_field_index(name) for name in columns]
        options = pa.ipc.IpcReadOptions(included_fields=wanted)
        rows = batch_rows(self.schema, columns)
        with (
            naming_os_errors(self._location.name),
            pa.ipc.open_file(self._location.open(), options=options) as file,
        ):
            count = file.num_record_batches
            batches = (file.get_batch(i) for i in range(start, count))
            for i, whole in enumerate(ahead(batches), start):
                batch = whole.select(columns)
                for first in range(0, batch.num_rows, rows):
                    is_last = first + rows >= batch.num_rows
                    yield Piece(batch.slice(first, rows), i + 1 if is_last else None, (i + 1) / count)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the file says."""
        raise error


class ArrowStreamReader:
    """An open Arrow IPC stream, which can be read once."""

    guessed = False

    def __init__(self, name: str, stream: pa.NativeFile, size: int = 0) -> None:
        self._name, self._stream, self._size = name, stream, size
        self._reader = pa.ipc.open_stream(stream)
        self.schema: pa.Schema = self._reader.schema

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:  # noqa: ARG002
        """See `TableReader`."""
        rows = batch_rows(self.schema, columns)
        with naming_os_errors(self._name):
            for batch in ahead(iter(self._reader)):
                done = self._stream.tell() / self._size if self._size else 0.0
                chosen = batch.select(columns)
                for first in range(0, batch.num_rows, rows):
                    yield Piece(chosen.slice(first, rows), None, done)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the stream says."""
        raise error
