"""Arrays in files through a state, into files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from exactnorm._apply import numpy_dtype
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.files._by_layer import How, check_dtype
from exactnorm.files._numpy import StoredArray
from exactnorm.files._readers import naming


def array_layer(
    state: Moments | GroupedMoments | Normalization, how: How, shape: tuple[int, ...]
) -> Normalization:
    """Return the layer for arrays of a shape: of Moments, for as many last axes as they have."""
    if isinstance(state, GroupedMoments):
        raise ValueError("states of groups go with tables, not with arrays")
    if isinstance(state, Normalization):
        config = {**state.get_config(), **how.settings}
        check_dtype(config)
        if not how.settings:
            return state
        layer = Normalization(**config)
        if config["mean"] is None:
            layer.adapt(state.moments)
        return layer
    check_dtype(how.settings)
    layer = Normalization(**how.settings, axis=tuple(range(-len(state.shape), 0)) or None)
    layer.build((None, *shape[1:]))
    layer.adapt(state)
    return layer


def write_array(
    layer: Normalization, array: StoredArray, how: How, file: IO[bytes], name: str
) -> Iterator[int]:
    """Write an array, of a file of that name, normalized, as .npy; tell the number of rows after each piece.

    Raises
    ------
    ValueError
        For an array of another shape, and a layer that keeps the axis of rows.
    """
    with naming(name):
        layer._impl.prepare_call(array.shape)
        if 0 in layer._impl.axes:
            raise ValueError("the layer keeps the first axis, along which files are read")
    dtype = numpy_dtype(layer._impl.dtype)
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, header)
    act = layer.inverse if how.inverse else layer
    for piece in _pieces(array, name):
        file.write(act(piece, threads=how.threads).data)
        yield len(piece)


def _pieces(array: StoredArray, name: str) -> Iterator[npt.NDArray[Any]]:
    with naming(name):
        yield from array.pieces(array.batch_rows())
