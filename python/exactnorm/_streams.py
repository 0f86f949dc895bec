"""Streams of batches: how many were asked for, and tf.data's, whose small batches tf.data itself can join."""

from __future__ import annotations

import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

Join = Literal["rows", "batches"]
"""How the elements of a tf.data.Dataset join to larger ones: they are rows, or batches along their first
axis."""

_MOST_ROWS = 8192
_MOST_BYTES = 1 << 20
_LARGE_BATCH = 256 << 10  # in bytes: to hand it to Python costs less than a copy
_LARGE_ROW = 4 << 10  # in bytes: batches of such rows are likely to be large


class Stream:
    """The items of an iterable, or the first few, to iterate over once."""

    def __init__(self, data: Any, steps: int | None) -> None:
        """Find out whether the data end, unless only `steps` items are wanted; ValueError if they do not."""
        if steps is None and _is_infinite(data):
            raise ValueError("the data are infinite: say with steps how many batches to take")
        self._data = data
        self._steps = steps
        self._joined: Iterable[Any] | None = None
        self._count: Any = 0

    @property
    def taken(self) -> int:
        """How many of the user's items have been taken; right at the end, and before that unless joined."""
        return int(self._count)

    @property
    def shortfall(self) -> str | None:
        """What to tell the user at the end if there were fewer items than steps."""
        if self._steps is None or self.taken >= self._steps:
            return None
        return f"the data ended after {self.taken} of the {self._steps} batches that steps asked for"

    def __iter__(self) -> Iterator[Any]:
        return self._counted() if self._joined is None else iter(self._joined)

    def _counted(self) -> Iterator[Any]:
        data = self._data
        items = iter(data) if isinstance(data, Iterable) else (data[i] for i in range(len(data)))
        for item in itertools.islice(items, self._steps):
            self._count += 1
            yield item

    @property
    def element_spec(self) -> Any:
        """What the elements of a tf.data.Dataset are; None for other data."""
        return self._data.element_spec if _is_a(self._data, "tensorflow.data.Dataset") else None

    def join(self, select: Callable[[Any], Any], how: Join, *, counted: bool = False) -> bool:
        """Have tf.data join what is selected of each element, before the first is taken.

        Parameters
        ----------
        select : callable
            Returns the part of an element, or of an element_spec, that is wanted. Its tensors must have known
            ranks, above 0 unless they are rows.
        how : {"rows", "batches"}
            See `Join`.
        counted : bool
            Count the user's items while they are taken, at some cost.

        Returns
        -------
        bool
            False, and nothing is done, if that cannot be or is of no use.
        """
        tf: Any = sys.modules["tensorflow"]
        data, spec = self._data, self._data.element_spec
        rows = _rows(tf.nest.flatten(select(spec)), how)
        if rows <= 1:
            return False
        if self._steps is not None:
            data = data.take(self._steps)
        if select(spec) is not spec:
            data = _map(tf, data, lambda *x: select(x if isinstance(spec, tuple) else x[0]))
        self._count = int(data.cardinality())
        if counted or (self._count < 0 and self._steps is not None):
            with tf.device("cpu:0"):
                self._count = tf.Variable(0, dtype=tf.int64)
            data = _map(tf, data, _counting(self._count))
        data = _joined(tf, data, rows, how)
        if data.options().autotune.enabled is None:
            options = tf.data.Options()
            options.autotune.enabled = False  # to time each cheap step costs more than the step
            data = data.with_options(options)
        self._joined = data
        return True


def ranks_of(spec: Any) -> list[int]:
    """Return the ranks of the tensors of an element_spec; none if one is unknown, or of something else."""
    tf: Any = sys.modules["tensorflow"]
    leaves = tf.nest.flatten(spec)
    if not all(isinstance(leaf, tf.TensorSpec) and leaf.shape.rank is not None for leaf in leaves):
        return []
    return [leaf.shape.rank for leaf in leaves]


def _rows(tensors: list[Any], how: Join) -> int:
    """To how many rows to join; 0 where that cannot be or is of no use."""
    shapes = [tensor.shape if how == "rows" else tensor.shape[1:] for tensor in tensors]
    if not all(shape.is_fully_defined() for shape in shapes):
        return 0
    row = sum(
        int(shape.num_elements()) * int(tensor.dtype.size)
        for shape, tensor in zip(shapes, tensors, strict=True)
    )
    if how == "batches" and (row > _LARGE_ROW or row * int(tensors[0].shape[0] or 0) >= _LARGE_BATCH):
        return 0
    return min(_MOST_ROWS, _MOST_BYTES // max(row, 1))


def _joined(tf: Any, dataset: Any, rows: int, how: Join) -> Any:
    if how == "rows":
        return dataset.batch(rows)
    lengths = [spec.shape[0] for spec in tf.nest.flatten(dataset.element_spec)]
    if None in lengths:
        return dataset.rebatch(rows)

    def flat(*element: Any) -> Any:  # rebatch would log an error for each slice of an array
        flattened = tf.nest.map_structure(lambda x: tf.reshape(x, [-1, *x.shape[2:]]), element)
        return flattened if len(element) > 1 else flattened[0]

    return _map(tf, dataset.batch(max(1, rows // max(1, *lengths))), flat)


def _map(tf: Any, dataset: Any, function: Callable[..., Any]) -> Any:
    """Map with little ado: to give each element to another thread costs more than these functions."""
    options = {"synchronous": True} if "synchronous" in inspect.signature(dataset.map).parameters else {}
    return dataset.map(tf.autograph.experimental.do_not_convert(function), **options)


def _counting(counter: Any) -> Callable[..., Any]:
    def count(*element: Any) -> Any:
        counter.assign_add(1, read_value=False)
        return element if len(element) > 1 else element[0]

    return count


def _is_infinite(data: Any) -> bool:
    """Whether the data say themselves that they do not end."""
    if isinstance(data, itertools.repeat):
        return operator.length_hint(data, -1) == -1
    if _is_a(data, "keras.utils.PyDataset"):
        try:
            return data.num_batches is None
        except NotImplementedError:  # its iterator counts for ever
            return True
    cardinality = getattr(data, "cardinality", None)  # of a tf.data.Dataset: -1 is infinite
    return isinstance(data, (itertools.count, itertools.cycle)) or (
        callable(cardinality) and int(cardinality()) == -1
    )


def _is_a(x: Any, name: str) -> bool:
    """Whether x is of a class whose package, if it is not loaded, cannot have made x."""
    package, *path = name.split(".")
    found: Any = sys.modules.get(package)
    for part in path:
        found = getattr(found, part, ())
    return isinstance(x, found)
