"""What users of torch hand in, in host memory, where the sums are computed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from exactnorm import _core

_PIECE_BYTES = 64 << 20


def host(data: Any, axis: Sequence[int], rows: int | None = None) -> Any:
    """Bring tensors to where the core can read them: from a device in pieces, and batches one by one.

    Parameters
    ----------
    data
        As for `exactnorm.Normalization.adapt`. What holds no tensor comes back as it is.
    axis
        The axes to keep, along which no tensor is cut.
    rows
        How many rows of a tensor are wanted, if not all: these are not cut.
    """
    if isinstance(data, Tensor) and data.device.type != "cpu":
        return _readable(data[:rows]) if rows is not None else pieces(data, axis, _PIECE_BYTES)
    if isinstance(data, (DataLoader, Dataset, Generator)):
        return _Batches(data)
    return _map_tensors(data)


def pieces(x: Tensor, axis: Sequence[int], most_bytes: int) -> Any:
    """Cut along a reduced axis into copies of at most that many bytes, or one index; a small one is one."""
    _refuse_layout(x)
    kept = _core.kept_axes(axis, x.ndim)
    reduced = [i for i in range(x.ndim) if i not in kept]
    if x.nbytes <= most_bytes or x.ndim < 2 or not reduced:  # a piece of rank 1 would be taken for a row
        return _readable(x)
    along = max(reduced, key=x.shape.__getitem__)
    step = max(1, most_bytes * x.shape[along] // x.nbytes)
    return (_readable(piece) for piece in x.split(step, dim=along))


def _readable(x: Tensor) -> Any:
    """Return a numpy array, which is read faster, or a tensor that numpy has no dtype for."""
    _refuse_layout(x)
    x = x.detach().cpu().resolve_neg()
    return x if x.dtype == torch.bfloat16 or x.is_complex() else x.numpy()


def _refuse_layout(x: Tensor) -> None:
    if x.layout != torch.strided or x.is_nested:
        layout = "nested" if x.is_nested else str(x.layout).removeprefix("torch.")
        raise TypeError(f"expected a dense tensor, got one of layout {layout}")


def _map_tensors(item: Any) -> Any:
    if isinstance(item, Tensor):
        return _readable(item)
    if isinstance(item, Mapping):
        return {key: _map_tensors(value) for key, value in item.items()}
    if isinstance(item, (list, tuple)) and any(isinstance(part, Tensor) for part in item):
        return [_map_tensors(part) for part in item] if isinstance(item, list) else _labelled(item)
    return item


def _labelled(item: Sequence[Any]) -> tuple[Any, ...]:
    """(x, y, sample_weight), or a part of it; nobody reads y."""
    return tuple(part if i == 1 else _map_tensors(part) for i, part in enumerate(item))


class _Batches:
    """Batches one by one; of a dataset without an iterator, by their indices."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches
        has_iterator = hasattr(batches, "__iter__")
        for batch in batches if has_iterator else map(batches.__getitem__, range(len(batches))):
            is_labelled = isinstance(batch, list) and len(batch) > 0 and isinstance(batch[0], Tensor)
            yield _labelled(batch) if is_labelled else _map_tensors(batch)


def float64_on_host(values: Any) -> Any:
    """Return a given mean or variance that is a tensor as numpy can read it."""
    return (
        values.detach().to("cpu", torch.float64).resolve_neg().numpy()
        if isinstance(values, Tensor)
        else values
    )
