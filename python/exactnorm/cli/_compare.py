"""How two states differ: a table, JSON, and a verdict for pipelines."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from exactnorm._compare import HEADER, Drift, DriftRow, Order, cells_of, compare
from exactnorm._moments import Moments
from exactnorm.cli._states import load_chosen, moments_of
from exactnorm.cli._tables import print_table


class Comparison(NamedTuple):
    """Drift from a file to another, and why features fail, where they do."""

    before: str
    after: str
    digests: tuple[str, str]
    drift: Drift
    limit: float | None
    failures: dict[str, str]


def compared(
    before: str, after: str, *, key: str | None, total: bool, limit: float | None, order: Order
) -> Comparison:
    """Compare two states, or their groups of a key.

    Raises
    ------
    ValueError
        Naming the files, if they cannot be compared.
    """
    a, b = (moments_of(load_chosen(path, key, total=total), path) for path in (before, after))
    try:
        drift = compare(a, b).sort(order)
    except ValueError as error:
        raise ValueError(f"{before} and {after}: {error}") from error
    failures = {} if limit is None else _failures(a, b, drift, limit)
    return Comparison(before, after, (a.digest, b.digest), drift, limit, failures)


def _failures(before: Moments, after: Moments, drift: Drift, limit: float) -> dict[str, str]:
    """Say why features fail, in drift's order: a shift that is not known is no small one."""
    labels = [row.feature for row in compare(before, after)]
    counts = dict(zip(labels, zip(before.count.flat, after.count.flat, strict=True), strict=True))
    reasons = {}
    for row in drift:
        had, has = counts[row.feature]
        if not had and not has:
            continue  # nothing there, and nothing lost
        if not had or not has:
            reasons[row.feature] = "has no values any more" if had else "had no values before"
        elif math.isinf(row.shift):
            reasons[row.feature] = "was constant, and has moved"
        elif not abs(row.shift) <= limit:
            reasons[row.feature] = f"has shifted by {row.shift:+.4g} sd"
    return reasons


def as_json(found: Comparison) -> str:
    """Return all of it, for machines. A number that is NaN or infinite is null."""
    known: dict[str, Any] = {
        "before": {"file": found.before, "digest": found.digests[0]},
        "after": {"file": found.after, "digest": found.digests[1]},
        "fail_above": found.limit,
        "failed": list(found.failures),
        "features": [_entry(row, found) for row in found.drift],
    }
    return json.dumps(known, allow_nan=False, ensure_ascii=False)


def _entry(row: DriftRow, found: Comparison) -> dict[str, Any]:
    numbers = {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in row._asdict().items()}
    return numbers | {"failure": found.failures.get(row.feature)}


def print_comparison(found: Comparison) -> None:
    """Print a table."""
    rows = [(*cells_of(row), "fails" if row.feature in found.failures else "") for row in found.drift]
    print_table(f"Drift from {found.before} to {found.after}", (*HEADER, ""), rows)
