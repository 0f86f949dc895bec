"""How far a run has come, on disk: what has been learned, and from which files."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from exactnorm._documents import from_bytes
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.files._locations import Location
from exactnorm.files._replacing import replacing

State = Moments | GroupedMoments

_NAME = "checkpoint.zip"
_VERSION = 1
_COST = 20  # a checkpoint is written when that many times as long has passed as the last one took


@dataclass
class Current:
    """A file that has been read in part."""

    name: str
    stamp: tuple[int, int]
    position: int
    schema: pa.Schema
    state: State


@dataclass
class Record:
    """What a checkpoint says."""

    settings: Mapping[str, Any]
    """What the run has been asked for: it goes on only with the same."""
    bases: list[str | None]
    """Digests of the states that it may be asked to add to: the total has what they have."""
    total: State
    """What all files that are done have, and that state."""
    done: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Names of files with their stamps."""
    current: Current | None = None


class Checkpoint:
    """A folder with at most one record, which is replaced at once: a crash leaves the old or the new one."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / _NAME
        self._next = 0.0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder if need be, and keep others out. ValueError if another process is in it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(str(self._path.parent), os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self._path.parent}: another process is using this checkpoint") from None
            yield
        finally:
            os.close(descriptor)

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self, record: Record) -> None:
        """Write the record; OSError if the folder takes no file."""
        start = time.monotonic()
        known: dict[str, Any] = {
            "version": _VERSION,
            "settings": record.settings,
            "bases": record.bases,
            "done": record.done,
        }
        current = record.current
        if current is not None:
            known["current"] = {
                "name": current.name,
                "stamp": current.stamp,
                "position": current.position,
                "schema": base64.b64encode(current.schema.serialize().to_pybytes()).decode(),
            }
        with replacing(str(self._path)) as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("record.json", json.dumps(known))
            archive.writestr("total.cbor", record.total.to_bytes())
            if current is not None:
                archive.writestr("current.cbor", current.state.to_bytes())
        end = time.monotonic()
        self._next = end + _COST * (end - start)

    def load(self) -> Record | None:
        """Return the record, if there is one. ValueError if it is damaged or of another version."""
        try:
            with zipfile.ZipFile(self._path) as archive:
                known = json.loads(archive.read("record.json"))
                if known["version"] != _VERSION:
                    raise ValueError(f"it has version {known['version']}, and {_VERSION} is known here")
                record = Record(known["settings"], known["bases"], _state(archive.read("total.cbor")))
                record.done = {name: (size, mtime) for name, (size, mtime) in known["done"].items()}
                if (current := known.get("current")) is not None:
                    size, mtime = current["stamp"]
                    record.current = Current(
                        current["name"],
                        (size, mtime),
                        current["position"],
                        pa.ipc.read_schema(pa.py_buffer(base64.b64decode(current["schema"]))),
                        _state(archive.read("current.cbor")),
                    )
                return record
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, pa.ArrowException) as error:
            raise ValueError(f"{self._path}: not a checkpoint that can be used: {error}") from error


def check_unchanged(location: Location, stamp: tuple[int, int]) -> None:
    """Raise a ValueError if a file is not as it was when it had this stamp."""
    size, mtime = location.stamp()
    if (size, mtime) == tuple(stamp):
        return
    what = f"{stamp[0]} bytes then, {size} now" if size != stamp[0] else "another time of its last change"
    raise ValueError(
        f"{location.name}: it has changed since it was read ({what}); to start over, take another checkpoint"
    )


def _state(document: bytes) -> State:
    state = from_bytes(document)
    if isinstance(state, Normalization):
        raise ValueError("expected Moments, got a Normalization")
    return state
