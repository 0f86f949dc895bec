"""What a page says about states, as JSON can say it. Columns have an element for each feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm._compare import Drift
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._report.flags import flags_of

State = Moments | GroupedMoments | Normalization


def moments_of(state: State, label: str) -> tuple[Moments, str]:
    """Return what there is to report, and what it is of; RuntimeError for a layer that knows nothing."""
    if isinstance(state, Moments):
        return state, "Moments"
    if isinstance(state, GroupedMoments):
        groups = "1 group" if len(state) == 1 else f"{len(state):,} groups"
        return state.total(), f"GroupedMoments: the total of {groups}"
    if isinstance(state, Normalization):
        try:
            return state.moments, "Normalization: what it has learned"
        except RuntimeError as error:
            raise RuntimeError(f"{label}: {error}") from error
    raise TypeError(
        f"{label}: expected Moments, GroupedMoments or a Normalization, got a {type(state).__name__}"
    )


def facts_of(moments: Moments) -> dict[str, Any]:
    """Return what is known of the finite values of each feature, how many others there were, and flags."""
    core = moments._impl
    finite, nan, null, posinf, neginf = core.counts().reshape(5, -1)
    mean, sd = (core.read(what, "float64", "omit", "omit", 0)[0] for what in ("mean", "std"))
    return {
        "shape": list(moments.shape),
        "weighted": moments.weighted,
        "digest": moments.digest,
        "count": finite.tolist(),
        "null": null.tolist(),
        "nan": nan.tolist(),
        "infinite": (posinf + neginf).tolist(),
        "mean": _numbers(mean),
        "sd": _numbers(sd),
        "flags": flags_of(core).tolist(),
    }


def drift_facts(drift: Drift) -> dict[str, Any]:
    """Return the columns of a comparison; rates as their changes."""
    rows = np.array([row[1:] for row in drift], np.float64).reshape(-1, 6)
    return {
        "shift": _numbers(rows[:, 0]),
        "ratio": _numbers(rows[:, 1]),
        "null": _numbers(rows[:, 3] - rows[:, 2]),
        "nan": _numbers(rows[:, 5] - rows[:, 4]),
    }


def _numbers(values: npt.NDArray[Any]) -> list[float | str | None]:
    """JSON has neither NaN, which becomes null, nor infinities, which become text that JavaScript reads."""
    return [
        value if np.isfinite(value) else None if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        for value in values.ravel().tolist()
    ]
