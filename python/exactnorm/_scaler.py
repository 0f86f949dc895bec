"""What a StandardScaler has learned, and the arithmetic that scikit-learn has no part in."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]

_BLOCK_BYTES = 1 << 18  # of a result, so that the second step finds in the cache what the first has written
_MOST_NAMED = 20


class Exact:
    """Moments, and what was made of them, once."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self._readings: dict[tuple[str, str], NDArray] = {}
        self._layers: dict[str, Normalization | None] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Exact, (self.moments,)

    def read(self, what: str, dtype: np.dtype[Any]) -> NDArray:
        """Read the mean, the variance, or the std with 1 in the place of 0."""
        key = what, dtype.name
        if key not in self._readings:
            values, _ = self.moments._impl.read(*key, "omit", "raise", 0)
            if what == "std":
                values[values == 0] = 1
            values.flags.writeable = False  # users get them, and would change what transform uses
            self._readings[key] = values
        return self._readings[key]

    def layer(self, dtype: np.dtype[Any]) -> Normalization | None:
        """Return a layer that subtracts the mean and divides by the scale, or None if a feature is empty."""
        if dtype.name not in self._layers:
            layer = None
            if self.moments.count.all():
                layer = Normalization(dtype=dtype, nan_policy="omit", constant_policy="unit")
                layer.adapt(self.moments)
            self._layers[dtype.name] = layer
        return self._layers[dtype.name]

    @property
    def n_samples_seen(self) -> Any:
        """How many values were not NaN, or their weights: a number if it is the same for all features."""
        seen = self.moments._impl.weight_sums() if self.moments.weighted else self.moments.count
        return seen[0] if (seen == seen[0]).all() else seen


class Converted:
    """The statistics of a fitted scaler of scikit-learn."""

    def __init__(self, mean: NDArray, variance: NDArray, std: NDArray, n_samples_seen: Any) -> None:
        self._values = {"mean": mean, "variance": variance, "std": std}
        self.n_samples_seen = n_samples_seen

    def read(self, what: str, dtype: np.dtype[Any]) -> NDArray:
        """Return the mean, the variance or the scale."""
        values = self._values[what].astype(dtype)
        values.flags.writeable = False
        return values

    def layer(self, dtype: np.dtype[Any]) -> None:
        """Return none: a layer divides by the root of its variance, which is not always this scale."""


def learn_frame(moments: Moments, frame: Any, weights: NDArray | None) -> bool:
    """Add the columns of a frame where they are; False if they are of objects, or sparse."""
    try:
        moments.update(frame, weights=weights)
    except TypeError:
        return False
    return True


def check(moments: Moments) -> None:
    """Refuse infinities, as scikit-learn does, and Moments of no data."""
    infinities = moments.posinf_count + moments.neginf_count
    if infinities.any():
        i = int(infinities.argmax())
        feature = _names(moments, [i])
        raise ValueError(
            f"expected finite numbers or NaN, got {infinities[i]} infinities in feature {feature}"
        )
    if not (moments.count + moments.nan_count + moments.null_count).any():
        raise ValueError("expected data, but there is no sample to learn from")


def empty_features(moments: Moments) -> list[str]:
    """Say which features have no value: one warning or none."""
    empty = np.flatnonzero(moments.count == 0)
    if not len(empty):
        return []
    more = ", …" if len(empty) > _MOST_NAMED else ""
    return [f"no value to learn from: the statistics are NaN in feature {_names(moments, empty)}{more}"]


def _names(moments: Moments, features: Iterable[int]) -> str:
    some = itertools.islice(features, _MOST_NAMED)
    return ", ".join(repr(moments.names[i]) if moments.names else str(i) for i in some)


def standardize(
    state: Exact | Converted, x: NDArray, out: NDArray, *, with_mean: bool, with_std: bool, inverse: bool
) -> NDArray:
    """Write the result into out, which may be x; only the last step rounds to a type below float32."""
    if with_mean and with_std and (layer := state.layer(out.dtype)) is not None:
        return layer.inverse(x, out) if inverse else layer(x, out)
    wide = np.promote_types(out.dtype, np.float32)
    steps: list[tuple[np.ufunc, NDArray]] = []
    if with_mean:
        steps.append((np.add if inverse else np.subtract, state.read("mean", wide)))
    if with_std:
        steps.append((np.multiply if inverse else np.divide, state.read("std", wide)))
    if inverse:
        steps.reverse()
    if not steps and out is not x:
        out[...] = x
    block = max(1, _BLOCK_BYTES // (out.itemsize * out.shape[1])) if out.flags.c_contiguous else len(out)
    for first in range(0, len(x), block):
        values, target = x[first : first + block], out[first : first + block]
        for i, (function, operand) in enumerate(steps):
            fits = wide == out.dtype or i == len(steps) - 1
            values = function(values, operand, out=target if fits else None)
    return out
