"""Files that are written all or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from exactnorm.files._readers import named


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
            raise named(error, path) from error
        raise
