"""What users hand in, as batches: an array or table, or a stream of them, with labels and sample weights."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from exactnorm._arrays import Dense, companion, from_array, from_numbers, is_array
from exactnorm._streams import Join, Stream, ranks_of
from exactnorm._tables import Table, table_kind

_NUMBERS = (int, float, complex, np.generic)
_NUMBERS_PER_BATCH = 4096
_EXPECTED = (
    "expected an array, numbers, a table, a dict of named arrays, or an iterable of batches of these; got {}"
)


class Batch(NamedTuple):
    """An array or a table, with the weights of its rows and which of them count."""

    x: Dense | Table
    weights: Dense | None = None
    where: Dense | None = None


class Source:
    """Batches, to iterate over once.

    Attributes
    ----------
    stream : Stream or None
        The iterable of batches that the user gave; None for data that are all there.
    take : callable, optional
        Gets each array of a stream first, unless its weights are wanted, and says whether that was all.
    each : callable, optional
        Gets each item of a stream before that, and returns what to take in its place.
    joins : callable, optional
        How tf.data may join the batches of a stream, by their rank; set it before the first is taken.
    counted : bool
        Whether the stream must know how many of its items have been taken before all have been.
    """

    take: Callable[[Any], bool] | None = None
    each: Callable[[Any], Any] | None = None
    joins: Callable[[int], Join | None] | None = None
    counted = False

    def __init__(
        self,
        data: Any,
        *,
        weights: Any = None,
        where: Any = None,
        use_sample_weight: bool = False,
        steps: int | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Find out what data are; TypeError for what is not taken.

        Of a stream, only `steps` items are asked for; of other data, steps × batch_size rows are taken.
        """
        self._rows = 0  # taken, if they are limited
        self._wanted_rows: int | None = None
        self._batch_size = batch_size
        given = companion(weights, "weights"), companion(where, "where")
        batches = _batches(data)
        self.stream: Stream | None = None
        if batches is None and not isinstance(data, tuple):
            if given != (None, None):
                raise ValueError(
                    "weights and where belong to one array or table; batches bring their weights along as "
                    "(x, y, sample_weight), with use_sample_weight=True"
                )
            if not isinstance(data, Iterable) and not _is_sequence(data):
                raise TypeError(_EXPECTED.format(_name(data)))
            self.stream = Stream(data, steps)
            self._batches: Iterator[Batch] = self._stream(self.stream, use_sample_weight)
            return
        if use_sample_weight and weights is not None:
            raise ValueError("expected weights or use_sample_weight, not both")
        if batches is None or use_sample_weight:
            self._batches = _labelled(data, use_sample_weight, *given)
        else:
            self._batches = _attach(batches, *given)
        if steps is not None and batch_size is not None:
            self._wanted_rows = steps * batch_size
            self._batches = self._first_rows(self._batches, self._wanted_rows)

    @property
    def complaints(self) -> list[str]:
        """What to tell the user at the end: arguments that these data did not heed."""
        if self.stream is not None:
            ignored = "batch_size is ignored: the data are batches already"
            messages = (None if self._batch_size is None else ignored, self.stream.shortfall)
            return [message for message in messages if message is not None]
        if self._wanted_rows is None or self._rows >= self._wanted_rows:
            return []
        return [f"the data ended after {self._rows} of the {self._wanted_rows} rows that steps asked for"]

    def __iter__(self) -> Iterator[Batch]:
        return self._batches

    def peek(self) -> Batch | None:
        """Return the first batch, which stays to be iterated over."""
        first = next(self._batches, None)
        if first is not None:
            self._batches = itertools.chain((first,), self._batches)
        return first

    def _stream(self, stream: Stream, use_sample_weight: bool) -> Iterator[Batch]:
        joined = self._join(stream, use_sample_weight)
        items = iter(stream)
        if joined and use_sample_weight:
            items = ((x, None, weights) for x, weights in items)
        if self.each is not None:
            items = map(self.each, items)
        for item in items:
            if self.take is not None and not use_sample_weight:
                labelled = type(item) is tuple and len(item) in (2, 3)
                if self.take(item[0] if labelled else item):
                    continue
            if isinstance(item, _NUMBERS) and not use_sample_weight:
                yield Batch(from_numbers([item, *itertools.islice(items, _NUMBERS_PER_BATCH - 1)]))
                continue
            labelled = use_sample_weight or isinstance(item, tuple)
            batches = None if labelled else _batches(item)
            if batches is None:
                yield from _labelled(item, use_sample_weight)
            else:
                yield from map(Batch, batches)

    def _join(self, stream: Stream, use_sample_weight: bool) -> bool:
        """Join the elements of a tf.data.Dataset if the same is learned from it; whether that was done."""
        spec = stream.element_spec
        if spec is None:
            return False
        labelled = isinstance(spec, tuple)
        if use_sample_weight:
            if not labelled or len(spec) != 3:
                return False
            how = self._how(spec[0], ranks_of(spec[2]))
            select: Callable[[Any], Any] = lambda element: (element[0], element[2])  # noqa: E731
        elif labelled:
            how = self._how(spec[0]) if len(spec) <= 3 else None
            select = operator.itemgetter(0)
        else:
            how = self._how(spec)
            select = lambda element: element  # noqa: E731
        return how is not None and stream.join(select, how, counted=self.counted)

    def _how(self, x: Any, weight_ranks: Sequence[int] | None = None) -> Join | None:
        ranks = ranks_of(x)
        if not ranks or isinstance(x, tuple) or self.joins is None:
            return None
        if isinstance(x, Mapping):  # a column is an array, or the number of one row
            how: Join | None = "rows" if ranks[0] == 0 else "batches"
            fits = len({rank > 0 for rank in ranks}) == 1
        else:
            how, fits = self.joins(ranks[0]), True
        if weight_ranks is not None:
            fits &= len(weight_ranks) == 1 and (weight_ranks[0] > 0) == (how == "batches")
        return how if fits else None

    def _first_rows(self, batches: Iterator[Batch], wanted: int) -> Iterator[Batch]:
        for batch in batches:
            rows = slice(0, wanted - self._rows)
            x = batch.x.rows(rows)
            self._rows += x.row_count
            yield Batch(x, *(None if part is None else part.rows(rows) for part in batch[1:]))
            if self._rows >= wanted:
                return


def read_array_or_table(x: Any) -> Iterator[Dense | Table]:
    """For data that must all be there: what a layer is called with."""
    batches = _batches(x)
    if batches is None and isinstance(x, (list, tuple)):
        batches = iter((from_numbers(x),))  # numpy stacks arrays in a list
    if batches is None:
        raise TypeError(f"expected an array, numbers, a table or a dict of named arrays; got {_name(x)}")
    return batches


def _batches(x: Any) -> Iterator[Dense | Table] | None:
    """One array, one or more batches of a table, or None if x is neither."""
    if isinstance(x, np.ndarray):
        return iter((from_array(x),))
    if isinstance(x, _NUMBERS) or (isinstance(x, (list, tuple)) and holds_numbers(x)):
        return iter((from_numbers(x),))
    kind = table_kind(x)
    if kind is not None:
        return kind(x)
    if is_array(x):
        return iter((from_array(x),))
    if isinstance(x, (memoryview, bytearray)) or type(x).__module__ == "array":
        return iter((from_numbers(x),))
    if x is None or isinstance(x, (str, bytes, set, frozenset)):
        raise TypeError(_EXPECTED.format(_name(x)))
    return None


def holds_numbers(x: Any) -> bool:
    """Whether a list, perhaps of lists, holds numbers (or what numpy will refuse), not arrays or tables."""
    while isinstance(x, (list, tuple)):
        if not x:
            return True
        x = x[0]
    return isinstance(x, (*_NUMBERS, str)) or not (
        is_array(x) or table_kind(x) is not None or isinstance(x, Iterable)
    )


def _is_sequence(data: Any) -> bool:
    """Whether it has a batch for each index, as a torch.utils.data.Dataset has."""
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def _labelled(item: Any, use_sample_weight: bool, weights: Any = None, where: Any = None) -> Iterator[Batch]:
    """Take x of (x,), (x, y) or (x, y, sample_weight), which torch's DataLoader makes lists."""
    if isinstance(item, Batch):
        return iter((item,))
    if not isinstance(item, (tuple, list)):
        raise TypeError(_EXPECTED.format(_name(item)))
    if not 1 <= len(item) <= 3 or (use_sample_weight and len(item) < 3):
        wanted = "(x, y, sample_weight)" if use_sample_weight else "(x, y) or (x, y, sample_weight)"
        raise ValueError(f"expected {wanted}, got {len(item)} elements")
    batches = _batches(item[0])
    if batches is None:
        raise TypeError(f"expected x of (x, y) to be an array or a table, got {_name(item[0])}")
    if use_sample_weight:
        weights = companion(item[2], "sample_weight")
    return _attach(batches, weights, where)


def _attach(batches: Iterator[Dense | Table], weights: Dense | None, where: Dense | None) -> Iterator[Batch]:
    """Give each batch of a table its rows of weights and where; a single array has all."""
    first = 0
    for x in batches:
        if isinstance(x, Dense):  # there is only one
            yield Batch(x, weights, where)
            return
        last = first + x.row_count
        for array, what in ((weights, "weights"), (where, "where")):
            if array is not None and array.values.ndim > 0 and len(array.values) < last:
                raise ValueError(f"expected {what} for at least {last} rows, got {len(array.values)}")
        yield Batch(x, *(array and array.rows(slice(first, last)) for array in (weights, where)))
        first = last
    for array, what in ((weights, "weights"), (where, "where")):
        if array is not None and array.values.ndim > 0 and len(array.values) > first:
            raise ValueError(f"expected {what} for {first} rows, got {len(array.values)}")


def _name(x: object) -> str:
    if x is None:
        return "None"
    kind = type(x)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
