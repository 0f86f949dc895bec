"""What a StandardScaler keeps and computes: statistics, exact or converted, and their application."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm._moments import Moments

NDArray = npt.NDArray[Any]
Steps = Sequence[tuple[np.ufunc, NDArray]]

_BLOCK_BYTES = 1 << 18  # of a result, so that the second step finds in the cache what the first has left
_DENSE_BYTES = 1 << 20  # of rows of a sparse matrix, made dense to be learned
_WEIGHT = re.compile(rb"fweight(?:[\x60-\x77]|\x78.|\x79..)(0x[0-9a-f]+p[+-][0-9]+)", re.DOTALL)


class Exact:
    """Moments, and what was read from them, each reading once."""

    def __init__(self, moments: Moments) -> None:
        self.moments = moments
        self._readings: dict[tuple[str, str], NDArray] = {}

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

    @property
    def n_samples_seen(self) -> Any:
        """How many values were not NaN, or their weights: a number if it is the same for all features."""
        seen = _weights(self.moments) if self.moments.weighted else self.moments.count
        return seen[0] if (seen == seen[0]).all() else seen


class Converted:
    """The statistics of a fitted scaler of scikit-learn."""

    def __init__(self, mean: NDArray, variance: NDArray, std: NDArray, n_samples_seen: Any) -> None:
        self._values = {"mean": mean, "variance": variance, "std": std}
        self.n_samples_seen = n_samples_seen

    def read(self, what: str, dtype: np.dtype[Any]) -> NDArray:
        """Return the mean, the variance or the scale."""
        return self._values[what].astype(dtype)


def _weights(moments: Moments) -> NDArray:
    """Sum of the weights of each feature, rounded once. Only the document has it."""
    sums = _WEIGHT.findall(moments.to_bytes())[: moments.shape[0]]  # names, which come later, may look alike
    return np.array([float.fromhex(text.decode()) for text in sums])


def learn_sparse(moments: Moments, x: Any, weights: NDArray | None) -> None:
    """Add the rows of a sparse matrix, a few at a time made dense."""
    x = x.tocsr()
    step = max(1, _DENSE_BYTES // (x.dtype.itemsize * x.shape[1]))
    for first in range(0, x.shape[0], step):
        rows = slice(first, first + step)
        moments.update(x[rows].toarray(), weights=None if weights is None else weights[rows])


def apply_steps(steps: Steps, x: NDArray, out: NDArray) -> NDArray:
    """Write into out, which may be x, what the functions make of the rows of x one after the other.

    The last result alone is rounded to the type of out, if that is narrower than the operands'.
    """
    if not steps and out is not x:
        out[...] = x
    step = max(1, _BLOCK_BYTES // (out.itemsize * out.shape[1]))
    for first in range(0, len(x), step):
        values, target = x[first : first + step], out[first : first + step]
        for i, (function, operand) in enumerate(steps):
            fits = operand.dtype == out.dtype or i == len(steps) - 1
            values = function(values, operand, out=target if fits else None)
    return out
