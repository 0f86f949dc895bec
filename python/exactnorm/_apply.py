"""A layer's call on whatever it is called with."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._arguments import threads_of
from exactnorm._arrays import Dense, native_pieces
from exactnorm._inputs import read_array_or_table
from exactnorm._learn import is_one_axis
from exactnorm._tables import Table

NDArray = npt.NDArray[Any]


def apply(
    layer: _core.Normalization, x: Any, out: NDArray | None, *, opposite: bool, threads: int | None
) -> NDArray:
    """Return the layer's result, in out if given; opposite means the other direction than a call's."""
    count = threads_of(threads)
    dtype = numpy_dtype(layer.dtype)
    parts: list[NDArray] = []
    for batch in read_array_or_table(x):
        if isinstance(batch, Dense):
            out = _target(layer.prepare_call(batch.values.shape), dtype, out)
            return _apply_array(layer, batch, out, opposite, count)
        if batch.columns or not parts:
            parts.append(_apply_table(layer, batch, dtype, opposite, count))
    parts = [part for part in parts if len(part) > 0] or parts[:1]
    result = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if out is None:
        return result
    _target(result.shape, dtype, out)[...] = result
    return out


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of a layer's results."""
    return np.dtype(importlib.import_module("ml_dtypes").bfloat16 if name == "bfloat16" else name)


def _target(shape: tuple[int, ...], dtype: np.dtype[Any], out: NDArray | None) -> NDArray:
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, np.ndarray) or isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"expected out to be a numpy array, got {type(out).__name__}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"expected out of shape {shape} and dtype {dtype}, got {out.shape} and {out.dtype}")
    if not out.flags.writeable:
        raise ValueError("out is read-only")
    return out


def view(out: NDArray) -> _core.View:
    """Return where C++ is to write results."""
    if out.dtype.name == "bfloat16":
        return _core.View(out.view(np.uint16), "bfloat16", writable=True)
    return _core.View(out, out.dtype.name, writable=True)


def _apply_array(layer: _core.Normalization, x: Dense, out: NDArray, opposite: bool, threads: int) -> NDArray:
    for index, piece in native_pieces(x, layer.axes):
        layer.call(piece.view(), view(out[index]), opposite, threads)
    if x.valid is not None:
        np.copyto(out, np.nan, where=~x.valid)
    return out


def _apply_table(
    layer: _core.Normalization, x: Table, dtype: np.dtype[Any], opposite: bool, threads: int
) -> NDArray:
    columns = x.columns_for(layer.names)
    shape = (x.row_count, *x.shape)
    if not x.shape and not is_one_axis(layer):
        shape = (x.row_count, 1)
    out = np.empty(layer.prepare_call(shape), dtype)
    if columns:
        layer.call_columns(columns, view(out), opposite, threads)
    return out
