"""Dask arrays: the states of their chunks, and a layer's call on each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import dask
import dask.array as da
import numpy as np

from exactnorm import _core
from exactnorm._apply import numpy_dtype
from exactnorm._arguments import Axis, ints_of
from exactnorm._arrays import dense
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization


def array_states(x: da.Array, axis: Axis | EllipsisType, by: Any, weights: Any) -> da.Array:
    """Return a dask array, optimized, that has the state of each chunk of x in the place of the chunk."""
    dense(np.empty(0, x.dtype))  # refuses what is not numbers
    if axis is ...:
        axis = None if x.ndim <= 1 else -1
    kept = _core.kept_axes(ints_of(axis), x.ndim)
    if by is not None and (x.ndim == 0 or 0 in kept):
        raise ValueError(
            f"expected rows to have keys, but axis={axis} of an array of shape {x.shape} leaves none"
        )
    x = _whole(x, kept)
    axes = range(x.ndim)
    arguments: list[Any] = [x, axes]
    for values, what in ((by, "by"), (weights, "weights")):
        values = None if values is None else _like(values, x, what)
        arguments += [values, None if values is None else axes[: values.ndim]]
    states = da.blockwise(
        _state,
        axes,
        *arguments,
        axis=kept or None,
        dtype=object,
        meta=np.empty((0,) * x.ndim, object),
        align_arrays=False,  # they are, and unknown sizes cannot be compared
    )
    optimized: da.Array = dask.optimize(states)[0]
    return optimized


def transform_array(x: da.Array, layer: Normalization) -> da.Array:
    """Return the layer's call on x, in the chunks of x."""
    core = layer._impl
    kept = core.axes if core.built else _core.kept_axes(core.axis, x.ndim)
    no_rows = [n if i in kept else 0 for i, n in enumerate(x.shape)]
    if not any(map(math.isnan, no_rows)):
        try:
            layer(np.zeros(no_rows, x.dtype))  # what is wrong with the shape is said now, and warned of
        except ValueError as error:
            raise ValueError(f"x of shape {x.shape}, without its rows: {error}") from error
    dtype = numpy_dtype(core.dtype)
    whole = _whole(x, kept)
    meta = np.empty((0,) * x.ndim, dtype)
    result = whole.map_blocks(_normalize, layer, dtype=dtype, meta=meta, token="normalize")  # noqa: S106
    return result if whole is x else result.rechunk(x.chunks)


def _whole(x: da.Array, kept: Sequence[int]) -> da.Array:
    """Put x together along kept axes: a state has all features, since states add up but do not join."""
    split = [i for i in kept if x.numblocks[i] > 1]
    if not split:
        return x
    for i in split:
        if math.isnan(x.shape[i]):
            raise ValueError(
                f"axis {i} is kept, and split into chunks of unknown sizes: expected an x with "
                "x.compute_chunk_sizes() called, or one chunk along that axis"
            )
    is_known = not any(map(math.isnan, x.shape))
    others = {i: "auto" for i in range(x.ndim) if i not in kept and is_known}
    return x.rechunk(dict.fromkeys(kept, -1) | others)


def _like(values: Any, x: da.Array, what: str) -> da.Array:
    """Return values in the chunks of the leading axes of x."""
    if not isinstance(values, da.Array):
        values = da.from_array(np.asanyarray(values))
    shape, chunks = x.shape[: values.ndim], x.chunks[: values.ndim]
    if any(map(math.isnan, (*shape, *values.shape))):
        if values.numblocks != tuple(map(len, chunks)):
            raise ValueError(
                f"chunks of unknown sizes: expected {what} as a dask array in the chunks of x, which are "
                f"{x.numblocks}, got {values.numblocks}"
            )
        return values
    if values.shape != shape:
        raise ValueError(f"expected {what} of a leading part of the shape {x.shape}, got {values.shape}")
    return values.rechunk(chunks)


def _state(x: Any, by: Any, weights: Any, axis: Sequence[int] | None) -> bytes:
    if by is None:
        return Moments.from_data(x, axis, weights, threads=1).to_bytes()
    return GroupedMoments.from_data(x, by, axis, weights, threads=1).to_bytes()


def _normalize(x: Any, layer: Normalization) -> Any:
    return layer(x, threads=1)
