"""CSV, parsed by several threads."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv

from exactnorm.files._blocks import Block, blocks, cut_csv
from exactnorm.files._locations import Location
from exactnorm.files._parallel import in_order
from exactnorm.files._readers import Piece, count_rows, naming_os_errors, pieces_of

_GUESSED_FROM = 1 << 20  # bytes
_HEXADECIMAL = re.compile(b"0[xX]")
_WRONG_VALUE = re.compile(
    r"In CSV column #(?P<column>\d+): .*CSV conversion error.*: invalid value (?P<value>.*)", re.DOTALL
)


class CsvReader:
    """An open CSV file. A position is an offset in bytes; there is none if it is compressed.

    Parameters
    ----------
    location : Location
    numbers : collection of str
        Columns that are numbers, even where the beginning has none to show, and will stay numbers.
    as_text : bool
        Read all other columns as the text that they are.
    threads : int
    """

    guessed = True

    def __init__(
        self,
        location: Location,
        numbers: Collection[str],
        *,
        as_text: bool,
        threads: int,
    ) -> None:
        self._location, self._numbers, self._threads = location, numbers, threads
        beginning = next(blocks(location, cut_csv, size=_GUESSED_FROM), None)
        text = b"" if beginning is None else beginning.text
        self.has_hexadecimal = _HEXADECIMAL.search(text) is not None
        """Whether the beginning, which types are guessed from, may have numbers like 0x1F."""
        table = _parse(text)
        self.schema: pa.Schema = table.schema
        for name, guess in zip(self.schema.names, self.schema.types, strict=True):
            if name in numbers:
                if pa.types.is_null(guess):
                    self._set_type(name, pa.int64())
            elif as_text:
                self._set_type(name, pa.string())

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        names = self.schema.names
        options = pa.csv.ConvertOptions(column_types=self.schema, include_columns=list(columns))

        def parse(block: Block) -> pa.Table:
            return _parse(block.text, None if block.is_first else names, options)

        rows = 0
        with naming_os_errors(self._location.name):
            try:
                for block, table in in_order(parse, blocks(self._location, cut_csv, start), self._threads):
                    rows += table.num_rows + block.is_first  # with the header, as pyarrow counts
                    yield from pieces_of(table, None if self._location.compression else block.end, block.done)
            except pa.ArrowInvalid as error:
                raise count_rows(error, None if start else rows) from error

    def widen(self, error: pa.ArrowInvalid) -> None:
        """See `TableReader`."""
        found = _WRONG_VALUE.match(str(error))
        if found is None:
            raise error
        name = self.schema.names[int(found["column"])]
        old = self.schema.field(name).type
        if pa.types.is_integer(old):
            self._set_type(name, pa.float64())
        elif name not in self._numbers and not pa.types.is_string(old):
            self._set_type(name, pa.string())
        else:
            raise ValueError(f"column {name!r}: {found['value']} does not read as {old}") from error

    def _set_type(self, name: str, wanted: pa.DataType) -> None:
        index = self.schema.get_field_index(name)
        self.schema = self.schema.set(index, pa.field(name, wanted))


def _parse(
    text: bytes, names: Sequence[str] | None = None, convert: pa.csv.ConvertOptions | None = None
) -> pa.Table:
    """Parse records; the first has the names if they are not given."""
    has_quotes = b'"' in text
    return pa.csv.read_csv(
        pa.BufferReader(text),
        read_options=pa.csv.ReadOptions(
            use_threads=False, block_size=max(1 << 20, len(text) + 1), column_names=names
        ),
        # Without quotes there is less to look for.
        parse_options=pa.csv.ParseOptions(
            quote_char='"' if has_quotes else False, newlines_in_values=has_quotes
        ),
        convert_options=convert,
    )
