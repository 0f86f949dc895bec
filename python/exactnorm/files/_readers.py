"""What every reader of a table gives, whatever the format: a schema, and batches with where they end."""

from __future__ import annotations

import contextlib
import errno
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import pyarrow as pa

_ROW = re.compile(r"(Row #| in row )(\d+)(: |)")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError)
BATCH_BYTES = 4 << 20
BATCH_ROWS = 1 << 20


class Piece(NamedTuple):
    """Rows of a table, in order."""

    batch: pa.RecordBatch
    position: int | None
    """Where to start to get what comes after; None if it is not known here."""
    done: float
    """Which part of the file has been read, from 0 to 1."""


class TableReader(Protocol):
    """An open table."""

    schema: pa.Schema
    """Of all columns, distinct by name."""
    guessed: bool
    """Whether types are guesses from the beginning of the file, which `widen` may change."""

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """Give some columns, in this order, of all rows, or of those from a Piece's position on.

        ArrowInvalid if a value is not of its column's type.
        """

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Change the type of the column that gave this error, or raise an error that names the column.

        After it, all must be read again from the start.
        """


def pieces_of(table: pa.Table, position: int | None, done: float) -> Iterator[Piece]:
    """Give a table's batches; the last one ends at that position."""
    batches = table.to_batches()
    for i, batch in enumerate(batches, 1):
        yield Piece(batch, position if i == len(batches) else None, done)


def count_rows(error: pa.ArrowInvalid, before: int | None) -> pa.ArrowInvalid:
    """Return an error of a block with rows counted in the file, or not at all if that is not known."""

    def number(found: re.Match[str]) -> str:
        return "" if before is None else f"{found[1]}{int(found[2]) + before}{found[3]}"

    counted = pa.ArrowInvalid(_ROW.sub(number, str(error)))
    counted.__dict__.update(error.__dict__)
    return counted


def batch_rows(schema: pa.Schema, columns: Sequence[str], size: int = BATCH_BYTES) -> int:
    """How many rows of these columns to read at once, to have about so many bytes."""
    return max(1, min(BATCH_ROWS, size // max(1, row_bytes(schema, columns))))


def row_bytes(schema: pa.Schema, columns: Sequence[str]) -> int:
    """About how many bytes a row of these columns takes in memory."""
    return sum(_width(schema.field(name).type) for name in columns)


def _width(kind: pa.DataType) -> int:
    """About how many bytes a value takes."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    return max(1, int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else 64


def check_distinct(names: Sequence[str]) -> None:
    """Raise a ValueError if two columns have one name."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"more than one column is named {twice!r}")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name into errors that do not have one: ValueError, or OSError."""
    try:
        with naming_os_errors(path):
            yield
    except (ValueError, TypeError, RuntimeError, pa.ArrowException, *_DAMAGE) as error:
        message = str(error)
        raise ValueError(message if message.startswith(f"{path}: ") else f"{path}: {message}") from error


@contextlib.contextmanager
def naming_os_errors(path: str) -> Iterator[None]:
    """Put the file's name into an OSError that has none."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise named(error, path) from error


def named(error: OSError, path: str) -> OSError:
    """Return the same error of a file of this name."""
    return OSError(error.errno or errno.EIO, error.strerror or str(error), path)
