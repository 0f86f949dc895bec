"""GroupedMoments: Moments of each group of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import EllipsisType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm import _core, _html
from exactnorm._arguments import Axis, Names, ints_of, names_of
from exactnorm._arrays import Dense
from exactnorm._inputs import Source
from exactnorm._keys import read_keys, split_table
from exactnorm._learn import add, shape_and_names
from exactnorm._moments import Moments
from exactnorm._state import State
from exactnorm._tables import library_of

Key = int | str

_LEAST_ROWS = 1 << 17


class GroupedMoments(State):
    """Moments of every group of rows that have the same key, learned in one pass.

    Each group's Moments are, to the bit, those of its rows alone. States add up and can be taken apart, as
    Moments can. All keys are integers, or all are strings. A key is there if and only if something has been
    counted for it: rows of weight 0, or which `where` leaves out, bring none, and a group that loses its last
    value goes.

    Methods may be called from several threads: each sees the object before or after a change, never between.

    Parameters
    ----------
    shape : int or tuple of int, default ()
        The shape of the features: ``(16,)`` for the columns of a table, ``()`` for a single feature.
    names : sequence of str, optional
        One name for each feature, in C order; distinct.

    Raises
    ------
    ValueError
        For a negative extent, and for names that are not distinct or not one for each feature.

    See Also
    --------
    GroupedMoments.from_data : GroupedMoments of data.
    Moments : What each group has.

    Examples
    --------
    >>> import exactnorm as en
    >>> monday = {"country": ["NL", "BE", "NL"], "age": [31, 57, 33], "income": [2.5, 1.5, 3.5]}
    >>> by_country = en.GroupedMoments.from_data(monday, keys="country")
    >>> list(by_country)
    ['BE', 'NL']
    >>> by_country["NL"].mean()
    array([32.,  3.])
    >>> by_country.update({"age": [40], "income": [4.0]}, keys=["DE"])
    >>> by_country.total().count
    array([4, 4])
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # it changes

    _core_type = _core.GroupedMoments
    _impl: _core.GroupedMoments

    def __init__(self, shape: SupportsIndex | Iterable[SupportsIndex] = (), names: Names = None) -> None:
        self._impl = _core.GroupedMoments(ints_of(shape), names_of(names))

    @classmethod
    def from_data(
        cls,
        data: Any,
        keys: Any,
        axis: Axis | EllipsisType = ...,
        weights: npt.ArrayLike | None = None,
        where: npt.ArrayLike | None = None,
        names: Names = None,
        threads: int | None = None,
    ) -> Self:
        """Moments of each group of rows of data, which are read once.

        Parameters
        ----------
        data : array or table
            As for `Moments.from_data`, but no iterable of batches: `update` takes them one by one. The rows
            are the indices of the first axis.
        keys : array_like, column or str
            The key of each row, integers or strings: a list, a numpy array, or a column of pandas, polars or
            Arrow, also of categories. A single string names the column of the table that has the keys; it
            is no feature then.
        axis, weights, where, names, threads
            As for `Moments.from_data`. The first axis cannot be kept.

        Returns
        -------
        GroupedMoments

        Raises
        ------
        ValueError
            For keys that are not one for each row, null keys, and as for `Moments.from_data`.
        TypeError
            For keys that are neither integers nor strings, an iterable of batches, and as for
            `Moments.from_data`.

        Examples
        --------
        >>> import exactnorm as en
        >>> g = en.GroupedMoments.from_data([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], keys=[7, 8, 7])
        >>> g[7].mean()
        array([3., 4.])
        """
        return cls._of(
            _learn(data, keys, axis, weights, where, shape=None, names=names_of(names), threads=threads)
        )

    def update(
        self,
        data: Any,
        keys: Any,
        axis: Axis | EllipsisType = ...,
        weights: npt.ArrayLike | None = None,
        where: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> None:
        """Add data: all, or nothing if there is an error or an interrupt.

        The parameters are those of `from_data`. By default the last axes are kept, as many as `shape` has; a
        table's columns are matched with `names`.

        Raises
        ------
        ValueError
            As `from_data`; for other feature shapes or columns, weighted data into an unweighted object or
            the reverse, and integer keys where there are strings or the reverse.
        TypeError
            As `from_data`.

        Examples
        --------
        >>> import exactnorm as en
        >>> g = en.GroupedMoments(names=["delay"])
        >>> g.update([3.0, 5.0, 4.0], keys=["AA", "UA", "AA"])
        >>> g["AA"].count
        array(2)
        """
        shape, names = self._impl.shape, self._impl.names
        self._impl.take(_learn(data, keys, axis, weights, where, shape=shape, names=names, threads=threads))

    def __getitem__(self, key: Key) -> Moments:
        """Return a copy of a group's Moments; KeyError if there is no such key."""
        wanted = _key(key)
        if wanted is not None:
            try:
                return Moments._of(self._impl.moments(wanted))
            except IndexError:
                pass
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        wanted = _key(key)
        return wanted is not None and self._impl.contains(wanted)

    def __len__(self) -> int:
        return len(self._impl)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.keys())

    def keys(self) -> list[Key]:
        """Return the keys in order: integers by value, strings by the bytes of their UTF-8."""
        return list(self._impl.keys())

    def items(self) -> Iterator[tuple[Key, Moments]]:
        """Iterate over the keys, in order, with a copy of each group's Moments."""
        snapshot = self._impl.copy()
        return ((key, Moments._of(snapshot.moments(key))) for key in snapshot.keys())  # noqa: SIM118

    def total(self) -> Moments:
        """Return the Moments of all groups together."""
        return Moments._of(self._impl.total())

    def __iadd__(self, other: GroupedMoments) -> Self:
        """Add what other has learned. ValueError if shapes, names, weighting or kinds of keys differ."""
        if not isinstance(other, GroupedMoments):
            return NotImplemented
        self._impl.merge(other._impl)
        return self

    def __isub__(self, other: GroupedMoments) -> Self:
        """Take away what other has learned. ValueError naming key and feature if it provably was no part."""
        if not isinstance(other, GroupedMoments):
            return NotImplemented
        self._impl.subtract(other._impl)
        return self

    def __add__(self, other: GroupedMoments) -> Self:
        """Add up, in a new object."""
        if not isinstance(other, GroupedMoments):
            return NotImplemented
        return self._of(self._impl.plus(other._impl))

    def __sub__(self, other: GroupedMoments) -> Self:
        """Take other away, in a new object."""
        if not isinstance(other, GroupedMoments):
            return NotImplemented
        return self._of(self._impl.minus(other._impl))

    def __eq__(self, other: object) -> bool:
        """Whether both have the same keys with the same exact sums and counts, and the same names."""
        if not isinstance(other, GroupedMoments):
            return NotImplemented
        return self._impl.equals(other._impl)

    def __repr__(self) -> str:
        return _html.grouped_text(self)

    def _repr_html_(self) -> str:
        return _html.grouped_html(self)


def _key(key: object) -> Key | None:
    """Return a key as C++ wants it; None for what cannot be one."""
    if isinstance(key, str):
        return str(key)
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        number = int(key)
        return number if -(2**63) <= number < 2**63 else None
    return None


class _Rows:
    """GroupedMoments as `exactnorm._learn.add` sees Moments: a batch's rows have the next keys."""

    def __init__(self, core: _core.GroupedMoments, keys: _core.Keys, first: int) -> None:
        self._core, self._keys, self._first = core, keys, first

    @property
    def shape(self) -> tuple[int, ...]:
        return self._core.shape

    @property
    def names(self) -> list[str]:
        return self._core.names

    def update(
        self,
        x: _core.View,
        axis: Sequence[int] | None,
        where: _core.View | None = None,
        weights: _core.View | None = None,
        valid: _core.View | None = None,
        threads: int = 0,
    ) -> None:
        self._core.update(x, self._keys, self._first, axis, where, weights, valid, threads)

    def update_columns(
        self,
        columns: Sequence[_core.Column],
        where: _core.View | None = None,
        weights: _core.View | None = None,
        threads: int = 0,
    ) -> None:
        self._core.update_columns(columns, self._keys, self._first, where, weights, threads)


def _learn(
    data: Any,
    keys: Any,
    axis: Axis | EllipsisType,
    weights: npt.ArrayLike | None,
    where: npt.ArrayLike | None,
    *,
    shape: Sequence[int] | None,
    names: Sequence[str],
    threads: int | None,
) -> _core.GroupedMoments:
    """Sum data aside, of that shape and with these names, if given; else of the shape that they have."""
    grouped = None
    pieces: Iterable[tuple[Any, Any]] = [(data, keys)]
    if isinstance(keys, str):
        pieces = split_table(data, keys, at_once=weights is not None or where is not None)
    for whole, of_rows in pieces:
        own = read_keys(of_rows).core()
        first = 0

        def groups() -> int:
            return 0 if grouped is None else len(grouped)  # noqa: B023 - called within this turn only

        for x in _slices(whole, groups) if weights is None and where is None else [whole]:
            source = Source(x, weights=weights, where=where)
            if source.stream is not None or isinstance(x, tuple):
                kind = type(x).__qualname__
                raise TypeError(
                    f"expected an array or a table, got a {kind}: batches go to update one by one"
                )
            for batch in source:
                count = batch.x.row_count
                if first + count > own.rows:
                    raise ValueError(
                        f"expected a key for each row, got {own.rows} for at least {first + count}"
                    )
                if isinstance(batch.x, Dense):  # cut into pieces, its rows would need pieces of the keys
                    batch = batch._replace(x=batch.x.native())
                if grouped is None:
                    grouped = _core.GroupedMoments(*shape_and_names(batch.x, axis, shape, names))
                add(_Rows(grouped, own, first), batch, axis=axis, threads=threads)
                first += count
        if first < own.rows:
            raise ValueError(f"expected a key for each of {first} rows, got {own.rows}")
    return grouped if grouped is not None else _core.GroupedMoments(shape or (), names)


def _slices(x: Any, groups: Callable[[], int]) -> Iterator[Any]:
    """Make contiguous parts, of at least as many rows as there are groups, of a table of many chunks.

    Adding anything costs as much as there are groups, so fewer rows would cost more than themselves.
    """
    if library_of(x) != "pyarrow" or all(getattr(column, "num_chunks", 1) == 1 for column in x.columns):
        yield x
        return
    first = 0
    while first < max(1, x.num_rows):
        rows = max(groups(), _LEAST_ROWS)
        yield x.slice(first, rows).combine_chunks()
        first += rows
