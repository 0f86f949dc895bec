"""A layer's numbers as JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from exactnorm._scale import Scale
from exactnorm.export._features import features_of


def to_json(layer: Any) -> str:
    """Return a layer's numbers as one JSON object, for serving code in any language.

    Numbers are the shortest decimals that read back to the same float64 (float32 under the key "float32");
    NaN is null, and infinities, which JSON lacks as well, are the strings "inf" and "-inf". The keys are
    listed in docs/export.md.

    Parameters
    ----------
    layer : Normalization
        Built, and adapted or with a given mean; or an object whose method `to_exactnorm` returns one.

    Returns
    -------
    str
        With a newline at its end.

    Raises
    ------
    RuntimeError
        If the layer is not built, or neither adapted nor given a mean.
    TypeError
        For what is no layer.

    Examples
    --------
    >>> import json
    >>> import exactnorm as en
    >>> from exactnorm.export import to_json
    >>> layer = en.Normalization()
    >>> layer.adapt({"age": [31.0, 57.0], "income": [2.5, 2.5]})
    >>> known = json.loads(to_json(layer))
    >>> known["names"], known["mean"], known["divisor"]
    (['age', 'income'], [44.0, 2.5], [13.0, 1e-07])
    """
    features = features_of(layer)
    plain = features.layer
    learned = plain.moments if features.digest is not None else None
    with np.errstate(invalid="ignore"):
        std = np.sqrt(features.wide.variance)
    core = plain._impl
    known: dict[str, Any] = {
        "format": "exactnorm.export",
        "version": 1,
        "digest": features.digest,
        "dtype": core.dtype,
        "invert": plain.invert,
        "axes": list(core.axes),
        "rank": core.rank,
        "shape": [extent for i, extent in enumerate(plain.mean.shape) if i in core.axes],
        "names": None if plain.names is None else list(plain.names),
        "count": None if learned is None else learned.count.ravel().tolist(),
        **_readings(features.wide),
        "std": _numbers(std),
        "float32": _readings(features.narrow),
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in known.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _readings(scale: Scale) -> dict[str, list[float | str | None]]:
    return {key: _numbers(values) for key, values in scale._asdict().items()}


def _numbers(values: Any) -> list[float | str | None]:
    # The shortest decimal of a float32 is a float64 that reads back to it, and is written by the same digits.
    return [_number(float(str(value))) for value in values.ravel()]


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
