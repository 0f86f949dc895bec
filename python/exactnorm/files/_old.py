"""Tables in files: Parquet and CSV, read batch by batch, written all or nothing. Needs pyarrow.

What a file is goes by the ending of its name: ``.parquet``, ``.csv``, ``.csv.gz`` or ``.csv.zst``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

_T = TypeVar("_T")

_ENDINGS = {".parquet": None, ".csv": None, ".csv.gz": "gzip", ".csv.zst": "zstd"}
_WRONG_TYPE = re.compile(
    r"In CSV column #(?P<column>\d+): .*CSV conversion error.*: invalid value (?P<value>.*)", re.DOTALL
)
_CSV_BLOCK = 1 << 20  # bytes read, and looked at for the types, at once; no row may be longer
_BATCH_BYTES = 16 << 20
_BATCH_ROWS = 1 << 16


class ParquetReader:
    """An open Parquet file; see `open_table`."""

    has_types = True

    def __init__(self, path: str) -> None:
        # Unlike a scan by pyarrow.dataset, this never holds a whole row group, which may be the whole file.
        self._path = path
        self._file = pq.ParquetFile(
            path, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
        )
        self.schema: pa.Schema = self._file.schema_arrow

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns, in this order, of all rows."""
        row_bytes = sum(_width(self.schema.field(name).type) for name in columns)
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))
        with _naming_os_errors(self._path):
            for batch in self._file.iter_batches(rows, columns=list(columns)):
                yield batch.select(columns)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the file says."""
        raise error


class CsvReader:
    """An open CSV file; see `open_table`."""

    has_types = False

    def __init__(self, path: str, numbers: Collection[str], *, as_text: bool) -> None:
        self._path = path
        self._numbers = numbers
        with self._open(pyarrow.csv.ConvertOptions()) as stream:
            self.schema: pa.Schema = stream.schema
        for name, guess in zip(self.schema.names, self.schema.types, strict=True):
            if name in numbers:
                if pa.types.is_null(guess):
                    self._set_type(name, pa.float64())
            elif as_text:
                self._set_type(name, pa.string())

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Give some columns, in this order, of all rows. ArrowInvalid for a cell that is not of its type."""
        options = pyarrow.csv.ConvertOptions(column_types=self.schema, include_columns=list(columns))
        with _naming_os_errors(self._path), self._open(options) as stream:
            yield from stream

    def _open(self, options: pyarrow.csv.ConvertOptions) -> pyarrow.csv.CSVStreamingReader:
        # Unlike a scan by pyarrow.dataset, this does not read up to 1 GiB ahead of a slower writer.
        return pyarrow.csv.open_csv(
            self._path,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Change the type of the column that gave this error, or raise the error, naming the column."""
        found = _WRONG_TYPE.match(str(error))
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


TableReader = ParquetReader | CsvReader


def open_table(path: str, numbers: Collection[str] = (), *, as_text: bool = False) -> TableReader:
    """Open a file to read some of its columns, a batch at a time. Memory does not grow with the file.

    CSV says nothing about types. Numbers are int64 if they are whole, else float64. Empty cells and what else
    pyarrow.csv takes for missing (NA, NaN, NULL, …) are nulls. Types are guessed from the beginning: see
    `read`.

    Parameters
    ----------
    path : str
    numbers : collection of str
        Columns that are numbers, even where a CSV file has none to show, and will stay numbers.
    as_text : bool, default False
        Read all other columns of a CSV file as the text that they are.

    Raises
    ------
    ValueError
        For a name of unknown ending, a file that is not what its name says, and two columns of one name.
    OSError
        If the file cannot be read.
    """
    csv = is_csv(path)
    with naming(path):
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError("expected a regular file")
        reader = CsvReader(path, numbers, as_text=as_text) if csv else ParquetReader(path)
        names = reader.schema.names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"more than one column is named {twice!r}")
        return reader


def read(reader: TableReader, work: Callable[[TableReader], _T]) -> _T:
    """Return work(reader), which reads all batches: again from the first if a wider CSV type is needed.

    So a column of whole numbers becomes float64 if another number turns up, and one that need not be a number
    becomes text in the end. Work must leave nothing behind if it fails.
    """
    while True:
        try:
            return work(reader)
        except pa.ArrowInvalid as error:
            reader.widen(error)


def write_table(path: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a file; if anything fails, the file of before stays.

    CSV has quotes only where needed, the fewest digits that read back as the same number, and empty cells for
    nulls.

    Raises
    ------
    ValueError
        For a name of unknown ending, and naming a column that CSV cannot hold.
    OSError
        If the file cannot be written.
    """
    csv = is_csv(path)
    with replacing(path) as file:
        if not csv:
            with pq.ParquetWriter(file, schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)
            return
        compression = _ENDINGS[_ending(path)]
        with (
            pa.CompressedOutputStream(file, compression)
            if compression
            else contextlib.nullcontext(file) as sink
        ):
            sink.write(_csv_lines([_csv_cells(name, pa.array([name])) for name in schema.names]))
            for batch in batches:
                sink.write(_csv_lines([_csv_cells(name, batch[name]) for name in schema.names]))


def is_csv(path: str) -> bool:
    """Whether the name is one of a CSV file. ValueError for a name of unknown ending."""
    return _ending(path) != ".parquet"


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Give a new file that takes the place of path at the end, or vanishes if there is an exception."""
    target = Path(path).resolve()
    old = target.stat().st_mode if target.exists() else None
    if old is not None and not stat.S_ISREG(old):
        raise OSError(errno.EINVAL, "cannot replace what is not a regular file", path)
    mode = 0o666 if old is None else stat.S_IMODE(old)
    temporary = target.with_name(f".exactnorm-{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(str(temporary), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            if old is not None:
                os.fchmod(descriptor, mode)
            with os.fdopen(os.dup(descriptor), "wb") as file:
                yield file
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            raise _named(error, path) from error
        raise


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Put the file's name into errors that do not have one: ValueError, or OSError."""
    try:
        with _naming_os_errors(path):
            yield
    except (ValueError, TypeError, RuntimeError, pa.ArrowException) as error:
        raise ValueError(f"{path}: {error}") from error


@contextlib.contextmanager
def _naming_os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise _named(error, path) from error


def _named(error: OSError, path: str) -> OSError:
    return OSError(error.errno or errno.EIO, error.strerror or str(error), path)


def _ending(path: str) -> str:
    for ending in _ENDINGS:
        if path.lower().endswith(ending):
            return ending
    raise ValueError(f"{path}: expected a name that ends in {', '.join(_ENDINGS)}")


def _width(kind: pa.DataType) -> int:
    """About how many bytes a value takes."""
    if pa.types.is_fixed_size_list(kind):
        return int(kind.list_size) * _width(kind.value_type)
    return max(1, int(kind.bit_width) // 8) if pa.types.is_primitive(kind) else 64


def _csv_cells(name: str, column: pa.Array) -> pa.Array:
    """Return cells as they stand in CSV; nulls stay nulls."""
    try:
        text = column.cast(pa.string())
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} of type {column.type} does not go into CSV") from error
    if pa.types.is_primitive(column.type):
        return text
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)


def _csv_lines(columns: Sequence[pa.Array]) -> pa.Buffer:
    """Return the bytes of rows."""
    if not columns:
        raise ValueError("no columns to write")
    missing = '""' if len(columns) == 1 else ""  # readers skip a line that is empty
    cells = [pc.fill_null(column, missing) for column in columns]
    lines = pc.binary_join_element_wise(*cells, ",")
    text = pc.binary_join_element_wise(lines, "", "\n")
    offsets, content = text.buffers()[1:]
    first, last = (int.from_bytes(offsets[4 * i : 4 * i + 4], sys.byteorder) for i in (0, len(text)))
    return content.slice(first, last - first)
