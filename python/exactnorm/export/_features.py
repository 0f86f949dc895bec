"""A layer as what it does to each feature of a row."""

from __future__ import annotations

from typing import Any, NamedTuple

from exactnorm._html import layer_labels
from exactnorm._normalization import Normalization
from exactnorm._scale import Scale, layer_of, scale_of


class Features(NamedTuple):
    """The numbers of a layer, one for each feature, in C order."""

    layer: Normalization
    labels: list[str]
    """Names, else indices."""
    narrow: Scale
    """Flat, as float32."""
    wide: Scale
    """Flat, as float64."""
    digest: str | None
    """Of what was learned, unless mean and variance were given."""


def features_of(layer: Any) -> Features:
    """Return the features of a layer; RuntimeError and TypeError as `exactnorm._scale.layer_of`."""
    plain = layer_of(layer)
    moments = plain.moments if plain.get_config()["mean"] is None else None
    narrow, wide = (Scale(*(part.ravel() for part in scale_of(plain, d))) for d in ("float32", "float64"))
    labels = list(layer_labels(plain.mean, moments))
    return Features(plain, labels, narrow, wide, None if moments is None else moments.digest)


def rows_of(layer: Any, what: str) -> Features:
    """Return the features of a layer that takes rows of them and gives float32 or float64.

    Raises
    ------
    RuntimeError, TypeError
        As `features_of`.
    ValueError
        Naming what was to be made, for other layers, and for one of no features.
    """
    features = features_of(layer)
    core = features.layer._impl
    last = list(range(core.rank - len(core.axes), core.rank))
    if core.axes != last:
        raise ValueError(
            f"{what} takes rows of features: expected a layer that keeps the last axes, or none; this one "
            f"keeps {tuple(core.axes)} of {core.rank}"
        )
    if core.dtype not in ("float32", "float64"):
        raise ValueError(f"{what} has no type for the layer's {core.dtype}: expected float32 or float64")
    if not features.labels:
        raise ValueError(f"{what} needs a feature: the layer has none")
    return features
