"""Pictures of features, on matplotlib's axes. What is drawn follows the caller's style; nothing is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from exactnorm._extras import needs

if TYPE_CHECKING:
    from exactnorm._compare import DriftRow

NDArray = npt.NDArray[Any]

MOST_ROWS = 30
_LONGEST_NAME = 28
_NAMED_TICKS = 12
_PLAIN = {"parse_math": False, "usetex": False}  # a $ in a name is a $
_LARGEST = 1e300  # matplotlib computes margins around it


def plot_features(labels: Sequence[str], mean: NDArray, std: NDArray, ax: Any) -> Any:
    """Draw mean ± sd of each feature: a row for each of a few, else a band over all."""
    mean, std = np.float64(mean).ravel(), np.float64(std).ravel()
    with np.errstate(over="ignore", invalid="ignore"):
        reach = np.abs(mean) + std
        drawn = np.isfinite(reach) & (reach < _LARGEST)
    size = len(labels)
    if size <= MOST_ROWS:
        ax = _axes(ax, size)
        _scale(ax, "x", reach[drawn])
        ax.errorbar(mean[drawn], np.flatnonzero(drawn), xerr=std[drawn], fmt="o", capsize=3)
        numbers = zip(mean.tolist(), std.tolist(), strict=True)
        _name_rows(
            ax, labels, ["NaN" if m != m else f"{m:.4g} ± {s:.3g}".replace("nan", "NaN") for m, s in numbers]
        )
        return ax
    ax = _axes(ax, None)
    _scale(ax, "y", reach[drawn])
    places = np.arange(size)
    low, high, middle = (np.where(drawn, values, np.nan) for values in (mean - std, mean + std, mean))
    ax.fill_between(places, low, high, step="mid", alpha=0.35, linewidth=0)
    ax.plot(places, middle, drawstyle="steps-mid", linewidth=1)
    if not drawn.all():
        gaps = np.flatnonzero(~drawn)
        ax.plot(gaps, np.full(gaps.size, 0.02), "x", transform=ax.get_xaxis_transform(), label="not finite")
        ax.legend(loc="upper right")
    ax.set_xlim(-0.5, size - 0.5)
    _name_some(ax, labels)
    return ax


def plot_drift(rows: Sequence[DriftRow], ax: Any, most: int) -> Any:
    """Draw where mean ± sd of each feature has gone, in standard deviations of before."""
    shown = sorted(rows, key=_difference, reverse=True)[:most] if len(rows) > most else list(rows)
    shift = np.array([row.shift for row in shown], float)
    with np.errstate(invalid="ignore"):
        width = np.sqrt(np.array([row.variance_ratio for row in shown], float))
    places = np.arange(len(shown))
    drawn = np.abs(shift) < _LARGEST
    bars = drawn & (width < _LARGEST)
    ax = _axes(ax, len(shown))
    what = "mean ± sd after, in standard deviations of before (grey)"
    if np.any(np.abs(shift[bars]) + width[bars] > 10):
        ax.set_xscale("symlog", linthresh=1, subs=[2, 5])
        ax.xaxis.set_major_formatter("{x:g}")
        what += ", logarithmic beyond"
    ax.set_xlabel(what)
    if len(shown) < len(rows):
        ax.set_ylabel(f"the {len(shown)} of {len(rows):,} features that differ most")
    ax.axvspan(-1, 1, color="0.5", alpha=0.2, linewidth=0)
    ax.axvline(0, color="0.5", linewidth=1)
    ax.errorbar(shift[bars], places[bars], xerr=width[bars], fmt="o", capsize=3)
    ax.plot(shift[drawn & ~bars], places[drawn & ~bars], "oC0")
    for sign, marker in ((1, ">"), (-1, "<")):  # at the edge, as it has gone out of sight
        gone = np.flatnonzero(~drawn & (np.sign(shift) == sign))
        edge = np.full(gone.size, 0.5 + 0.48 * sign)
        ax.plot(edge, gone, marker + "C0", transform=ax.get_yaxis_transform())
    _name_rows(ax, [row.feature for row in shown], list(map(_drift_text, shown)))
    return ax


def _axes(ax: Any, rows: int | None) -> Any:
    """Return the user's axes, or those of a new figure, with room for so many rows."""
    if ax is None:
        with needs("plot", "plot"):
            from matplotlib import pyplot as plt
        height = 5 if rows is None else 1.2 + 0.3 * max(rows, 1)
        return plt.subplots(figsize=(8, height), layout="constrained")[1]
    if not (hasattr(ax, "errorbar") and hasattr(ax, "secondary_yaxis")):
        raise TypeError(
            f"expected ax to be matplotlib Axes, got {type(ax).__module__}.{type(ax).__qualname__}"
        )
    return ax


def _name_rows(ax: Any, names: Sequence[str], numbers: Sequence[str]) -> None:
    """Name the rows 0, 1, … at the left, and give their numbers at the right."""
    ax.set_yticks(range(len(names)), list(map(_short, names)), **_PLAIN)
    ax.set_ylim(max(len(names), 1) - 0.5, -0.5)
    right = ax.secondary_yaxis("right")
    right.set_yticks(range(len(names)), numbers, **_PLAIN)
    right.tick_params(length=0)


def _name_some(ax: Any, names: Sequence[str]) -> None:
    places = range(0, len(names), -(-len(names) // _NAMED_TICKS))
    if all(names[i] == str(i) for i in places):
        ax.set_xlabel("feature")
        return
    ax.set_xticks(places, [_short(names[i]) for i in places], rotation=35, ha="right", **_PLAIN)


def _short(name: str) -> str:
    """Cut out the middle of a long name: names often differ at the end."""
    line = " ".join(name.split())
    half = _LONGEST_NAME // 2
    return line if len(line) <= _LONGEST_NAME else f"{line[:half]}…{line[-half:]}"


def _scale(ax: Any, axis: str, reach: NDArray) -> None:
    """Label an axis; make it logarithmic, but for what is near 0, if one scale cannot show all features."""
    what = "mean ± sd"
    sizes = reach[reach > 0]
    if sizes.size and sizes.max() > 100 * sizes.min():
        linear = 10 ** np.floor(np.log10(max(np.quantile(sizes, 0.25), sizes.max() * 1e-6)))
        getattr(ax, f"set_{axis}scale")("symlog", linthresh=linear)
        what += f" (logarithmic beyond ±{linear:g})"
    getattr(ax, f"set_{axis}label")(what)


def _difference(row: DriftRow) -> float:
    """How much a feature differs, roughly; -1 if it cannot be compared."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [
            abs(row.shift),
            abs(np.log(row.variance_ratio)) / 2,
            abs(row.null_rate_after - row.null_rate_before),
            abs(row.nan_rate_after - row.nan_rate_before),
        ]
    return float(np.nanmax([*parts, -1.0]))


def _drift_text(row: DriftRow) -> str:
    """Say it in numbers, and what the picture cannot show."""
    if np.isnan(row.shift):
        said = ["no values to compare"]
    elif np.isinf(row.shift) or np.isinf(row.variance_ratio):
        said = ["was constant"]
    else:
        said = [f"{round(row.shift, 2) + 0.0:+.2f}, sd × {np.sqrt(row.variance_ratio):.2f}"]
    for what, before, after in (
        ("null", row.null_rate_before, row.null_rate_after),
        ("NaN", row.nan_rate_before, row.nan_rate_after),
    ):
        if f"{before:.0%}" != f"{after:.0%}":
            said.append(f"{what} {before:.0%} → {after:.0%}")
    return ", ".join(said)
