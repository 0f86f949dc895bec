"""How two data sets differ, feature by feature."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from exactnorm import _html
from exactnorm._arguments import at_least_one
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._plot import MOST_ROWS, plot_drift

Order = Literal["feature", "shift", "variance_ratio", "null_rate", "nan_rate"]
HEADER = ("feature", "shift/sd", "variance ratio", "null before", "null after", "NaN before", "NaN after")


class DriftRow(NamedTuple):
    """How one feature has changed, over its finite values."""

    feature: str
    """Name, or index."""
    shift: float
    """(mean after - mean before) / standard deviation before; infinite if it was constant and moved."""
    variance_ratio: float
    """Variance after / variance before; 1 if it was and is constant, infinite if only it was."""
    null_rate_before: float
    null_rate_after: float
    nan_rate_before: float
    nan_rate_after: float


class Drift:
    """A table of differences, a `DriftRow` for each feature. See `compare`."""

    def __init__(self, rows: Iterable[DriftRow]) -> None:
        self._rows = tuple(rows)

    @property
    def rows(self) -> tuple[DriftRow, ...]:
        """All rows."""
        return self._rows

    def sort(self, by: Order = "shift") -> Drift:
        """Return the same rows, those that differ most first, or in the order of the features' labels.

        Parameters
        ----------
        by : {"shift", "variance_ratio", "null_rate", "nan_rate", "feature"}
            Shifts compare by size, ratios by their distance from 1 in either direction, rates by their
            change. What cannot be compared, as a feature without values, comes last.

        Raises
        ------
        ValueError
            For another `by`.
        """
        if by == "feature":
            return Drift(sorted(self._rows, key=lambda row: row.feature))
        if by not in _DISTANCES:
            raise ValueError(f"expected by to be one of feature, {', '.join(_DISTANCES)}; got {by!r}")
        distances = {row: _DISTANCES[by](row) for row in self._rows}
        return Drift(sorted(self._rows, key=lambda row: (np.isnan(distances[row]), -distances[row])))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[DriftRow]:
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int | str) -> DriftRow: ...
    @overload
    def __getitem__(self, index: slice) -> Drift: ...
    def __getitem__(self, index: int | str | slice) -> DriftRow | Drift:
        """Return a row by number or by feature, or some of them."""
        if isinstance(index, str):
            for row in self._rows:
                if row.feature == index:
                    return row
            raise KeyError(index)
        return Drift(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def plot(self, ax: Any = None, most: int = MOST_ROWS) -> Any:
        """Draw where mean ± standard deviation of each feature has gone. Needs matplotlib.

        The scale is that of the feature before, whose mean ± sd is the grey band. What has left a constant
        is an arrow at the edge. The numbers at the right tell of nulls and NaN as well, if their share has
        changed.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            What to draw on; the default is a new figure of pyplot, which is not shown.
        most : int, default 30
            If there are more features, those that differ most are drawn, in that order.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        return plot_drift(self._rows, ax, at_least_one(most, "most") or MOST_ROWS)

    def __repr__(self) -> str:
        return _html.table_text(HEADER, [cells_of(row) for row in self._rows])

    def _repr_html_(self) -> str:
        features = "1 feature" if len(self) == 1 else f"{len(self):,} features"
        caption = f"Drift of {features}: shifts in standard deviations of before"
        return _html.table_html(HEADER, [cells_of(row) for row in self._rows], caption)


def cells_of(row: DriftRow) -> list[str]:
    """Return a row as a table shows it."""
    numbers = [
        (row.shift, "+.4g" if row.shift else "g"),
        (row.variance_ratio, ".4g"),
        *((rate, ".2%") for rate in row[3:]),
    ]
    return [row.feature, *("-" if math.isnan(number) else f"{number:{form}}" for number, form in numbers)]


_DISTANCES: dict[str, Any] = {
    "shift": lambda row: abs(row.shift),
    "variance_ratio": lambda row: np.abs(np.log(row.variance_ratio)) if row.variance_ratio > 0 else np.inf,
    "null_rate": lambda row: abs(row.null_rate_after - row.null_rate_before),
    "nan_rate": lambda row: abs(row.nan_rate_after - row.nan_rate_before),
}


def compare(before: Moments | Normalization, after: Moments | Normalization) -> Drift:
    """Compare what was learned from two data sets, feature by feature.

    Parameters
    ----------
    before, after : Moments or Normalization
        Of the same shape; with the same names, if both have names.

    Returns
    -------
    Drift
        A table to iterate over, to sort, and to look at.

    Raises
    ------
    ValueError
        If shapes or names differ.
    TypeError
        For anything but Moments and Normalization.

    Examples
    --------
    >>> import exactnorm as en
    >>> may = en.Moments.from_data({"delay": [1.0, 2.0, 3.0], "distance": [100, 200, 300]})
    >>> june = en.Moments.from_data({"delay": [3.0, 4.0, 5.0], "distance": [100, 200, 300]})
    >>> en.compare(may, june).sort("shift")["delay"].shift
    2.449489742783178
    """
    a, b = _moments(before), _moments(after)
    if a.shape != b.shape:
        raise ValueError(f"expected equal shapes, got {a.shape} and {b.shape}")
    if a.names is not None and b.names is not None and a.names != b.names:
        raise ValueError(f"expected equal names, got {', '.join(a.names)} and {', '.join(b.names)}")
    labels = _html.feature_labels(a if a.names is not None else b)
    (mean_a, var_a, null_a, nan_a), (mean_b, var_b, null_b, nan_b) = _readings(a), _readings(b)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shift = np.where(mean_a == mean_b, 0.0, (mean_b - mean_a) / np.sqrt(var_a))
        ratio = np.where(var_a == var_b, 1.0, var_b / var_a)
    columns = (shift, ratio, null_a, null_b, nan_a, nan_b)
    return Drift(DriftRow(*row) for row in zip(labels, *(column.tolist() for column in columns), strict=True))


def _moments(x: Moments | Normalization) -> Moments:
    if isinstance(x, Normalization):
        return x.moments
    if not isinstance(x, Moments):
        raise TypeError(f"expected Moments or a Normalization, got a {type(x).__name__}")
    return x


def _readings(m: Moments) -> tuple[npt.NDArray[Any], ...]:
    """Mean, variance, share of nulls, share of NaNs; NaN for features without values."""
    core = m._impl
    kinds = core.counts().reshape(5, -1)
    mean, _ = core.read("mean", "float64", "omit", "omit", 0)
    variance, _ = core.read("variance", "float64", "omit", "omit", 0)
    with np.errstate(invalid="ignore"):
        null_rate, nan_rate = kinds[2] / kinds.sum(axis=0), kinds[1] / kinds.sum(axis=0)
    return mean.ravel(), variance.ravel(), null_rate, nan_rate
