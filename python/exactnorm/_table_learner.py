"""Batches of a table into one state: some columns, grouped by a column of keys, weighted by a column."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
        self._columns = columns
        self._by, self._weights, self._threads = by, weights, threads
        self.state: Moments | GroupedMoments | None = None

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

        def column(name: str) -> Any:
            place = names.index(name)
            return batch.iloc[:, place] if is_pandas else batch.column(place)

        places = [names.index(name) for name in self._columns]
        x = batch.iloc[:, places] if is_pandas else batch.select(places)
        weights = None if self._weights is None else column(self._weights)
        if self._by is None:
            if not isinstance(self.state, Moments):
                self.state = Moments.from_data(x, weights=weights, threads=self._threads)
            else:
                self.state.update(x, weights=weights, threads=self._threads)
        else:
            keys = column(self._by)
            if not isinstance(self.state, GroupedMoments):
                self.state = GroupedMoments.from_data(x, keys, weights=weights, threads=self._threads)
            else:
                self.state.update(x, keys, weights=weights, threads=self._threads)


def add_up(states: Iterable[Moments | GroupedMoments]) -> Moments | GroupedMoments | None:
    """Return the sum of states, in an object of its own; None of no states."""
    total: Moments | GroupedMoments | None = None
    for state in states:
        if total is None:
            total = state.copy()
        elif type(state) is not type(total):
            raise ValueError(f"cannot add {type(state).__name__} to {type(total).__name__}")
        else:
            total += state  # type: ignore[operator]  # both are of one kind
    return total
