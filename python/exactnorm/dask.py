"""Moments of dask arrays and dataframes, and a layer's call on them: in their chunks, and lazy.

A chunk's state is computed where the chunk is, and states are added up in a tree. What comes out is, to the
bit, what `exactnorm.Moments.from_data` learns from the same values on one machine.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Iterable, Sequence
from types import EllipsisType
from typing import Any

from exactnorm._arguments import Axis, columns_of, ints_of
from exactnorm._extras import needs
from exactnorm._normalization import Normalization
from exactnorm.distributed import partial

with needs("dask", "exactnorm.dask"):
    import dask.array as da
    import dask.dataframe as dd
    from dask.delayed import Delayed

    from exactnorm._dask.arrays import array_states, transform_array
    from exactnorm._dask.tree import sum_of

__all__ = ["adapt", "transform"]


def adapt(
    x: da.Array | dd.DataFrame,
    axis: Axis | EllipsisType = ...,
    columns: Iterable[Hashable] | None = None,
    by: Any = None,
    weights: Any = None,
    *,
    split_every: int = 8,
) -> Delayed:
    """Learn the Moments of a dask array or dataframe, when the result is computed.

    Parameters
    ----------
    x : dask.array.Array or dask.dataframe.DataFrame
        Its chunks may be of unknown sizes.
    axis : int, tuple of int or None, optional
        Of an array: the axes to keep, as for `Moments.from_data`. One that is split along a kept axis is put
        together along it first, which moves its data between workers.
    columns : iterable of column labels, optional
        Of a dataframe: what to learn. The default is all columns but those of keys and weights.
    by : column label, or array of shape (rows,), optional
        The keys, integers or strings, of the rows: a column of a dataframe, or for an array a dask or numpy
        array. There are Moments for every key then.
    weights : column label, or array, optional
        A column of a dataframe, or for an array a dask or numpy array of a leading part of its shape.
    split_every : int, default 8
        How many states a task adds up.

    Returns
    -------
    dask.delayed.Delayed
        Of Moments, or with `by` of GroupedMoments. The graph has a task for each chunk, and less than one
        for adding up.

    Raises
    ------
    ValueError
        At once for columns that are not there, axes that x does not have, and chunks of by and weights that
        are not those of x. When it is computed, as `Moments.from_data`.
    TypeError
        At once for what is neither a dask array nor a dataframe, and for data that are not numbers.
    StateError
        When it is computed, if workers have different exactnorms, and one does not know the documents of
        another.

    Examples
    --------
    >>> import dask.array as da
    >>> from exactnorm.dask import adapt
    >>> x = da.arange(12.0, chunks=4).reshape(6, 2)
    >>> adapt(x).compute().mean()
    array([5., 6.])
    """
    if split_every < 2:
        raise ValueError(f"expected split_every of at least 2, got {split_every}")
    if isinstance(x, da.Array):
        if columns is not None:
            raise ValueError("an array has no columns: expected columns=None, or a dataframe")
        states = array_states(x, axis, by, weights)
    elif isinstance(x, dd.DataFrame):
        if axis is not ... and ints_of(axis) not in ([-1], [1]):
            raise ValueError(
                f"the features of a dataframe are its columns: expected axis -1 or 1, got {axis}"
            )
        states = _frame_states(x, columns, by, weights)
    else:
        raise TypeError(_expected(x))
    return sum_of(states, split_every)


def transform(
    x: da.Array | dd.DataFrame, layer: Normalization, columns: Iterable[Hashable] | None = None
) -> Any:
    """Normalize a dask array or dataframe, chunk by chunk, when the result is computed.

    Parameters
    ----------
    x : dask.array.Array or dask.dataframe.DataFrame
        Its chunks may be of unknown sizes. An array that is split along the layer's kept axes is put together
        along them first, and split again, which moves its data between workers.
    layer : exactnorm.Normalization
        As it is now: what it learns later changes nothing.
    columns : iterable of column labels, optional
        Of a dataframe: what to normalize, as for `Normalization.transform_frame`.

    Returns
    -------
    dask.array.Array or dask.dataframe.DataFrame
        With the chunks, and of a dataframe the index and the other columns, of x. The bits are those of
        ``layer(x)`` and ``layer.transform_frame(x)``.

    Raises
    ------
    ValueError
        At once, for shapes and columns that are not the layer's.
    TypeError
        At once for what is neither a dask array nor a dataframe, and for columns that are not numbers.

    Examples
    --------
    >>> import dask.array as da
    >>> import exactnorm as en
    >>> from exactnorm.dask import adapt, transform
    >>> x = da.asarray([[0.0, 7.0], [2.0, 9.0], [0.0, 7.0], [2.0, 9.0]], chunks=(1, 2))
    >>> layer = en.Normalization()
    >>> layer.adapt(adapt(x).compute())
    >>> transform(x, layer)
    dask.array<normalize, shape=(4, 2), dtype=float32, chunksize=(1, 2), chunktype=numpy.ndarray>
    >>> transform(x, layer)[1].compute()
    array([1., 1.], dtype=float32)
    """
    if not isinstance(layer, Normalization):
        raise TypeError(f"expected an exactnorm.Normalization, got a {_kind(layer)}")
    layer = copy.copy(layer)
    if isinstance(x, da.Array):
        if columns is not None:
            raise ValueError("an array has no columns: expected columns=None, or a dataframe")
        return transform_array(x, layer)
    if isinstance(x, dd.DataFrame):
        columns = None if columns is None else columns_of(columns)
        meta = layer.transform_frame(x._meta, columns)  # checks the columns, too
        return x.map_partitions(_transform_frame, layer, columns, meta=meta)
    raise TypeError(_expected(x))


def _frame_states(
    x: dd.DataFrame, columns: Iterable[Hashable] | None, by: Hashable | None, weights: Hashable | None
) -> Any:
    """Return a dask series, optimized, that has the state of each partition in the place of the partition."""
    by, weights = (None if label is None else str(label) for label in (by, weights))
    others = [name for name in (by, weights) if name is not None]
    if columns is None:
        names = [str(label) for label in x.columns if str(label) not in others]
    else:
        names = list(map(str, columns_of(columns)))
    _state(x._meta, names, by, weights)  # what is wrong with the columns is said now
    x = x[[label for label in x.columns if str(label) in {*names, *others}]]
    return x.map_partitions(
        _state, names, by, weights, meta=(None, object), enforce_metadata=False
    ).optimize()


def _state(frame: Any, columns: Sequence[str], by: str | None, weights: str | None) -> bytes:
    return partial([frame], columns=columns, by=by, weights=weights)


def _transform_frame(frame: Any, layer: Normalization, columns: Sequence[Hashable] | None) -> Any:
    return layer.transform_frame(frame, columns, threads=1)


def _expected(x: object) -> str:
    return f"expected a dask array or a dask dataframe, got a {_kind(x)}"


def _kind(x: object) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"
