"""What a layer divides by, as numbers: for those who apply it outside the core."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm._apply import apply
from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]


def readings(layer: Normalization, dtype: str) -> tuple[NDArray, NDArray, NDArray]:
    """Mean, variance and divisor that calls of a built layer use when they compute in float32 or float64.

    In the shape that broadcasts. What `update_state` has learned since the last `finalize_state` must not
    matter to the divisor: with constant_policy="unit" it is read from the layer's Moments.
    """
    config = layer.get_config()
    mean, variance = layer._impl.statistics(dtype == "float64")
    if config["mean"] is not None:
        exact = layer._impl.statistics(True)[1]  # as given
        return mean, variance, divisor_of(exact, dtype, config["epsilon"], config["constant_policy"])
    if config["constant_policy"] != "unit" or layer.count == 0:
        return mean, variance, divisor_of(variance, dtype, config["epsilon"], "epsilon")
    policies = config["nan_policy"], config["inf_policy"]
    std = layer.moments.std(dtype, *policies)
    constant = layer.moments.std("float64", *policies) == 0
    return mean, variance, np.where(constant, np.ones_like(std), std).reshape(mean.shape)


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
