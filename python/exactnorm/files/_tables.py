"""Tables in files, opened by their format."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from exactnorm._arguments import threads_of
from exactnorm.files._arrow import ArrowFileReader, ArrowStreamReader
from exactnorm.files._csv import CsvReader
from exactnorm.files._jsonl import JsonLinesReader
from exactnorm.files._locations import Location
from exactnorm.files._numpy import NumpyReader, StoredArray, stored_arrays
from exactnorm.files._parquet import ParquetReader
from exactnorm.files._readers import TableReader, check_distinct, naming

_STREAM_BEGINS = b"\xff\xff\xff\xff"  # an Arrow IPC stream; no UTF-8 does


def open_table(
    location: Location, numbers: Collection[str] = (), *, as_text: bool = False, threads: int | None = None
) -> TableReader:
    """Open a file to read some of its columns, a batch at a time. Memory does not grow with the file.

    CSV and JSON say little about types. Numbers are int64 if they are whole, else float64. Empty cells and
    what else pyarrow.csv takes for missing (NA, NaN, NULL, …) are nulls. Types are guessed from the
    beginning: see `TableReader.widen`.

    Parameters
    ----------
    location : Location
    numbers : collection of str
        Columns that are numbers, even where the beginning of a text has none to show, and will stay numbers.
    as_text : bool, default False
        Read all other columns of a CSV file as the text that they are.
    threads : int, optional
        How many decode; the default is pyarrow's.

    Raises
    ------
    ValueError
        For a file that is not what its name says, an array without named columns, and two columns of one
        name.
    OSError
        If the file cannot be read.
    """
    with naming(location.name):
        reader = _open(location, numbers, as_text=as_text, threads=threads_of(threads) or pa.cpu_count())
        check_distinct(reader.schema.names)
        return reader


def open_array(location: Location) -> StoredArray | None:
    """Open a file that holds a single array without names; None if it is a table."""
    if location.format not in ("npy", "npz"):
        return None
    with naming(location.name):
        return _without_names(stored_arrays(location))


@contextlib.contextmanager
def with_stdin(locations: Sequence[Location]) -> Iterator[list[Location]]:
    """Give the locations, with standard input as a file of what comes in: an Arrow IPC stream, or CSV.

    CSV may have to be read twice, so what is no file is copied into one without a name first.
    """
    if not any(location.is_stdin for location in locations):
        yield list(locations)
        return
    with contextlib.ExitStack() as stack:
        stdin = io.BufferedReader(io.FileIO(0, closefd=False))
        given: dict[str, Any]
        if stdin.peek(4)[:4] == _STREAM_BEGINS:
            with naming("-"):
                given = {"format": "arrows", "reader": ArrowStreamReader("-", pa.PythonFile(stdin, "r"))}
        else:
            file = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(stdin, file)
            file.flush()
            given = {"format": "csv", "path": f"/proc/self/fd/{file.fileno()}"}
        yield [replace(place, **given) if place.is_stdin else place for place in locations]


def _open(location: Location, numbers: Collection[str], *, as_text: bool, threads: int) -> TableReader:
    if location.reader is not None:
        reader: TableReader = location.reader
        return reader
    match location.format:
        case "csv":
            return CsvReader(location, numbers, as_text=as_text, threads=threads)
        case "jsonl":
            return JsonLinesReader(location, numbers, threads=threads)
        case "parquet":
            return ParquetReader(location, use_threads=threads > 1)
        case "arrow":
            return ArrowFileReader(location)
        case "arrows":
            file = location.open()
            return ArrowStreamReader(location.name, file, file.size())
    arrays = stored_arrays(location)
    if _without_names(arrays) is not None:
        raise ValueError("expected named columns, got a single array without names")
    return NumpyReader(arrays)


def _without_names(arrays: dict[str, StoredArray]) -> StoredArray | None:
    """Return the array of a file that has a single one, without fields; None if it is a table."""
    first = next(iter(arrays.values()))
    return first if len(arrays) == 1 and first.dtype.names is None else None
