"""A state on its way through files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import IO, NamedTuple

import pyarrow as pa

from exactnorm._documents import load
from exactnorm._frames import features_by_column
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.files._apply_array import array_layer, write_array
from exactnorm.files._by_key import ByKey, Unknown
from exactnorm.files._by_layer import ByLayer, Features, How
from exactnorm.files._columns import matching
from exactnorm.files._learning import Progress
from exactnorm.files._locations import Location
from exactnorm.files._one_table import OneTable, Wishes, WrongGuessError, partitions_below
from exactnorm.files._parallel import ahead
from exactnorm.files._readers import naming
from exactnorm.files._sinks import new_folder, opened
from exactnorm.files._tables import open_array
from exactnorm.files._write import table_writer

State = Moments | GroupedMoments | Normalization
OnProgress = Callable[[Progress], None]


class Wanted(NamedTuple):
    """Which columns a user asks for."""

    columns: Sequence[str] | None
    by: str | None
    unknown: Unknown
    drop_others: bool


class _Plan(NamedTuple):
    """What to do with a table."""

    applier: ByLayer | ByKey
    read: list[str]
    kept: list[str]


class _Done(NamedTuple):
    """Rows to write."""

    batch: pa.RecordBatch
    part: float
    """Which part of the table has been read with them."""


class Application:
    """A state that is applied to one file, or several.

    Raises
    ------
    ValueError
        If keys are missing for groups, or given without.
    """

    def __init__(
        self,
        state: State | str | os.PathLike[str],
        how: How,
        wanted: Wanted,
        on_progress: OnProgress | None,
    ) -> None:
        self._path = None if isinstance(state, State) else os.fspath(state)
        self._state = state if isinstance(state, State) else load(state)
        self._how, self._wanted, self._on_progress = how, wanted, on_progress
        self._rows, self._bytes, self._total = 0, 0.0, 0
        self._appliers: dict[str, ByLayer | ByKey] = {}
        with self._naming_state():
            is_grouped = isinstance(self._state, GroupedMoments)
            if is_grouped and wanted.by is None:
                raise ValueError("states of groups need the column of their keys: by (--by)")
            if not is_grouped and wanted.by is not None:
                raise ValueError(f"expected states of groups to apply by {wanted.by!r}, got one state")

    def into_file(
        self, locations: Sequence[Location], base: str, target: str, form: str, compression: str | None
    ) -> None:
        """Write all files as one, with the columns that the names of folders below the base tell."""
        self._total = sum(location.known_size() for location in locations)
        if open_array(locations[0]) is not None:
            if len(locations) > 1:
                raise ValueError(f"{locations[1].name}: arrays go one by one, into a folder")
            with opened(target, may_restart=False) as file:
                self._array(locations[0], file, form)
            return
        _check_takes_tables(target, form)
        below = partitions_below(base, locations)
        table = OneTable(locations, below | self._keys(), self._how.threads)
        columns = [name for name in table.names if name in table.stored or name in below]
        plan = self._plan(table, columns, form)
        with opened(target, may_restart=table.may_restart(plan.read)) as file:
            self._table(table, plan, file, form, compression)

    def into_folder(self, locations: Sequence[Location], base: str, target: str) -> None:
        """Write each file for itself, in its place below a folder."""
        self._total = sum(location.known_size() for location in locations)
        with new_folder(target) as folder:
            for location in locations:
                with folder.opened(PurePosixPath(location.path).relative_to(base)) as file:
                    if open_array(location) is not None:
                        self._array(location, file, location.format)
                        continue
                    _check_takes_tables(location.name, location.format)
                    table = OneTable([location], self._keys(), self._how.threads)
                    plan = self._plan(table, table.stored, location.format)
                    self._table(table, plan, file, location.format, location.compression)

    def finish(self) -> int:
        """Warn of what there was; return the number of rows."""
        for applier in self._appliers.values():
            applier.finish()
        return self._rows

    def _keys(self) -> set[str]:
        return set() if self._wanted.by is None else {self._wanted.by}

    def _plan(self, table: OneTable, columns: Sequence[str], form: str) -> _Plan:
        """Find what to do with a table of which these columns are to be written."""
        wanted, by = self._wanted, self._wanted.by
        with self._naming_state():
            features = self._features(table.names)
        missing = [column for column in features if column not in table.names]
        if missing:
            listed = ", ".join(map(repr, missing))
            raise ValueError(f"{table.name}: no column {listed}, which {self._path or 'the state'} has")
        if by is not None and by not in table.names:
            raise ValueError(f"{table.name}: no column {by!r} of keys")
        with self._naming_state():
            applier = self._applier(features)
        kept = [name for name in columns if name in features or not wanted.drop_others]
        read = kept if by is None or by in kept else [*kept, by]
        has_text_keys = isinstance(applier, ByKey) and applier.has_text_keys
        table.read_as(
            Wishes(
                numbers=applier.columns,
                strings=[by] if by is not None and has_text_keys else [],
                as_text=form == "csv",
            )
        )
        return _Plan(applier, read, kept)

    def _features(self, present: Sequence[str]) -> Features:
        """Find the columns to normalize, and the features in each."""
        names = self._state.names
        if not names:
            raise ValueError("the state does not name any columns: it was not learned from a table")
        features = features_by_column(names, present)
        wanted = self._wanted.columns
        if wanted is None:
            return features
        try:
            chosen = matching(wanted, list(features), features)
        except ValueError as error:
            raise ValueError(f"of the columns that the state has: {error}") from error
        for column in chosen:
            if column not in features:
                raise ValueError(f"the state has no column {column!r}")
        return {column: features[column] for column in chosen}

    def _applier(self, features: Features) -> ByLayer | ByKey:
        known = repr(features)
        if known not in self._appliers:
            state, wanted = self._state, self._wanted
            self._appliers[known] = (
                ByKey(state, features, self._how, wanted.by or "", wanted.unknown)
                if isinstance(state, GroupedMoments)
                else ByLayer(state, features, self._how)
            )
        return self._appliers[known]

    def _table(
        self, table: OneTable, plan: _Plan, file: IO[bytes], form: str, compression: str | None
    ) -> None:
        """Write a table; again from the start if a column is of a wider type than it seemed."""
        rows, before = self._rows, self._bytes
        while True:
            given = table.schema(plan.read)  # its errors name the file that differs
            with naming(table.name):
                after = plan.applier.schema(given)
            chosen = pa.schema([after.field(name) for name in plan.kept], after.metadata)
            try:
                with table_writer(file, form, compression, chosen) as write:
                    # One thread reads, one computes, this one writes.
                    for done in ahead(_applied(table, plan)):
                        write(done.batch)
                        self._rows += done.batch.num_rows
                        self._advance(before + done.part * table.bytes)
            except WrongGuessError:
                file.seek(0)
                file.truncate()
                self._rows = rows
            else:
                self._bytes = before + table.bytes
                return

    def _array(self, location: Location, file: IO[bytes], form: str) -> None:
        given = {"columns": self._wanted.columns, "by": self._wanted.by}
        for what, value in given.items():
            if value is not None:
                raise ValueError(f"{location.name}: an array without names goes without {what}")
        if form != "npy":
            raise ValueError(f"{location.name}: an array goes into .npy, not into .{form}")
        array = open_array(location)
        assert array is not None  # noqa: S101 - checked before
        with naming(location.name), self._naming_state():
            layer = array_layer(self._state, self._how, array.shape)
        before, size = self._bytes, location.known_size()
        for rows in write_array(layer, array, self._how, file, location.name):
            self._rows += rows
            self._bytes += size * rows / array.rows
            self._advance(self._bytes)
        self._bytes = before + size

    @contextlib.contextmanager
    def _naming_state(self) -> Iterator[None]:
        with contextlib.nullcontext() if self._path is None else naming(self._path):
            yield

    def _advance(self, read: float) -> None:
        if self._on_progress is not None:
            self._on_progress(Progress(self._rows, read, self._total))


def _applied(table: OneTable, plan: _Plan) -> Iterator[_Done]:
    for part in ahead(table.parts(plan.read)):
        if part.batch.num_rows > 0:
            with naming(part.name):
                batch = plan.applier.normalized(part.batch, part.row)
            yield _Done(batch if plan.kept is plan.read else batch.select(plan.kept), part.done)


def _check_takes_tables(name: str, form: str) -> None:
    if form in ("npy", "npz"):
        raise ValueError(f"{name}: tables are not written as .{form}: choose a file of another format")
