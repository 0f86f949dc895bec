"""A layer's call on some columns of a frame, into a frame of the same kind."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._apply import numpy_dtype, view
from exactnorm._arguments import columns_of, threads_of
from exactnorm._frame_kinds import Frame, frame_of
from exactnorm._tables import read_table

NDArray = npt.NDArray[Any]

_SCRATCH_BYTES = 4 << 20
_MOST_NAMED = 20


def transform_frame(
    layer: _core.Normalization,
    frame: Any,
    columns: Iterable[Any] | None,
    *,
    opposite: bool,
    threads: int | None,
) -> Any:
    """Return the frame with columns normalized; opposite means the other direction than a call's."""
    wrapped = frame_of(frame, layer.dtype)
    if layer.dtype in wrapped.lacks:
        raise ValueError(
            f"a {type(frame).__qualname__} has no columns of the layer's dtype, {layer.dtype}; "
            "expected one of dtype float32, say"
        )
    chosen, features = _choose(layer, wrapped, None if columns is None else _labels(columns))
    return wrapped.replaced(chosen, _Application(layer, features, opposite=opposite, threads=threads))


def _choose(
    layer: _core.Normalization, frame: Frame, wanted: Sequence[str] | None
) -> tuple[list[int], list[list[int]]]:
    """Find the columns to normalize, by their places, and the layer's features in each of them."""
    if layer.names:
        return _choose_by_name(layer.names, frame, wanted)
    if wanted is None:
        chosen = [i for i in range(len(frame.labels)) if frame.kind(i).is_number]
    else:
        chosen = _places(frame, wanted)
    what = "numeric columns" if wanted is None else "columns"
    if not chosen:
        raise ValueError(f"expected {what} to normalize, got none")
    widths = [frame.kind(i).width for i in chosen]
    expected = layer.statistics(False)[0].size if layer.built and layer.axes else sum(widths)
    if expected != sum(widths):
        raise ValueError(
            f"the layer has {expected} features, without names, and the {what} have {sum(widths)}: "
            f"{_listed(frame.labels[i] for i in chosen)}; expected columns= with the layer's, in its order"
        )
    ends = itertools.accumulate(widths)
    return chosen, [list(range(end - width, end)) for end, width in zip(ends, widths, strict=True)]


def _choose_by_name(
    names: Sequence[str], frame: Frame, wanted: Sequence[str] | None
) -> tuple[list[int], list[list[int]]]:
    learned = features_by_column(names, frame.labels)
    unknown = [label for label in wanted or () if label not in learned]
    if unknown:
        raise ValueError(f"the layer has not learned {_listed(unknown)}; it has learned {_listed(learned)}")
    labels = list(learned) if wanted is None else sorted(wanted, key=list(learned).index)
    present = set(frame.labels)
    missing = [label for label in labels if label not in present]
    if missing:
        raise ValueError(f"the frame has no column {_listed(missing)}, which the layer has learned")
    chosen = _places(frame, labels)
    index = {name: i for i, name in enumerate(names)}
    features = []
    for i, label in zip(chosen, labels, strict=True):
        width = frame.kind(i).width
        own = [label] if learned[label] == [label] else [f"{label}[{j}]" for j in range(width)]
        if set(own) != set(learned[label]) or len(own) != width:
            raise ValueError(
                f"column {label!r} has {width} features, and the layer has learned {_listed(learned[label])}"
            )
        features.append([index[name] for name in own])
    return chosen, features


def features_by_column(names: Sequence[str], present: Sequence[str]) -> dict[str, list[str]]:
    """Find the features that each column has: emb[0], emb[1], … are in a column emb, if there is one."""
    labels = set(present)
    features: dict[str, list[str]] = {}
    for name in names:
        stem = name.rpartition("[")[0]
        is_element = name.endswith("]") and stem in labels and name not in labels
        features.setdefault(stem if is_element else name, []).append(name)
    return features


def _labels(columns: Iterable[Any]) -> list[str]:
    """Return columns as they are named when learned: pandas has labels that are no strings."""
    labels = list(map(str, columns_of(columns)))
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise ValueError(f"expected each column once, got more of {_listed(twice)}")
    return labels


def _places(frame: Frame, labels: Sequence[str]) -> list[int]:
    places: dict[str, list[int]] = {}
    for i, label in enumerate(frame.labels):
        places.setdefault(label, []).append(i)
    missing = [label for label in labels if label not in places]
    if missing:
        raise ValueError(f"the frame has no column {_listed(missing)}; it has {_listed(frame.labels)}")
    twice = [label for label in labels if len(places[label]) > 1]
    if twice:
        raise ValueError(f"the frame has more than one column {_listed(twice)}")
    return [places[label][0] for label in labels]


def _listed(labels: Iterable[str]) -> str:
    listed = [repr(label) for label in itertools.islice(labels, _MOST_NAMED + 1)]
    return ", ".join(listed[:_MOST_NAMED]) + (", …" if len(listed) > _MOST_NAMED else "")


class _Application:
    """A layer as it is now, for tables with these features; see `exactnorm._frame_kinds.Normalize`."""

    def __init__(
        self,
        layer: _core.Normalization,
        features: Sequence[Sequence[int]],
        *,
        opposite: bool,
        threads: int | None,
    ) -> None:
        self._dtype = numpy_dtype(layer.dtype)
        self._opposite, self._threads = opposite, threads_of(threads)
        self._features = features
        self._order = [i for own in features for i in own]
        self._is_flat = layer.built and layer.rank == 1 and not layer.axes
        self._count = layer.statistics(False)[0].size if layer.built and layer.axes else len(self._order)
        self._layer = layer
        # On no rows: builds the layer, checks the shape, and warns now rather than when a query runs.
        no_rows = _core.Column(_core.View(np.empty(0), "float64"))
        self._call([no_rows] * self._count, np.empty((self._count, 0), self._dtype))
        self._layer = layer.copy()

    def __call__(self, table: Any, rows: int) -> list[NDArray]:
        if not self._features:
            return []
        results = np.empty((len(self._order), rows), self._dtype)
        first = 0
        for batch in read_table(table):
            columns = [column.feature(i) for column in batch.columns for i in range(column.width)]
            if columns:
                self._fill(columns, results[:, first : first + batch.row_count])
                first += batch.row_count
        values, ends = [], itertools.accumulate(map(len, self._features))
        for own, end in zip(self._features, ends, strict=True):
            vector = results[end - len(own) : end]
            values.append(vector[0] if len(own) == 1 else np.ascontiguousarray(vector.T))
        return values

    def _fill(self, columns: list[_core.Column], out: NDArray) -> None:
        """Write the results of columns, feature by feature, into the rows of out."""
        if self._order == list(range(self._count)):
            self._call(columns, out)
            return
        # The layer wants all its features, in its order: zeros for the others.
        rows = out.shape[1]
        step = max(1, _SCRATCH_BYTES // (self._count * out.itemsize))
        for first in range(0, rows, step):
            count = min(step, rows - first)
            zeros = _core.Column(_core.View(np.zeros(count, np.float32), "float32"))
            all_columns = [zeros] * self._count
            for i, column in zip(self._order, columns, strict=True):
                all_columns[i] = column.slice(first, count)
            scratch = np.empty((self._count, count), self._dtype)
            self._call(all_columns, scratch)
            out[:, first : first + count] = scratch[self._order]

    def _call(self, columns: list[_core.Column], out: NDArray) -> None:
        """Call the layer on all its features; out has a row for each."""
        if not self._is_flat:
            self._layer.call_columns(columns, view(out.T), self._opposite, self._threads)
            return
        for column, row in zip(columns, out, strict=True):  # each is a 1-d array to it
            self._layer.call_columns([column], view(row), self._opposite, self._threads)
