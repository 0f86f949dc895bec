"""What users of Keras hand in to be learned: masks are respected, ragged and sparse tensors refused."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from exactnorm._arrays import Dense, companion, is_array
from exactnorm._inputs import Batch, Source, read_array_or_table
from exactnorm._moments import Moments

_UNEVEN = frozenset(
    {"RaggedTensor", "RaggedTensorSpec", "SparseTensor", "SparseTensorSpec", "IndexedSlices", "BCOO", "BCSR"}
)


def source_of(
    data: Any,
    *,
    mask: Any = None,
    mask_of: Callable[[Any], Any],
    use_sample_weight: bool = False,
    steps: int | None = None,
    batch_size: int | None = None,
) -> Source | Moments:
    """Read data as `exactnorm.Normalization.adapt` does, with the masks that come along.

    Parameters
    ----------
    data, use_sample_weight, steps, batch_size
        As for `exactnorm.Normalization.adapt`.
    mask : array_like of bool, optional
        For an array: False where it is as if absent; of a leading part of its shape.
    mask_of : callable
        Returns the Keras mask of an array, or None.
    """
    if isinstance(data, Moments):
        if mask is not None:
            raise ValueError("a mask belongs to an array, not to Moments")
        return data

    def masked(item: Any, given: Any = None) -> Any:
        x, *rest = item if _is_labelled(item) else (item,)
        refuse_uneven(x)
        mask = mask_of(x) if given is None else given
        if mask is None:
            return item
        if use_sample_weight and len(rest) != 2:
            raise ValueError(f"expected (x, y, sample_weight), got {1 + len(rest)} elements")
        weights = rest[1] if use_sample_weight else None
        return Batch(_array(x), companion(weights, "sample_weight"), companion(mask, "mask"))

    if not isinstance(data, list):  # which is a stream, or numbers
        data = masked(data, mask)
    elif mask is not None:
        data = masked(np.asarray(data), mask)
    source = Source(data, use_sample_weight=use_sample_weight, steps=steps, batch_size=batch_size)
    source.each = lambda item: item if isinstance(item, np.ndarray) else masked(item)
    return source


def _is_labelled(item: Any) -> bool:
    """Whether item is (x, y) or (x, y, sample_weight), which torch's DataLoader makes lists."""
    return isinstance(item, (tuple, list)) and len(item) > 0 and is_array(item[0])


def _array(x: Any) -> Dense:
    array = next(read_array_or_table(x), None)
    if not isinstance(array, Dense):
        raise ValueError("a mask belongs to an array, not to a table")
    return array


def refuse_uneven(x: Any) -> None:
    """TypeError for ragged and sparse tensors, of any framework."""
    if (
        type(x).__name__ in _UNEVEN
        or type(getattr(x, "type_spec", None)).__name__ in _UNEVEN  # tf_keras's symbolic tensors
        or getattr(x, "is_sparse", False) is True  # torch
        or getattr(x, "sparse", False) is True  # keras.KerasTensor
        or getattr(x, "ragged", False) is True
        or hasattr(x, "tocoo")  # scipy
    ):
        raise TypeError(
            f"expected a dense array or tensor, got a {type(x).__module__}.{type(x).__name__}: ragged and "
            "sparse tensors are not taken; make it dense first (to_tensor, to_dense, toarray)"
        )


def refuse_no_numbers(x: Any) -> None:
    """TypeError for what is not an array or tensor of numbers or booleans."""
    dtype = str(getattr(x, "dtype", "numbers"))
    if not hasattr(x, "shape"):
        raise TypeError(f"expected an array, a tensor or numbers, got {type(x).__qualname__}")
    if any(kind in dtype for kind in ("complex", "string", "object", "<U", "datetime", "timedelta")):
        raise TypeError(f"expected numbers or booleans, got a {type(x).__qualname__} of dtype {dtype}")


@contextmanager
def progress_of(
    source: Source, data: Any, steps: int | None, bar_for: Callable[[int | None], Any]
) -> Iterator[None]:
    """Around the learning from a source of these data: a bar, made for a number of batches, counts them."""
    stream = source.stream
    if stream is None:
        yield
        bar_for(1).update(1, finalize=True)
        return
    target = steps or operator.length_hint(data) or None
    bar, each = bar_for(target), source.each

    def shown(item: Any) -> Any:
        bar.update(stream.taken)
        return item if each is None else each(item)

    source.each, source.counted = shown, True
    yield
    if stream.taken != target:
        bar.target = stream.taken or 1
        bar.update(bar.target, finalize=True)
