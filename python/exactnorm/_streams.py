"""Streams of batches: which ones are endless, and tf.data's, whose small batches tf.data itself can join."""

from __future__ import annotations

import inspect
import itertools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

Join = Literal["rows", "batches"]
Joins = Callable[[int], Join | None]
"""How elements of this rank join, so that the same is learned: they are rows, they are batches along their
first axis, or they do not."""

_MOST_ROWS = 8192
_MOST_BYTES = 1 << 20
_LARGE_BATCH = 256 << 10  # in bytes: to hand it to Python costs less than a copy
_LARGE_ROW = 4 << 10  # in bytes: batches of such rows are likely to be large


def is_sequence(data: Any) -> bool:
    """Whether it has batches for each index up to its length, as a torch.utils.data.Dataset has."""
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def items_of(data: Any) -> Iterator[Any]:
    """Iterate over an iterable or a sequence."""
    return iter(data) if isinstance(data, Iterable) else (data[i] for i in range(len(data)))


def is_infinite(data: Any) -> bool:
    """Whether the data say themselves that they do not end."""
    if isinstance(data, itertools.repeat):
        return operator.length_hint(data, -1) == -1
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(data, keras.utils.PyDataset):
        try:
            return data.num_batches is None
        except NotImplementedError:  # its iterator counts for ever
            return True
    cardinality = getattr(data, "cardinality", None)  # of a tf.data.Dataset: -1 is infinite
    return isinstance(data, (itertools.count, itertools.cycle)) or (
        callable(cardinality) and int(cardinality()) == -1
    )


class JoinedBatches:
    """The elements of a tf.data.Dataset, fewer and larger: x, or (x, None, sample_weight)."""

    def __init__(self, dataset: Any, weighted: bool, count: Any) -> None:
        self._dataset = dataset
        self._weighted = weighted
        self._count = count

    @property
    def count(self) -> int:
        """How many elements there were before they were joined; known when all have been taken."""
        return int(self._count)

    def __iter__(self) -> Iterator[Any]:
        if self._weighted:
            return ((x, None, weight) for x, weight in self._dataset)
        return iter(self._dataset)


def join_batches(
    data: Any, joins: Joins, *, use_sample_weight: bool, steps: int | None
) -> JoinedBatches | None:
    """Have tf.data take so many elements, or all, and join them.

    None for other data, and where the element_spec does not show that elements join.
    """
    tf = sys.modules.get("tensorflow")
    if tf is None or not isinstance(data, tf.data.Dataset):
        return None
    spec = data.element_spec
    labelled = isinstance(spec, tuple)
    if (use_sample_weight or labelled) and not (
        labelled and len(spec) in ((3,) if use_sample_weight else (1, 2, 3))
    ):
        return None
    plan = _plan(tf, spec[0] if labelled else spec, [spec[2]] if use_sample_weight else [], joins)
    if plan is None:
        return None
    if steps is not None:
        data = data.take(steps)
    if use_sample_weight:
        data = _map(tf, data, lambda x, _, weight: (x, weight))
    elif labelled:
        data = _map(tf, data, lambda x, *_: x)
    count: Any = int(data.cardinality())
    if steps is not None and count < 0:
        with tf.device("cpu:0"):
            count = tf.Variable(0, dtype=tf.int64)
        data = _map(tf, data, _counting(count))
    how, rows = plan
    return JoinedBatches(data.batch(rows) if how == "rows" else data.rebatch(rows), use_sample_weight, count)


def _plan(tf: Any, x: Any, companions: list[Any], joins: Joins) -> tuple[Join, int] | None:
    """How to join, and to how many rows; None if that cannot be or is of no use."""
    is_table = isinstance(x, Mapping)
    columns = list(x.values()) if is_table else [x]
    tensors = columns + companions
    if not columns or not all(isinstance(t, tf.TensorSpec) and t.shape.rank is not None for t in tensors):
        return None
    how = joins(x.shape.rank) if not is_table else "rows" if columns[0].shape.rank == 0 else "batches"
    if how is None:
        return None
    if how == "rows":
        fit = all(t.shape.rank == 0 for t in (tensors if is_table else companions))
        row_shapes = [t.shape for t in tensors]
    else:
        fit = all(t.shape.rank > 0 for t in tensors)
        row_shapes = [t.shape[1:] for t in tensors]
    if not fit or not all(shape.is_fully_defined() for shape in row_shapes):
        return None
    row = sum(shape.num_elements() * t.dtype.size for shape, t in zip(row_shapes, tensors, strict=True))
    if how == "batches" and (row > _LARGE_ROW or row * (tensors[0].shape[0] or 0) >= _LARGE_BATCH):
        return None
    rows = min(_MOST_ROWS, _MOST_BYTES // max(row, 1))
    return (how, rows) if rows > 1 else None


def _map(tf: Any, dataset: Any, function: Callable[..., Any]) -> Any:
    """Map with little ado: an executor for each element costs more than these functions."""
    options = {"synchronous": True} if "synchronous" in inspect.signature(dataset.map).parameters else {}
    return dataset.map(tf.autograph.experimental.do_not_convert(function), **options)


def _counting(counter: Any) -> Callable[..., Any]:
    def count(*element: Any) -> Any:
        counter.assign_add(1, read_value=False)
        return element if len(element) > 1 else element[0]

    return count
