"""A state as a table to read, or as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from exactnorm._documents import State
from exactnorm._grouped import GroupedMoments
from exactnorm._html import feature_labels, grouped_rows, grouped_summary
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.cli._tables import print_table

_HEADER = ("feature", "count", "null", "NaN", "infinite", "mean", "sd", "")


def as_json(state: State) -> str:
    """Return what is known, for machines. A number that is NaN or infinite is null."""
    known: dict[str, Any] = {"kind": type(state).__name__}
    if isinstance(state, Normalization):
        known["config"] = state.get_config()
    learned = state if isinstance(state, GroupedMoments) else _moments_of(state)
    if learned is not None:
        known |= {"shape": list(learned.shape), "weighted": learned.weighted, "digest": learned.digest}
    if isinstance(learned, Moments):
        known["features"] = _features(learned)
    elif learned is not None:
        known["groups"] = [{"key": key, "features": _features(group)} for key, group in learned.items()]
    return json.dumps(known, allow_nan=False, ensure_ascii=False)


def print_state(state: State) -> None:
    """Print a table: a row for each feature, or for each group."""
    if isinstance(state, GroupedMoments):
        _print_groups(state)
        return
    moments = _moments_of(state)
    rows = [] if moments is None else [_cells(feature) for feature in _features(moments)]
    digest = [] if moments is None else [f"digest {moments.digest}"]
    print_table(repr(state).strip("<>"), _HEADER, rows, digest)


def _print_groups(state: GroupedMoments) -> None:
    header, rows = grouped_rows(state)
    notes = [f"digest {state.digest}"]
    if math.prod(state.shape) > len(header) - 2:
        notes.insert(
            0, f"means of {len(header) - 2} of {math.prod(state.shape):,} features; --key shows a group"
        )
    title = f"GroupedMoments of {grouped_summary(state)}{', weighted' if state.weighted else ''}"
    print_table(title, header, list(rows), notes)


def _moments_of(state: Moments | Normalization) -> Moments | None:
    if isinstance(state, Moments):
        return state
    return state.moments if state.built and state.get_config()["mean"] is None else None


def _features(moments: Moments) -> list[dict[str, Any]]:
    """Tell what is known about each feature; mean, variance and std of the finite values."""
    columns: dict[str, Sequence[Any]] = {
        "name": feature_labels(moments),
        "count": moments.count.ravel().tolist(),
        "null": moments.null_count.ravel().tolist(),
        "nan": moments.nan_count.ravel().tolist(),
        "posinf": moments.posinf_count.ravel().tolist(),
        "neginf": moments.neginf_count.ravel().tolist(),
        "constant": moments._impl.constant_features(),
    }
    for what in ("mean", "variance", "std"):
        values, _ = moments._impl.read(what, "float64", "omit", "omit", 0)
        columns[what] = [value if math.isfinite(value) else None for value in values.ravel().tolist()]
    return [dict(zip(columns, feature, strict=True)) for feature in zip(*columns.values(), strict=True)]


def _cells(feature: dict[str, Any]) -> tuple[str, ...]:
    counts = [feature["count"], feature["null"], feature["nan"], feature["posinf"] + feature["neginf"]]
    readings = [feature["mean"], feature["std"]]
    note = "constant" if feature["constant"] else "" if feature["count"] else "no values"
    return (
        feature["name"],
        *(f"{count:,}" for count in counts),
        *("-" if value is None else f"{value:.6g}" for value in readings),
        note,
    )
