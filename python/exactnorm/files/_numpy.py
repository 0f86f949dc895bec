"""NumPy's .npy and .npz, mapped into memory a piece at a time."""

from __future__ import annotations

import itertools
import math
import mmap
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from exactnorm.files._locations import Location
from exactnorm.files._readers import BATCH_BYTES, BATCH_ROWS, Piece

_LOCAL_HEADER = struct.Struct("<26xHH")  # of a member of a zip file: lengths of its name and extra field


class StoredArray:
    """Numbers in a file, in C order, of which rows are read as they are asked for.

    Parameters
    ----------
    location : Location
    member : zipfile.ZipInfo, optional
        Of an .npz file; without it, the file is the array.
    """

    def __init__(self, location: Location, member: zipfile.ZipInfo | None = None) -> None:
        self._location, self._member = location, member
        with self._open() as file:
            read = np.lib.format.read_array_header_1_0
            if np.lib.format.read_magic(file) != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = read(file)
            self._start = file.tell()
        if dtype.hasobject:
            raise ValueError(f"expected numbers, got dtype {dtype}")
        if is_fortran and len(shape) > 1 and math.prod(shape) > 0:
            raise ValueError("expected an array in C order, got one in Fortran order")
        if not shape:
            raise ValueError("expected rows, got a single number")
        self.shape: tuple[int, ...] = shape
        self.dtype: np.dtype[Any] = dtype

    @property
    def rows(self) -> int:
        """The extent of the first axis."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def batch_rows(self) -> int:
        """How many rows to read at once."""
        return max(1, BATCH_BYTES // max(1, self.row_bytes))

    def no_rows(self) -> npt.NDArray[Any]:
        """Return an array like it, without rows."""
        return np.empty((0, *self.shape[1:]), self.dtype)

    def pieces(self, step: int, start: int = 0) -> Iterator[npt.NDArray[Any]]:
        """Give so many rows at a time.

        Raises
        ------
        ValueError
            If the file ends before the array does.
        """
        is_mapped = self._location.filesystem is None and (
            self._member is None or self._member.compress_type == zipfile.ZIP_STORED
        )
        source = self._mapped if is_mapped else self._read
        for buffer in source(step * self.row_bytes, start * self.row_bytes):
            yield np.frombuffer(buffer, self.dtype).reshape(-1, *self.shape[1:])

    def _mapped(self, step: int, start: int) -> Iterator[memoryview]:
        end = self.rows * self.row_bytes
        if end == 0:
            return
        with Path(self._location.path).open("rb") as file:
            first = self._start + (0 if self._member is None else _data_offset(file, self._member))
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if len(mapped) < first + end:
            raise ValueError(f"the file ends before its array of shape {self.shape} does")
        for begin in range(start, end, step):
            stop = min(end, begin + step)
            yield memoryview(mapped)[first + begin : first + stop]
            # What has been read would count as this process's memory until another needs it.
            page = (first + begin) // mmap.PAGESIZE * mmap.PAGESIZE
            mapped.madvise(mmap.MADV_DONTNEED, page, first + stop - page)

    def _read(self, step: int, start: int) -> Iterator[bytes]:
        end = self.rows * self.row_bytes
        with self._open() as file:
            file.seek(self._start + start)
            for begin in range(start, end, step):
                wanted = min(end, begin + step) - begin
                data = file.read(wanted)
                if len(data) < wanted:
                    raise ValueError(f"the file ends before its array of shape {self.shape} does")
                yield data

    def _open(self) -> IO[bytes]:
        file: IO[bytes] = self._location.open()
        return file if self._member is None else zipfile.ZipFile(file).open(self._member)


def stored_arrays(location: Location) -> dict[str, StoredArray]:
    """Open the array of an .npy file, whose name is "", or those of an .npz file."""
    if location.format == "npy":
        return {"": StoredArray(location)}
    with zipfile.ZipFile(location.open()) as archive:
        members = archive.infolist()
    if not members:
        raise ValueError("expected arrays, got an archive without any")
    return {member.filename.removesuffix(".npy"): StoredArray(location, member) for member in members}


class NumpyReader:
    """The named arrays of an .npz file, or the fields of a structured array, as a table.

    A position is a number of rows.
    """

    guessed = False

    def __init__(self, arrays: dict[str, StoredArray]) -> None:
        self._arrays = arrays
        rows = {name: array.rows for name, array in arrays.items()}
        if len(set(rows.values())) > 1:
            raise ValueError(f"expected arrays of equal length, got {rows}")
        self._rows = next(iter(rows.values()))
        self.schema: pa.Schema = self._batch(
            {name: np.empty((0, *array.shape[1:]), array.dtype) for name, array in arrays.items()}
        ).schema

    def pieces(self, columns: Sequence[str], start: int = 0) -> Iterator[Piece]:
        """See `TableReader`."""
        chosen = {name: self._arrays[name] for name in columns} if "" not in self._arrays else self._arrays
        chosen = chosen or dict(itertools.islice(self._arrays.items(), 1))  # for the number of rows
        step = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, sum(a.row_bytes for a in chosen.values()))))
        sources = [array.pieces(step, start) for array in chosen.values()]
        for parts in zip(*sources, strict=True):
            start += len(parts[0])
            batch = self._batch(dict(zip(chosen, parts, strict=True))).select(list(columns))
            yield Piece(batch, start, start / self._rows)

    def widen(self, error: pa.ArrowInvalid) -> None:
        """Raise error: types are what the file says."""
        raise error

    @staticmethod
    def _batch(parts: dict[str, npt.NDArray[Any]]) -> pa.RecordBatch:
        whole = parts.get("")
        if whole is not None:
            parts = {name: whole[name] for name in whole.dtype.names or ()}
        return pa.record_batch({name: _column(name, values) for name, values in parts.items()})


def _column(name: str, values: npt.NDArray[Any]) -> pa.Array:
    try:
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        if values.ndim == 1:
            return pa.array(values)
        if values.ndim == 2:
            return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(f"array {name!r}: {error}") from error
    raise ValueError(f"array {name!r}: expected shape (rows,) or (rows, k), got {values.shape}")


def _data_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member that is not compressed begin."""
    file.seek(member.header_offset)
    name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return member.header_offset + _LOCAL_HEADER.size + int(name) + int(extra)
