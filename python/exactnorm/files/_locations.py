"""What users name, as files: paths, patterns, folders, hive partitions, URIs."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs

STDIN = "-"
ENDINGS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".arrows": "arrows",
    ".npy": "npy",
    ".npz": "npz",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
TEXT = ("csv", "jsonl")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATTERN = re.compile(r"[*?\[]")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Location:
    """A file to read."""

    name: str
    """As messages call it: what the user wrote, or what a pattern or folder made of it."""
    format: str
    """A value of ENDINGS, or "" for what only its first bytes tell."""
    compression: str | None = None
    partitions: tuple[tuple[str, str | None], ...] = ()
    """Columns that only the names of folders have: ``month=1`` in ``year=2013/month=1/a.parquet``."""
    filesystem: Any = None
    """A pyarrow.fs.FileSystem; None for a local path, and for stdin."""
    path: str = ""
    """Within the filesystem."""
    reader: Any = None
    """An open `TableReader`, of what can be opened only once."""

    @property
    def is_stdin(self) -> bool:
        """Whether it is no file, but standard input."""
        return self.name == STDIN

    def stamp(self) -> tuple[int, int]:
        """Size in bytes, and the time of the last change in nanoseconds. OSError without such a file."""
        if self.filesystem is None:
            status = Path(self.path).stat()
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{self.name}: expected a regular file")
            return status.st_size, status.st_mtime_ns
        info = self.filesystem.get_file_info(self.path)
        if info.type != pa.fs.FileType.File:
            raise FileNotFoundError(2, "No such file", self.name)
        return info.size, info.mtime_ns or 0

    def known_size(self) -> int:
        """Return its size in bytes; 0 for what has none, or cannot be read."""
        if self.reader is None:
            with contextlib.suppress(OSError, ValueError):
                return self.stamp()[0]
        return 0

    def open(self) -> pa.NativeFile:
        """Open it at random access, as its bytes are."""
        if self.filesystem is None:
            self.stamp()
            return pa.OSFile(self.path, "rb")
        return self.filesystem.open_input_file(self.path)


def locate(names: Sequence[str]) -> list[Location]:
    """Find all files that are named: paths, patterns (``*``, ``?``, ``[…]``, ``**``), folders, URIs, ``-``.

    Folders are searched to any depth for files of known endings; names that begin with a dot or an
    underscore are left out, as Hive and Spark do.

    Raises
    ------
    ValueError
        For an unknown ending, and a file that is named twice.
    OSError
        Where there is no such file.
    """
    found: list[Location] = []
    for name in names:
        found += _located(name)
    seen: set[tuple[str, str]] = set()
    for location in found:
        where = ("", os.path.realpath(location.path))
        if location.filesystem is not None:
            where = (location.filesystem.type_name, location.path)
        if where in seen:
            raise ValueError(f"{location.name}: named twice")
        seen.add(where)
    return found


def format_of(name: str) -> tuple[str, str | None]:
    """Return format and compression of a file, by its name. ValueError for an unknown ending."""
    stem, compression = name.lower(), None
    for ending, known in COMPRESSIONS.items():
        if stem.endswith(ending):
            stem, compression = stem.removesuffix(ending), known
    for ending, form in ENDINGS.items():
        if stem.endswith(ending) and (compression is None or form in TEXT):
            return form, compression
    raise ValueError(
        f"{name}: expected a name that ends in {', '.join(ENDINGS)}, or .gz or .zst after .csv or .jsonl"
    )


def filesystem_of(name: str) -> tuple[Any, str]:
    """Return the filesystem of a URI and the path in it; no filesystem for a local path."""
    if _URI.match(name) is None:
        return None, name
    try:
        filesystem, path = pa.fs.FileSystem.from_uri(name)
    except (ValueError, OSError, ImportError) as error:
        raise ValueError(f"{name}: {error}") from error
    return (None if isinstance(filesystem, pa.fs.LocalFileSystem) else filesystem), path


def folder_before_pattern(path: str) -> str:
    """Return a path as far as it is no pattern."""
    while _PATTERN.search(path):
        path = str(PurePosixPath(path).parent)
    return path


def _located(name: str) -> Iterable[Location]:
    if name == STDIN:
        return [Location(name, "")]
    filesystem, path = filesystem_of(name)
    if filesystem is not None:
        return _remote(name, filesystem, path)
    if Path(path).is_dir():
        return _folder(name, None, path, _walk(path))
    if not os.path.lexists(path) and _PATTERN.search(path):
        found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        matches = [match for match in found if not _is_hidden(Path(match).name)]
        if not matches:
            raise FileNotFoundError(2, "No file of this pattern", name)
        return [location for match in matches for location in _located(match)]
    form, compression = format_of(name)
    return [Location(name, form, compression, _partitions(path), None, path)]


def _walk(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (str(Path(parent, name)) for name in files if not _is_hidden(name))


def _remote(name: str, filesystem: Any, path: str) -> Iterable[Location]:
    scheme = name.partition("://")[0]
    base = folder_before_pattern(path)
    if filesystem.get_file_info(base).type == pa.fs.FileType.Directory:
        selector = pa.fs.FileSelector(base, recursive=True)
        files = [
            info.path
            for info in filesystem.get_file_info(selector)
            if info.type == pa.fs.FileType.File
            and not any(map(_is_hidden, PurePosixPath(info.path).relative_to(base).parts))
            and (base == path or _matches(PurePosixPath(info.path).parts, PurePosixPath(path).parts))
        ]
        return _folder(name, filesystem, f"{scheme}://", files)
    form, compression = format_of(path)
    return [Location(name, form, compression, _partitions(path), filesystem, path)]


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path is of a pattern, part by part; ``**`` is any number of parts, as in glob."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _folder(name: str, filesystem: Any, prefix: str, files: Iterable[str]) -> Iterable[Location]:
    """Give those of the files whose format is known."""
    found = []
    for path in sorted(files):
        try:
            form, compression = format_of(path)
        except ValueError:
            continue
        shown = path if filesystem is None else prefix + path
        found.append(Location(shown, form, compression, _partitions(path), filesystem, path))
    if not found:
        raise ValueError(f"{name}: no file that ends in {', '.join(ENDINGS)} in this folder")
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _partitions(path: str) -> tuple[tuple[str, str | None], ...]:
    pairs = (part.partition("=") for part in Path(path).parts[:-1])
    return tuple(
        (unquote(key), None if value == _NO_VALUE else unquote(value))
        for key, equals, value in pairs
        if equals and key
    )
