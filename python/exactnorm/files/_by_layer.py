"""Tables normalized by what one state knows of their columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

Features = Mapping[str, Sequence[str]]
"""The features that each column to normalize has."""


class How(NamedTuple):
    """What a user asks for."""

    settings: Mapping[str, Any]
    """Arguments of Normalization."""
    inverse: bool
    empty: Literal["refuse", "pass"]
    threads: int | None


class ByLayer:
    """A layer for some columns.

    Raises
    ------
    ValueError
        For columns without a value, unless those pass, and for what a policy refuses.
    """

    def __init__(self, state: Moments | Normalization, features: Features, how: How) -> None:
        self._how = how
        config, moments = ({}, state) if isinstance(state, Moments) else (state.get_config(), state.moments)
        config = {**config, **how.settings, "axis": -1}
        check_dtype(config)
        self._layer: Normalization | None
        self.columns = list(features)
        """Those that are normalized."""
        is_whole = [name for own in features.values() for name in own] == list(state.names or ())
        if isinstance(state, Normalization) and not how.settings and is_whole:
            self._layer = state
            return
        index = {name: i for i, name in enumerate(moments.names or ())}
        places = {column: [index[name] for name in own] for column, own in features.items()}
        if how.empty == "pass":
            places = {column: own for column, own in places.items() if not _is_empty(moments, own, config)}
        self.columns = list(places)
        self._layer = Normalization(**config) if places else None
        if self._layer is not None:
            chosen = [i for own in places.values() for i in own]
            self._layer.adapt(Moments._of(moments._impl.select(chosen)))

    def schema(self, before: pa.Schema) -> pa.Schema:
        """Return what comes out of what goes in. TypeError for columns that are not numbers."""
        return self.normalized(no_rows(before), 0).schema

    def finish(self) -> None:
        """Do nothing: a layer has warned when it was adapted."""

    def normalized(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:  # noqa: ARG002
        """Return rows with their columns normalized."""
        if self._layer is None:
            return batch
        how = self._how
        result: pa.RecordBatch = self._layer.transform_frame(batch, inverse=how.inverse, threads=how.threads)
        return result


def policies(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return what NaN and what infinities mean."""
    return config.get("nan_policy", "propagate"), config.get("inf_policy", "propagate")


def check_dtype(config: Mapping[str, Any]) -> None:
    """Raise a ValueError for results that no file can hold."""
    if config.get("dtype") == "bfloat16":
        raise ValueError("files do not hold the layer's bfloat16: choose a type with dtype (--dtype)")


def no_rows(schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch without rows."""
    return pa.RecordBatch.from_arrays([pa.array([], kind) for kind in schema.types], schema=schema)


def _is_empty(moments: Moments, features: Sequence[int], config: Mapping[str, Any]) -> bool:
    """Whether a column has no value to learn from in any of its features."""
    _, nothing = moments._impl.select(features).read("mean", "float64", *policies(config), 0)
    return len(nothing) == len(features)
