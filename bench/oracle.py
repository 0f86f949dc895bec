"""Exact mean and variance of a column, in Python's integers: checks what others are held to."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "reference"))

LIMBS, LIMB = 3, 18  # a mantissa of at most 54 bits, in limbs of 18
CHUNK = 1 << 16  # this many products of 36 bits add up exactly in float64


def sums(column: Any) -> tuple[Fraction, Fraction]:
    """Σx and Σx² of finite numbers, exactly."""
    first, second = Fraction(0), Fraction(0)
    for start in range(0, len(column), CHUNK):
        mantissas, exponents = np.frexp(column[start : start + CHUNK].astype(np.float64))
        whole = np.ldexp(mantissas, LIMBS * LIMB - 1).astype(np.int64)
        limbs = [(np.abs(whole) >> LIMB * k & (1 << LIMB) - 1).astype(np.float64) for k in range(LIMBS)]
        lowest = int(exponents.min())
        bins = exponents - lowest

        def total(weights: Any, slope: int, bins: Any = bins, lowest: int = lowest) -> Fraction:
            """Σ weight · 2^(slope · (exponent - 53))."""
            each = enumerate(np.bincount(bins, weights))
            return sum(
                (int(s) * Fraction(2) ** (slope * (e + lowest - LIMBS * LIMB + 1)) for e, s in each if s),
                Fraction(0),
            )

        for i, a in enumerate(limbs):
            first += total(np.sign(whole) * a, 1) * (1 << LIMB * i)
            for j, b in enumerate(limbs):
                second += total(a * b, 2) * (1 << LIMB * (i + j))
    return first, second


def mean_and_variance(column: Any) -> tuple[float, float]:
    """Each rounded once."""
    n = len(column)
    first, second = sums(column)
    return float(first / n), float((n * second - first * first) / n**2)


def check(x: Any) -> None:
    """Raise if exactnorm's readings of a part of x differ from the integers', or from the reference's."""
    import exactnorm as en

    import reference

    table = x.reshape(-1, x.shape[-1])
    column = np.ascontiguousarray(table[: 1 << 20, 0])
    learned = en.Moments.from_data(column)
    read = (float(learned.mean()), float(learned.variance()))
    if read != mean_and_variance(column):
        raise AssertionError(f"exactnorm says {read}, integers {mean_and_variance(column)}")
    few = np.ascontiguousarray(table[:50, :16])
    fractions = reference.Moments.from_data(few, axis=-1)
    learned = en.Moments.from_data(few)
    for name in ("mean", "variance"):
        ours = getattr(learned, name)().view(np.uint64).tolist()
        if ours != list(getattr(fractions, name)("float64")):
            raise AssertionError(f"exactnorm's {name} differs from the reference's")
