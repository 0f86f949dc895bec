"""A state as a table to read, or as JSON."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from exactnorm._html import feature_labels
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

_HEADER = ("feature", "count", "null", "NaN", "infinite", "mean", "sd", "")


def as_json(state: Moments | Normalization) -> str:
    """Return what is known, for machines. A number that is NaN or infinite is null."""
    known: dict[str, Any] = {"kind": type(state).__name__}
    moments = _moments_of(state)
    if isinstance(state, Normalization):
        known["config"] = state.get_config()
    if moments is not None:
        known |= {
            "shape": list(moments.shape),
            "weighted": moments.weighted,
            "digest": moments.digest,
            "features": _features(moments),
        }
    return json.dumps(known, allow_nan=False, ensure_ascii=False)


def print_state(state: Moments | Normalization) -> None:
    """Print a table: drawn on a terminal, plain elsewhere."""
    moments = _moments_of(state)
    rows = [] if moments is None else [_cells(feature) for feature in _features(moments)]
    title = repr(state).strip("<>")
    digest = [] if moments is None else [f"digest {moments.digest}"]
    if sys.stdout.isatty():
        _print_table(title, rows, digest)
    else:
        print(title, *_lines([_HEADER, *rows]), *digest, sep="\n")  # noqa: T201


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


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    if len(rows) == 1:
        return []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]


def _print_table(title: str, rows: Sequence[Sequence[str]], digest: Sequence[str]) -> None:
    console = Console(markup=False, highlight=False, emoji=False)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for i, name in enumerate(_HEADER):
        table.add_column(
            name,
            justify="left" if i in (0, len(_HEADER) - 1) else "right",
            style="yellow" if name == "" else "cyan" if i == 0 else "",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    console.print(title, style="bold")
    if rows:
        console.print(table)
    for line in digest:
        console.print(line, style="dim")
