"""Files on their way into one state."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from exactnorm._arguments import threads_of
from exactnorm._frames import features_by_column
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._table_learner import TableLearner, add_to
from exactnorm.files._checkpoint import Checkpoint, Current, Record, check_unchanged
from exactnorm.files._locations import Location
from exactnorm.files._plan import Columns, Plan, plan
from exactnorm.files._readers import naming
from exactnorm.files._tables import open_array, open_table

State = Moments | GroupedMoments
OnBadFile = Callable[[str, Exception], None]


class Progress(NamedTuple):
    """How far reading has come."""

    rows: int
    """Read so far, in this run."""
    bytes: float
    """About how many bytes of the files, those of a checkpoint included."""
    total: int
    """Bytes of all files; 0 if unknown."""


class _Step(NamedTuple):
    """A file has been learned up to some place."""

    learner: TableLearner
    position: int | None
    schema: pa.Schema
    is_end: bool = False


class Run:
    """Files that are read one after the other."""

    def __init__(
        self,
        locations: Sequence[Location],
        threads: int | None,
        on_bad_file: OnBadFile | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._named = list(locations)
        self._locations = self._named
        self._threads = threads_of(threads) or None
        self._on_bad_file, self._on_progress = on_bad_file, on_progress
        self._rows, self._bytes = 0, 0.0
        self._sizes = (
            {} if on_progress is None else {place.name: place.known_size() for place in self._locations}
        )
        self._total = sum(self._sizes.values())

    def arrays(self, base: State | None) -> Moments:
        """Learn files that hold an array each."""
        total: Moments | None = None
        if isinstance(base, Moments):
            total = base.copy()
        elif base is not None:
            raise ValueError("an array has no keys, so it is not added to those of groups")
        for location in self._locations:
            with self._may_be_bad(location), naming(location.name):
                array = open_array(location)
                if array is None:
                    raise ValueError("expected an array without names, as the first file has")
                own = Moments.from_data(array.no_rows())
                for piece in array.pieces(array.batch_rows()):
                    own.update(piece, threads=self._threads)
                    self._advance(location, len(piece), len(piece) / array.rows)
                if total is None:
                    total = own
                else:
                    total += own
        if total is None:
            raise ValueError("no file could be read")
        return total

    def tables(self, columns: Columns, base: State | None, checkpoint: str | None) -> State:
        """Learn files that hold tables."""
        chosen = self._look(columns, base)
        learner = self._learner(chosen)
        with naming(self._locations[0].name):
            learner.add(chosen.schema.empty_table())
        assert learner.state is not None  # noqa: S101 - there was a table
        total = learner.state
        if base is not None:
            with naming("the state to add to"):
                add_to(total, base)
        if checkpoint is None:
            return self._all(chosen, Record(chosen.settings(), [], total), None)
        keeper = Checkpoint(checkpoint)
        with keeper.locked():
            digest = None if base is None else base.digest
            record = keeper.load() or Record(chosen.settings(), [digest], total)
            self._check(record, chosen, digest, checkpoint)
            if digest not in record.bases:  # what this has given before is to be added to
                record.bases.append(digest)
            return self._all(chosen, record, keeper)

    def _look(self, columns: Columns, base: State | None) -> Plan:
        """Open all files once; those that are bad are left out from here on."""
        schemas, good = [], []
        for location in self._locations:
            with self._may_be_bad(location):
                reader = open_table(location, threads=1)
                schemas.append((location, reader.schema, reader.guessed))
                good.append(location)
        if not good:
            raise ValueError("no file could be read")
        self._locations = good
        default = None
        if base is not None:
            if base.names is None:
                raise ValueError("the state to add to does not name any columns")
            default = list(features_by_column(base.names, schemas[0][1].names))
        try:
            return plan(columns, default, schemas)
        except ValueError:
            if self._on_bad_file is None:
                raise
        fitting: list[tuple[Location, pa.Schema, bool]] = []
        for one in schemas:
            with self._may_be_bad(one[0]):
                plan(columns, default, [*fitting, one])
                fitting.append(one)
        if not fitting:
            raise ValueError("no file could be read")
        self._locations = [location for location, _, _ in fitting]
        return plan(columns, default, fitting)

    def _learner(self, chosen: Plan) -> TableLearner:
        return TableLearner(chosen.learned, chosen.by, chosen.weights, self._threads)

    def _check(self, record: Record, chosen: Plan, base: str | None, folder: str) -> None:
        """Raise a ValueError if a checkpoint is of other arguments, or of files that have changed."""
        if record.settings != chosen.settings():
            raise ValueError(f"{folder}: this checkpoint is of other arguments: {dict(record.settings)}")
        if base not in [*record.bases, record.total.digest]:
            raise ValueError(f"{folder}: the state to add to is not the one that this checkpoint began with")
        by_name = {location.name: location for location in self._named}
        current = record.current
        read = {**record.done, **({} if current is None else {current.name: current.stamp})}
        for name, stamp in read.items():
            if name not in by_name:
                raise ValueError(
                    f"{folder}: this checkpoint has read {name}, which is not among the files; to start "
                    "over, take another checkpoint, and --add-to what this one has given to keep that"
                )
            check_unchanged(by_name[name], stamp)

    def _all(self, chosen: Plan, record: Record, keeper: Checkpoint | None) -> State:
        for location in sorted(self._locations, key=lambda place: not _is_current(record, place)):
            if location.name in record.done:
                self._bytes += self._sizes.get(location.name, 0)
                continue
            stamp = None if keeper is None else location.stamp()
            current = record.current if _is_current(record, location) else None
            record.current = None  # its state goes on, or goes
            for step in self._steps(location, chosen, current):
                if step.is_end:
                    if stamp is not None:
                        check_unchanged(location, stamp)
                        record.done[location.name] = stamp
                    state = step.learner.state
                    if state is not None:
                        with naming(location.name):
                            add_to(record.total, state)
                if keeper is None or stamp is None or not keeper.is_due:
                    continue
                if step.is_end:
                    keeper.save(record)
                elif step.position is not None and (state := step.learner.state) is not None:
                    here = Current(location.name, stamp, step.position, step.schema, state)
                    keeper.save(dataclasses.replace(record, current=here))
        if keeper is not None:
            keeper.save(record)
        return record.total

    def _steps(self, location: Location, chosen: Plan, current: Current | None) -> Iterator[_Step]:
        """Learn a file; after each piece, and at the end, tell what it has given so far."""
        with self._may_be_bad(location), naming(location.name):
            reader = open_table(location, chosen.numbers, as_text=chosen.has_text_keys, threads=self._threads)
            learner, start = self._learner(chosen), 0
            rows, bytes_ = self._rows, self._bytes
            if current is not None:
                reader.schema, learner.state, start = current.schema, current.state, current.position
            while True:
                try:
                    before = 0.0
                    for piece in reader.pieces(chosen.stored, start):
                        learner.add(chosen.complete(location, piece))
                        self._advance(location, len(piece.batch), piece.done - before)
                        before, position = piece.done, piece.position
                        del piece  # or there would be two when the next one is read
                        yield _Step(learner, position, reader.schema)
                    self._advance(location, 0, 1 - before)
                    yield _Step(learner, None, reader.schema, is_end=True)
                    return
                except pa.ArrowInvalid as error:
                    reader.widen(error)
                    keys = reader.schema.get_field_index(chosen.by or "")
                    if keys >= 0 and pa.types.is_floating(reader.schema.types[keys]):
                        reader.schema = reader.schema.set(keys, pa.field(chosen.by, pa.string()))
                    learner, start = self._learner(chosen), 0
                    self._rows, self._bytes = rows, bytes_

    @contextlib.contextmanager
    def _may_be_bad(self, location: Location) -> Iterator[None]:
        """Hand errors of a file to who wants to leave it out."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            if self._on_bad_file is None:
                raise
            self._on_bad_file(location.name, error)

    def _advance(self, location: Location, rows: int, part: float) -> None:
        if self._on_progress is None:
            return
        self._rows += rows
        self._bytes += part * self._sizes[location.name]
        self._on_progress(Progress(self._rows, self._bytes, self._total))


def _is_current(record: Record, location: Location) -> bool:
    return record.current is not None and record.current.name == location.name
