"""Where results go: files, all or nothing, on any filesystem; whole folders; standard output."""

from __future__ import annotations

import contextlib
import errno
import io
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from exactnorm.files._locations import STDIN, filesystem_of
from exactnorm.files._readers import named, naming_os_errors
from exactnorm.files._replacing import replacing

STDOUT = STDIN


@contextlib.contextmanager
def opened(target: str, *, may_restart: bool) -> Iterator[IO[bytes]]:
    """Give a new file that takes the place of target at the end; of "-", standard output.

    What has gone there, or to another filesystem, cannot be taken back. So if the work may have to start
    again, its result goes there at the end.
    """
    filesystem, path = filesystem_of(target)
    if target == STDOUT:
        with naming_os_errors("standard output"), _stdout() as out, _aside(out, may_restart) as file:
            yield file
    elif filesystem is None:
        with replacing(path) as file:
            yield file
    else:
        with (
            naming_os_errors(target),
            replacing_on(filesystem, path) as out,
            _aside(out, may_restart) as file,
        ):
            yield file


@contextlib.contextmanager
def replacing_on(filesystem: Any, path: str) -> Iterator[IO[bytes]]:
    """Do what `replacing` does, on a pyarrow filesystem."""
    temporary = str(PurePosixPath(path).with_name(f".exactnorm-{secrets.token_hex(8)}.tmp"))
    try:
        with filesystem.open_output_stream(temporary) as file:
            yield file
        filesystem.move(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            filesystem.delete_file(temporary)
        raise


class NewFolder:
    """A folder on its way, beside the place that it takes at the end."""

    def __init__(self, target: Path, temporary: Path) -> None:
        self._target, self._temporary = target, temporary

    @contextlib.contextmanager
    def opened(self, relative: PurePosixPath) -> Iterator[IO[bytes]]:
        """Give a new file in it."""
        path = self._temporary / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                yield file
        except OSError as error:
            if error.filename in (None, str(path)):
                raise named(error, str(self._target / relative)) from error
            raise


@contextlib.contextmanager
def new_folder(target: str) -> Iterator[NewFolder]:
    """Give a folder that takes its place at the end, or vanishes if there is an exception.

    FileExistsError for what is there, unless it is an empty folder.
    """
    filesystem, name = filesystem_of(target)
    if filesystem is not None:
        raise ValueError(f"{target}: expected a folder on this machine")
    place = Path(name).resolve()
    if place.exists() and not (place.is_dir() and next(place.iterdir(), None) is None):
        raise FileExistsError(errno.EEXIST, "expected a folder that is new or empty", target)
    temporary = place.with_name(f".exactnorm-{secrets.token_hex(8)}.tmp")
    with naming_os_errors(target):
        try:
            temporary.mkdir()
            yield NewFolder(Path(name), temporary)
            temporary.replace(place)
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError) and error.filename == str(temporary):
                raise named(error, target) from error
            raise


@contextlib.contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    file = io.BufferedWriter(io.FileIO(1, "wb", closefd=False))
    yield file
    file.flush()


@contextlib.contextmanager
def _aside(out: IO[bytes], may_restart: bool) -> Iterator[IO[bytes]]:
    """Give a file without a name, whose content goes out at the end; or out itself."""
    if not may_restart:
        yield out
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        shutil.copyfileobj(file, out)
