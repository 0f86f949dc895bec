"""What is worth a second look in a feature, and from where on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exactnorm import _core

_OFFSET = 2.0**12
_EPSILON = 1e-7
_FLOAT32_TINY = 2.0**-126


class Flag(NamedTuple):
    """Something that a feature may be marked with."""

    name: str
    level: str
    """"plain", "warn" or "bad": how it looks."""
    meaning: str


FLAGS = (
    Flag("no values", "bad", "It has no finite value, so neither mean nor sd."),
    Flag("constant", "plain", "All its finite values are equal: the variance is exactly 0."),
    Flag(
        "large offset",
        "warn",
        "|mean| is at least 4096 (2¹²) times the sd. Then mean² is at least 2²⁴ times the variance, and "
        "float32 has 24 bits: a variance taken in float32 as mean of squares minus square of mean has no "
        "correct digit, and float32 values near the mean lie 1/4096 of an sd apart, or more.",
    ),
    Flag(
        "overflows float32",
        "bad",
        "Its mean or variance is beyond float32 (3.4e38): rounded to it, it is infinite.",
    ),
    Flag(
        "underflows float32",
        "warn",
        "It is not constant, but its variance is below 1.2e-38 (2⁻¹²⁶), the smallest normal float32: in "
        "float32 it loses digits or becomes 0.",
    ),
    Flag(
        "sd below epsilon",
        "warn",
        "It is not constant, but its sd is below 1e-7, the epsilon of Normalization and of Keras, which "
        "divide by epsilon instead.",
    ),
    Flag(
        "half missing",
        "warn",
        "At least half of its values are null or NaN: mean and sd speak for half of them at most.",
    ),
    Flag("NaN", "bad", "It has NaNs: unless they are omitted, its mean and variance are NaN."),
    Flag("infinite", "bad", "It has infinities: unless they are omitted, its variance is NaN."),
)
CONSTANT = 1 << [flag.name for flag in FLAGS].index("constant")


def flags_of(core: _core.Moments) -> npt.NDArray[np.int64]:
    """Return a number for each feature, whose bit i says that it has ``FLAGS[i]``."""
    finite, nan, null, posinf, neginf = core.counts().reshape(5, -1)
    mean, sd, mean32, variance32 = (
        _read(core, what, dtype)
        for what, dtype in (
            ("mean", "float64"),
            ("std", "float64"),
            ("mean", "float32"),
            ("variance", "float32"),
        )
    )
    constant = np.array(core.constant_features(), bool)
    spread = (finite > 0) & ~constant
    missing = nan + null
    has = (
        finite == 0,
        constant,
        spread & (mean != 0) & (np.abs(mean) >= _OFFSET * sd),
        np.isinf(mean32) | np.isinf(variance32),
        spread & (variance32 < _FLOAT32_TINY),
        spread & (sd < _EPSILON),
        (missing > 0) & (missing >= (finite + posinf + neginf)),
        nan > 0,
        posinf + neginf > 0,
    )
    bits = np.zeros(finite.size, np.int64)
    for i, marked in enumerate(has):
        bits |= marked.astype(np.int64) << i
    return bits


def _read(core: _core.Moments, what: str, dtype: str) -> npt.NDArray[Any]:
    return core.read(what, dtype, "omit", "omit", 0)[0].ravel()
