"""A layer as a model of Keras in a file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from exactnorm._extras import needs
from exactnorm._keras.conversion import variance_for
from exactnorm._scale import layer_of, scale_of


def to_keras(layer: Any) -> bytes:
    """Return the bytes of a ``.keras`` file that Keras 3 loads without exactnorm.

    The model is a Sequential of one ``keras.layers.Normalization``, which has the layer's mean and variance
    as its weights. `exactnorm.keras.to_keras` does the same for layers in models of your own.

    Parameters
    ----------
    layer : Normalization
        Built, and adapted or with a given mean, of dtype float32 or float64, not keeping the first axis; or
        an object whose method `to_exactnorm` returns one.

    Returns
    -------
    bytes

    Raises
    ------
    ImportError
        Without Keras.
    RuntimeError
        If the layer is not built, or neither adapted nor given a mean.
    ValueError
        For another dtype, for a layer that keeps the first axis, and naming a feature if the layer divides it
        by less than Keras's layer can.
    TypeError
        For what is no layer.

    Examples
    --------
    >>> import io, zipfile
    >>> import exactnorm as en
    >>> from exactnorm.export import to_keras
    >>> layer = en.Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> sorted(zipfile.ZipFile(io.BytesIO(to_keras(layer))).namelist())
    ['config.json', 'metadata.json', 'model.weights.h5']
    """
    with needs("keras", "exactnorm.export.to_keras"):
        import keras
    plain = layer_of(layer)
    core = plain._impl
    if core.dtype not in ("float32", "float64"):
        raise ValueError(f"expected a layer of float32 or float64, got {core.dtype}: Keras computes in that")
    if 0 in core.axes:
        raise ValueError("the layer keeps the first axis, which is the batch of Keras's models")
    scale = scale_of(plain, core.dtype)
    shape = [n if axis in core.axes else None for axis, n in enumerate(scale.mean.shape)]
    theirs = keras.layers.Normalization(
        axis=tuple(core.axes) or None, invert=plain.invert, dtype=core.dtype, name=plain.name
    )
    model = keras.Sequential([keras.Input(shape[1:], dtype=core.dtype), theirs])
    variance = variance_for(keras.config.epsilon(), scale.variance, scale.divisor, theirs.name)
    kept = [scale.mean.shape[axis] for axis in core.axes]
    weights = theirs.get_weights()
    count = np.minimum(plain.count, np.iinfo(weights[2].dtype).max).astype(weights[2].dtype)
    theirs.set_weights([scale.mean.reshape(kept), variance.reshape(kept), count])
    theirs.finalize_state()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()
