"""Batches into Moments, and into a layer's Adaptation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import EllipsisType
from typing import Protocol

from exactnorm import _core
from exactnorm._arguments import Axis, ints_of, threads_of
from exactnorm._arrays import Dense, native_pieces
from exactnorm._inputs import Batch, Source
from exactnorm._streams import Join
from exactnorm._tables import Table


def learn(
    source: Source,
    *,
    axis: Axis | EllipsisType = ...,
    shape: Sequence[int] | None = None,
    names: Sequence[str] = (),
    threads: int | None = None,
) -> _core.Moments:
    """Sum all batches into new Moments.

    Of that shape and with these names, if given; else of the shape that the first batch has.
    """
    source.joins = functools.partial(_joins, axis, shape)
    moments = None
    for batch in source:
        if moments is None:
            moments = _core.Moments(*shape_and_names(batch.x, axis, shape, names))
            if axis is ... and threads is None:
                source.take = moments.try_update
        add(moments, batch, axis=axis, threads=threads)
    if moments is not None:
        return moments
    if shape is None:
        raise ValueError("expected data, got no batch")
    return _core.Moments(shape, names)


class Target(Protocol):
    """What a batch can be added to: Moments, or those of groups."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def names(self) -> list[str]: ...

    def update(
        self,
        x: _core.View,
        axis: Sequence[int] | None,
        where: _core.View | None = None,
        weights: _core.View | None = None,
        valid: _core.View | None = None,
        threads: int = 0,
    ) -> None:
        """Add an array."""

    def update_columns(
        self,
        columns: Sequence[_core.Column],
        where: _core.View | None = None,
        weights: _core.View | None = None,
        threads: int = 0,
    ) -> None:
        """Add a table."""


def add(moments: Target, batch: Batch, *, axis: Axis | EllipsisType, threads: int | None) -> None:
    """Add one batch; all or nothing if the array is native."""
    x, weights, where = batch
    count = threads_of(threads)
    weights_view = None if weights is None else weights.view()
    where_view = None if where is None else where.view()
    if isinstance(x, Table):
        if axis is not ... and (ints_of(axis) not in ([-1], [1]) if x.shape else ints_of(axis)):
            raise ValueError(
                f"the features of a table are its columns: expected axis -1 or 1, got {axis}"
                if x.shape
                else f"a 1-d array or column of a table is one feature: expected axis None, got {axis}"
            )
        columns = x.columns_for(moments.names)
        if columns:
            moments.update_columns(columns, where_view, weights_view, count)
        return
    kept = None if axis is ... else ints_of(axis)
    if x.is_native or weights is not None or where is not None:
        x = x.native()
        moments.update(x.view(), kept, where_view, weights_view, x.valid_view(), count)
        return
    default = range(-len(moments.shape), 0) if kept is None else kept
    for _, piece in native_pieces(x, default):
        moments.update(piece.view(), kept, None, None, piece.valid_view(), count)


def _joins(axis: Axis | EllipsisType, shape: Sequence[int] | None, rank: int) -> Join | None:
    """How a stream's arrays of this rank join, to be learned with this axis by Moments of this shape."""
    if axis is ...:
        kept = len(shape) if shape is not None else min(1, rank // 2)
        return None if kept > rank else "rows" if kept == rank else "batches"
    given = ints_of(axis)
    kept_axes = _core.kept_axes(given, rank)
    if len(kept_axes) == rank:
        return "rows" if all(i < 0 for i in given) else None
    return None if 0 in kept_axes else "batches"


def shape_and_names(
    x: Dense | Table, axis: Axis | EllipsisType, shape: Sequence[int] | None, names: Sequence[str]
) -> tuple[Sequence[int], Sequence[str]]:
    """Return the shape and names of the features, those of x where they are not given."""
    if isinstance(x, Table):
        if shape is None:
            shape = [len(names)] if names else x.shape
        return shape, names or x.names
    if shape is None:
        if axis is ...:
            axis = None if x.values.ndim <= 1 else -1
        shape = _core.feature_shape(x.values.shape, ints_of(axis))
    return shape, names


def feed(
    adaptation: _core.Adaptation,
    layer: _core.Normalization,
    source: Source,
    *,
    names: Sequence[str] = (),
    threads: int | None,
) -> None:
    """Give an Adaptation of this layer all batches. Tables have these columns, or those of the first one."""
    axis = layer.axis
    count = threads_of(threads)
    if threads is None:
        source.take = adaptation.try_update
    source.joins = functools.partial(_layer_joins, layer)
    for batch in source:
        x, weights, where = batch
        if where is not None:
            _feed_where(adaptation, layer, batch, names=names, threads=threads)
            continue
        weights_view = None if weights is None else weights.view()
        if isinstance(x, Table):
            names = names or x.names
            columns = x.columns_for(names)
            if not columns:
                continue
            if axis:  # else one feature of all columns
                adaptation.set_names(names)
            if not x.shape and is_one_axis(layer):
                adaptation.update_array(columns[0], weights_view, count)
            else:
                adaptation.update_columns(columns, weights_view, count)
            continue
        array = x.part(None) if source.stream is not None and _is_row(x.values.ndim, layer) else x
        if array.is_native or weights is not None:
            array = array.native()
            adaptation.update(array.view(), array.valid_view(), weights_view, count)
            continue
        for _, piece in native_pieces(array, axis):
            adaptation.update(piece.view(), piece.valid_view(), None, count)


def _layer_joins(layer: _core.Normalization, rank: int) -> Join | None:
    """How a stream's arrays of this rank join, to be learned by this layer."""
    is_row = _is_row(rank, layer)
    return None if 0 in _core.kept_axes(layer.axis, rank + is_row) else "rows" if is_row else "batches"


def _feed_where(
    adaptation: _core.Adaptation,
    layer: _core.Normalization,
    batch: Batch,
    *,
    names: Sequence[str],
    threads: int | None,
) -> None:
    """Learn an array of which not all counts aside, since an Adaptation knows no where."""
    x = batch.x
    if isinstance(x, Table):
        raise ValueError("a mask belongs to an array, not to a table")
    axis = layer.axis
    kept = _core.kept_axes(axis, x.values.ndim)
    reduced = [i for i in range(x.values.ndim) if i not in kept]
    if not reduced:
        raise ValueError(f"a mask needs an axis that is not kept, in data of shape {x.values.shape}")
    nothing = x.part((slice(None),) * reduced[0] + (slice(0, 0),))
    adaptation.update(nothing.view())  # now the shape is known, and has been checked
    moments = _core.Moments(_core.feature_shape(x.values.shape, axis), names)
    add(moments, batch, axis=axis, threads=threads)
    adaptation.merge(moments)


def is_one_axis(layer: _core.Normalization) -> bool:
    """Whether a column of no table is a 1-d array to this layer, rather than a table of one column."""
    return layer.rank == 1 if layer.built else not layer.axis


def _is_row(rank: int, layer: _core.Normalization) -> bool:
    """Whether a stream's element of this rank is one row, or one number: a batch of one, as in Keras 3."""
    return rank == 0 or (rank == 1 and (layer.rank == 2 if layer.built else bool(layer.axis)))
