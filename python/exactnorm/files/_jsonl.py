"""JSON lines, parsed by several threads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.json

from exactnorm.files._blocks import Block, blocks, cut_lines
from exactnorm.files._locations import Location
from exactnorm.files._parallel import in_order
from exactnorm.files._readers import Piece, count_rows, naming_os_errors, pieces_of

_GUESSED_FROM = 1 << 20  # bytes


class JsonLinesReader:
    """An open file of JSON objects, one in a line. A position is an offset in bytes; none if compressed.

    Columns are the keys of the beginning of the file. Parameters are those of `CsvReader`.
    """

    guessed = True

    def __init__(self, location: Location, numbers: Collection[str], *, threads: int) -> None:
        self._location, self._numbers, self._threads = location, numbers, threads
        beginning = next(blocks(location, cut_lines, size=_GUESSED_FROM), None)
        if beginning is None:
            raise ValueError("expected an object in each line, got an empty file")
        self.schema: pa.Schema = _parse(beginning.text, None).schema
        for name, guess in zip(self.schema.names, self.schema.types, strict=True):
            if name in numbers and pa.types.is_null(guess):
                self._set_type(name, pa.int64())

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        wanted = pa.schema([self.schema.field(name) for name in columns])

        def parse(block: Block) -> pa.Table:
            return _parse(block.text, wanted)

        rows = 0
        with naming_os_errors(self._location.name):
            try:
                for block, table in in_order(parse, blocks(self._location, cut_lines, start), self._threads):
                    rows += table.num_rows
                    end = None if self._location.compression else block.end
                    yield from pieces_of(table.select(columns), end, block.done)
            except pa.ArrowInvalid as error:
                raise count_rows(error, None if start else rows) from error

    def widen(self, error: pa.ArrowInvalid) -> None:
        """See `TableReader`."""
        found: pa.Schema | None = getattr(error, "schema", None)
        if found is None:
            raise error
        for name in self.schema.names:
            old = self.schema.field(name).type
            new = found.field(name).type if name in found.names else old
            if new == old or pa.types.is_null(new):
                continue
            if (pa.types.is_integer(old) or pa.types.is_null(old)) and pa.types.is_floating(new):
                self._set_type(name, pa.float64())
                return
            if pa.types.is_null(old) and not (name in self._numbers and not pa.types.is_integer(new)):
                self._set_type(name, new)
                return
            if not (pa.types.is_floating(old) and pa.types.is_integer(new)):
                raise ValueError(f"column {name!r} is {old} at the beginning, and {new} later") from error
        raise ValueError(str(error)) from error

    def _set_type(self, name: str, wanted: pa.DataType) -> None:
        index = self.schema.get_field_index(name)
        self.schema = self.schema.set(index, pa.field(name, wanted))


def _parse(text: bytes, schema: pa.Schema | None) -> pa.Table:
    reading = pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    if schema is None:
        table = pa.json.read_json(pa.BufferReader(text), read_options=reading)
        own = pa.schema([field.with_type(_as_written(field.type)) for field in table.schema])
        return table if own == table.schema else _parse(text, own)
    parsing = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        return pa.json.read_json(pa.BufferReader(text), read_options=reading, parse_options=parsing)
    except pa.ArrowInvalid as error:
        error.schema = _parse(text, None).schema  # that the text has by itself
        raise


def _as_written(kind: pa.DataType) -> pa.DataType:
    """Return a type with text in the place of times: JSON has none, and a zone would be lost."""
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_as_written(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_as_written(field.type)) for field in kind.fields])
    return kind
