"""A case of moments.json: an array, and what is learned from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import reference as ref
from cases.elements import POLICIES, Axis, Case, as_json, hexes
from reference import Array, Moments


def learn(name: str, why: str, x: Array, axis: Axis = (-1,), *, error: str = "", **options: Any) -> Case:
    """A case: what is learned from x, or the word for the argument that is refused."""
    given = {k: as_json(v) if isinstance(v, Array) else v for k, v in options.items()}
    case = {"name": name, "why": why, "x": as_json(x), "axis": axis, **given}
    try:
        m = Moments.from_data(x, axis, **options)
    except ValueError:
        assert error, name
        return case | {"error": error}
    assert not error, name
    document = m.document()
    case |= {"shape": document["shape"], "features": document["features"], "readings": list(readings(m))}
    text = ref.to_json(m)
    return case | {"digest": document["digest"]} | ({"json": text} if len(text) < 1200 else {})


def readings(m: Moments) -> Iterator[Case]:
    special = any(f.nan or f.posinf or f.neginf for f in m.features)
    for nan_policy in POLICIES if special else POLICIES[:1]:
        for inf_policy in POLICIES if special else POLICIES[:1]:
            for ddof in (0,) if m.weighted else (0, 1):
                for dtype in ("float32", "float64"):
                    policies = {"nan_policy": nan_policy, "inf_policy": inf_policy}
                    yield {
                        "dtype": dtype,
                        **policies,
                        "ddof": ddof,
                        "mean": hexes(dtype, m.mean(dtype, **policies)),
                        "variance": hexes(dtype, m.variance(dtype, ddof, **policies)),
                        "std": hexes(dtype, m.std(dtype, ddof, **policies)),
                        "empty": m.empty_features(ddof, **policies),
                    }
