"""What users of torch hand in, in host memory, where the sums are computed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from exactnorm import _core

_PIECE_BYTES = 64 << 20


def host(data: Any, axis: Sequence[int], rows: int | None = None) -> Any:
    """Bring tensors that lie on a device to the host: a large one piece by piece, batches one by one.

    Parameters
    ----------
    data
        As for `exactnorm.Normalization.adapt`. What holds no tensor comes back as it is.
    axis
        The axes to keep, along which no tensor is cut.
    rows
        How many rows of a tensor are wanted, if not all: these are not cut.
    """
    if isinstance(data, Tensor):
        if data.device.type == "cpu":
            return data
        return data[:rows].cpu() if rows is not None else pieces(data, axis, _PIECE_BYTES)
    if isinstance(data, (DataLoader, Dataset, Generator)):
        return _Stream(data, lambda item: map_tensors(Tensor.cpu, item))
    return map_tensors(Tensor.cpu, data)


def pieces(x: Tensor, axis: Sequence[int], most_bytes: int) -> Tensor | Iterator[Tensor]:
    """Cut along a reduced axis into copies of at most that many bytes, or one index; a small one is one."""
    kept = _core.kept_axes(axis, x.ndim)
    reduced = [i for i in range(x.ndim) if i not in kept]
    if x.nbytes <= most_bytes or x.ndim < 2 or not reduced:  # a piece of rank 1 would be taken for a row
        return x.cpu()
    along = max(reduced, key=x.shape.__getitem__)
    step = max(1, most_bytes * x.shape[along] // x.nbytes)
    return (piece.cpu() for piece in x.split(step, dim=along))


def map_tensors(change: Callable[[Tensor], Tensor], item: Any) -> Any:
    """Change the tensors of an item: itself, or those in a list, tuple or dict."""
    if isinstance(item, Tensor):
        return change(item)
    if isinstance(item, Mapping):
        return {key: map_tensors(change, value) for key, value in item.items()}
    if isinstance(item, (list, tuple)) and any(isinstance(part, Tensor) for part in item):
        parts = [map_tensors(change, part) for part in item]
        return parts if isinstance(item, list) else tuple(parts)
    return item


class _Stream:
    """Items one by one, changed; of a dataset without an iterator, by their indices."""

    def __init__(self, items: Any, change: Callable[[Any], Any]) -> None:
        self._items = items
        self._change = change

    def __iter__(self) -> Iterator[Any]:
        items = self._items
        if not hasattr(items, "__iter__"):
            items = (items[i] for i in range(len(items)))
        return map(self._change, items)


def float64_on_host(values: Any) -> Any:
    """Return a given mean or variance that is a tensor as numpy can read it."""
    return values.detach().to("cpu", torch.float64).numpy() if isinstance(values, Tensor) else values
