"""Data on which running means fail."""

from __future__ import annotations

from fractions import Fraction

import exactnorm as en
import numpy as np


def test_twenty_million_ones() -> None:
    """Keras: mean 0.8388608."""
    layer = en.Normalization()
    layer.adapt(np.broadcast_to(np.ones(2, "float32"), (20_000_000, 2)))
    assert layer.mean.tolist() == [[1, 1]]
    assert layer.variance.tolist() == [[0, 0]]
    layer.adapt(np.ones((20_000_000, 2), "float32"))
    assert layer.mean.tolist() == [[1, 1]]
    assert layer.variance.tolist() == [[0, 0]]


def test_ten_million_rows_in_batches_of_32() -> None:
    """N(10⁴, 1): values lie between 2¹³ and 2¹⁴, so they are integers of 24 bits times 2⁻¹⁰."""
    x = np.random.default_rng(0).normal(1e4, 1, 10_000_000).astype("float32")[:, None]
    layer = en.Normalization()
    layer.adapt(x[i : i + 32] for i in range(0, len(x), 32))
    units = (x * np.float32(1024)).astype("int64").ravel()
    assert (units / 1024 == x.ravel()).all()
    assert units.min() >= 2**23
    assert units.max() < 2**24
    offset = 10_000 * 1024
    n, s1 = len(units), Fraction(int((units - offset).sum()), 1024)
    s2 = Fraction(int(((units - offset) ** 2).sum()), 1024**2)
    mean, variance = s1 / n + 10_000, s2 / n - (s1 / n) ** 2
    m = layer.moments
    assert m.count.tolist() == [n]
    assert m.mean() == float(mean)  # Fraction to float rounds once, to nearest even
    assert m.variance() == float(variance)
    assert m == en.Moments.from_data(x)
    assert 0.999 < layer.variance < 1.001
