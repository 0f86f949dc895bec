"""What variances that came from outside the core are to be divided by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm._apply import apply
from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]


def divisor_of(variance: NDArray, dtype: str, epsilon: float, constant_policy: Any) -> NDArray:
    """Divisor for variances that came without what they were read from; that of NaN is NaN.

    Raises
    ------
    ValueError
        For a negative variance, and with "raise" for one of 0.
    """
    unknown = np.isnan(variance)
    probe = Normalization(
        mean=0.0,
        variance=np.where(unknown, 1, variance).ravel(),
        invert=True,
        epsilon=epsilon,
        dtype=dtype,
        constant_policy=constant_policy,
    )
    one = np.ones((1, variance.size), dtype)
    divisor = apply(probe._impl, one, None, opposite=False, threads=None).reshape(variance.shape)
    divisor[unknown] = np.nan
    return divisor
