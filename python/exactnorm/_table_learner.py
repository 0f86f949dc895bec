"""Batches of a table into one state: some columns, grouped by a column of keys, weighted by a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from exactnorm._arguments import columns_of
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._tables import library_of


class TableLearner:
    """What Arrow record batches or pandas frames have, all of the same columns.

    Parameters
    ----------
    columns : sequence of str, optional
        The columns to learn; the default is all but those of keys and weights.
    by, weights : str, optional
        The columns of keys and of weights.
    threads : int, optional
        How many to sum with.
    """

    def __init__(
        self,
        columns: Sequence[str] | None = None,
        by: str | None = None,
        weights: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._columns = None if columns is None else columns_of(columns)
        self._by, self._weights, self._threads = by, weights, threads
        self._state: Moments | GroupedMoments | None = None
        self._waiting: list[Any] = []  # of a learner of groups

    @property
    def state(self) -> Moments | GroupedMoments | None:
        """What all batches have so far, no copy; None before the first."""
        self._learn_waiting()
        return self._state

    @state.setter
    def state(self, state: Moments | GroupedMoments) -> None:
        self._waiting, self._state = [], state

    def add(self, batch: Any) -> None:
        """Add a RecordBatch, Table or DataFrame; ValueError for columns that are not there or do not fit."""
        is_pandas = library_of(batch) == "pandas"  # through Arrow, its NaN would be nulls
        names = list(map(str, batch.columns)) if is_pandas else batch.schema.names
        if self._columns is None:
            self._columns = [name for name in names if name not in (self._by, self._weights)]
        wanted = [*self._columns, *(name for name in (self._by, self._weights) if name is not None)]
        for name in wanted:
            if names.count(name) != 1:
                found = "no column" if name not in names else "more than one column"
                raise ValueError(f"{found} {name!r} in a table of {', '.join(map(repr, names))}")
        places = [names.index(name) for name in wanted]
        if self._by is None or is_pandas:
            self._learn(batch.iloc[:, places] if is_pandas else batch.select(places))
            return
        # Adding to groups costs as much as there are groups.
        batch = batch.select(places)
        if self._waiting and batch.schema != self._waiting[0].schema:
            self._learn_waiting()
        self._waiting.append(batch)
        groups = len(self._state) if isinstance(self._state, GroupedMoments) else 0
        if sum(map(len, self._waiting)) >= groups:
            self._learn_waiting()

    def _learn_waiting(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        pa = import_module("pyarrow")
        tables = [x if isinstance(x, pa.Table) else pa.Table.from_batches([x]) for x in waiting]
        self._learn(pa.concat_tables(tables).combine_chunks())

    def _learn(self, x: Any) -> None:
        """Learn from a table or frame of the columns to learn, then those of keys and of weights."""

        def column(place: int) -> Any:
            return x.iloc[:, place] if hasattr(x, "iloc") else x.column(place)

        places = range(len(self._columns or ()))
        data = x.iloc[:, places] if hasattr(x, "iloc") else x.select(list(places))
        weights = None
        if self._weights is not None:
            weights = _weights(column(len(places) + (self._by is not None)), self._weights)
        if self._by is None:
            if not isinstance(self._state, Moments):
                self._state = Moments.from_data(data, weights=weights, threads=self._threads)
            else:
                self._state.update(data, weights=weights, threads=self._threads)
        else:
            keys = column(len(places))
            if not isinstance(self._state, GroupedMoments):
                self._state = GroupedMoments.from_data(data, keys, weights=weights, threads=self._threads)
            else:
                self._state.update(data, keys, weights=weights, threads=self._threads)


def _weights(column: Any, name: str) -> Any:
    """Check a column of weights; booleans are 0 and 1."""
    if not hasattr(column, "null_count"):
        return column  # of pandas
    pa = import_module("pyarrow")
    if column.null_count:
        raise ValueError(f"column {name!r} of weights has {column.null_count:,} nulls")
    if pa.types.is_boolean(column.type):
        return column.cast(pa.uint8())
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise TypeError(f"column {name!r} is {column.type}: expected weights")
    return column


def add_up(states: Iterable[Moments | GroupedMoments]) -> Moments | GroupedMoments | None:
    """Return the sum of states, in an object of its own; None of no states."""
    total: Moments | GroupedMoments | None = None
    for state in states:
        if total is None:
            total = state.copy()
        else:
            add_to(total, state)
    return total


def add_to(total: Moments | GroupedMoments, other: Moments | GroupedMoments) -> None:
    """Add a state to another; ValueError if they are not of one kind, or of other features."""
    if type(total) is not type(other):
        raise ValueError(f"cannot add {type(other).__name__} to {type(total).__name__}")
    total += other  # type: ignore[operator]  # both are of one kind
