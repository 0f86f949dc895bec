"""Files read as one table, one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

import pyarrow as pa

from exactnorm.files._columns import Seen, common_schema, is_number
from exactnorm.files._csv import CsvReader
from exactnorm.files._exact_whole import changed_number, holds_float64, may_be_changed
from exactnorm.files._kinds import is_text as is_text_type
from exactnorm.files._locations import Location
from exactnorm.files._plan import partition_columns, repeated
from exactnorm.files._readers import TableReader, batch_rows, naming
from exactnorm.files._tables import open_table


class WrongGuessError(Exception):
    """A value was not of the type that its column seemed to have."""


class Part(NamedTuple):
    """Rows of a table, and where they are from."""

    batch: pa.RecordBatch
    name: str
    """Of the file."""
    row: int
    """The number of the first of them in it, from 0."""
    done: float
    """Which part of all files has been read, from 0 to 1."""


@dataclass(frozen=True)
class Wishes:
    """How to read text, which says little about types."""

    numbers: Collection[str] = ()
    """Columns to read as float64. To calculate with, that is as good as int64, and it needs no second try."""
    strings: Collection[str] = ()
    """Columns to read as the text that they are."""
    as_text: bool = False
    """Whether to read so all other columns of CSV files."""


class OneTable:
    """Files as one table, with the columns that only their folders' names have.

    Parameters
    ----------
    locations : sequence of Location
        At least one.
    partitions : collection of str
        Which columns of folders' names to add.
    threads : int, optional
        How many decode.

    Raises
    ------
    ValueError
        For columns that are missing or have another type in one of the files; files that are not what their
        names say.
    OSError
        For files that cannot be read.
    """

    def __init__(
        self, locations: Sequence[Location], partitions: Collection[str], threads: int | None
    ) -> None:
        self._locations, self._threads = list(locations), threads
        self._wishes = Wishes()
        self._csv = {location.name for location in locations if location.format == "csv"}
        self._sizes = [location.known_size() for location in locations]
        self._hexadecimal: set[str] = set()
        self._seen: dict[str, list[Seen]] = {}
        self._first: pa.Schema | None = None
        self._guesses = 0
        for location in locations:
            reader = open_table(location, threads=1)
            if isinstance(reader, CsvReader) and reader.has_hexadecimal:
                self._hexadecimal.add(location.name)
            self._first = self._first or reader.schema
            self._guesses += reader.guessed
            for name, kind in zip(reader.schema.names, reader.schema.types, strict=True):
                self._seen.setdefault(name, []).append(Seen(location.name, kind, reader.guessed))
        stored = list(self._seen)
        self._partitions = {
            name: seen
            for name, seen in partition_columns(self._locations, stored).items()
            if name in partitions
        }
        self._widened: dict[str, pa.DataType] = {}
        self._sound: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """Of the first file."""
        return self._locations[0].name

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [*self._seen, *self._partitions]

    @property
    def stored(self) -> list[str]:
        """The columns that are in the files."""
        return list(self._seen)

    @property
    def bytes(self) -> int:
        """Of all files; 0 if that is not known."""
        return sum(self._sizes)

    def read_as(self, wishes: Wishes) -> None:
        """Say how to read text."""
        self._wishes = wishes

    def may_restart(self, columns: Sequence[str]) -> bool:
        """Whether a type may turn out to be wrong after some rows."""
        return self._guesses > 0 and any(
            self._wish(name, seen) is None for name in columns for seen in self._seen.get(name, ())
        )

    def schema(self, columns: Sequence[str]) -> pa.Schema:
        """Return the types of some columns."""
        places: dict[str, list[Seen]] = {}
        for name in columns:
            seen = self._seen.get(name, self._partitions.get(name, []))
            is_text = self._wishes.as_text and name not in (*self._wishes.numbers, *self._wishes.strings)
            places[name] = _agreed([self._as_read(name, place) for place in seen], is_text=is_text)
        kinds = common_schema(places, [location.name for location in self._locations])
        assert self._first is not None  # noqa: S101 - there is a file
        given = {field.name: field for field in self._first}
        fields = [given.get(field.name, field).with_type(field.type) for field in kinds]
        return pa.schema(fields, self._first.metadata)

    def parts(self, columns: Sequence[str]) -> Iterator[Part]:
        """Give all rows of some columns.

        Raises
        ------
        WrongGuessError
            If all must be read again from the start, now that more is known about their types.
        """
        schema = self.schema(columns)
        stored = [name for name in columns if name in self._seen]
        floats = [name for name in stored if self._may_have_changed(name, schema.field(name).type)]
        step = batch_rows(schema, columns)
        before = 0
        for location, size in zip(self._locations, self._sizes, strict=True):
            row = 0
            with naming(location.name):
                reader = self._open(location, schema)
                try:
                    for piece in reader.pieces(stored):
                        if reader.guessed:
                            self._check_unchanged(piece.batch, floats, location)
                        done = (before + piece.done * size) / self.bytes if self.bytes else 0.0
                        for first in range(0, piece.batch.num_rows, step):
                            batch = self._completed(piece.batch.slice(first, step), schema, location)
                            yield Part(batch, location.name, row, done)
                            row += batch.num_rows
                except pa.ArrowInvalid as error:
                    self._widen(reader, error)
                    raise WrongGuessError from error
            before += size

    def _may_have_changed(self, name: str, kind: pa.DataType) -> bool:
        """Whether float64 is only a guess, for what is not calculated with."""
        seen = self._seen[name]
        return holds_float64(kind) and any(self._wish(name, place) is None for place in seen if place.guessed)

    def _check_unchanged(self, batch: pa.RecordBatch, floats: Sequence[str], location: Location) -> None:
        """Read numbers that float64 would change as text, or raise a ValueError where that cannot be."""
        for name in floats:
            if (location.name, name) in self._sound or not may_be_changed(batch.column(name)):
                continue
            value = changed_number(location, name)
            if value is None:
                self._sound.add((location.name, name))
            elif location.format == "csv":
                self._widened[name] = pa.string()
                raise WrongGuessError
            else:
                raise ValueError(
                    f"column {name!r}: {value} would not stay what it is in float64: "
                    "write such numbers as text, in quotes, or leave the column out (--drop-others)"
                )

    def _widen(self, reader: TableReader, error: pa.ArrowInvalid) -> None:
        """Change the type of the column that gave this error, or raise an error that names the column."""
        old = reader.schema
        reader.widen(error)
        new = zip(reader.schema.names, reader.schema.types, strict=True)
        self._widened |= {name: kind for name, kind in new if old.field(name).type != kind}

    def _open(self, location: Location, schema: pa.Schema) -> TableReader:
        reader = open_table(
            location, self._wishes.numbers, as_text=self._wishes.as_text, threads=self._threads
        )
        if reader.guessed:
            wanted = {field.name: field.type for field in schema}
            reader.schema = pa.schema(
                [field.with_type(wanted.get(field.name, field.type)) for field in reader.schema]
            )
        return reader

    def _completed(self, batch: pa.RecordBatch, schema: pa.Schema, location: Location) -> pa.RecordBatch:
        """Return a batch with all columns, of the types that they have in all files."""
        values = dict(location.partitions)
        columns = []
        for field in schema:
            if field.name in self._partitions:
                columns.append(repeated(values[field.name], field.type, batch.num_rows))
            else:
                column = batch.column(field.name)
                columns.append(column if column.type == field.type else column.cast(field.type))
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def _wish(self, name: str, seen: Seen) -> pa.DataType | None:
        """Return the type to read a column as, if its own is a guess and does not matter."""
        if name in self._partitions:
            return pa.string() if name in self._wishes.strings else None
        if not seen.guessed:
            return None
        if name in self._wishes.numbers:
            return None if self._is_as_guessed(name, seen) else pa.float64()
        is_text = name in self._wishes.strings or self._wishes.as_text
        return pa.string() if is_text and seen.path in self._csv else None

    def _is_as_guessed(self, name: str, seen: Seen) -> bool:
        """Whether numbers do not read as float64: booleans, and where there may be hexadecimal ones."""
        has_booleans = any(pa.types.is_boolean(place.type) for place in self._seen[name])
        return has_booleans or (seen.path in self._hexadecimal and pa.types.is_integer(seen.type))

    def _as_read(self, name: str, seen: Seen) -> Seen:
        wish = self._wish(name, seen)
        if wish is None and seen.guessed:
            wish = self._widened.get(name)
        return seen if wish is None else seen._replace(type=wish)


def partitions_below(base: str, locations: Sequence[Location]) -> set[str]:
    """Return the columns that the names of folders in a folder tell, but not that folder's own."""
    count = sum(part.find("=") > 0 for part in PurePosixPath(base).parts)
    return {name for location in locations for name, _ in location.partitions[count:]}


def _agreed(places: list[Seen], *, is_text: bool) -> list[Seen]:
    """Give guesses that differ a type that goes for all of them: float64 for numbers, or text.

    What becomes text anyway may differ if text is among it.
    """
    kinds = {place.type for place in places if not pa.types.is_null(place.type)}
    is_text = is_text and any(map(is_text_type, kinds)) and not any(map(pa.types.is_nested, kinds))
    if len(kinds) < 2 or not (is_text or all(place.guessed for place in places)):
        return places
    wide = pa.float64() if all(map(is_number, kinds)) else pa.string()
    return [place._replace(type=wide) for place in places]
