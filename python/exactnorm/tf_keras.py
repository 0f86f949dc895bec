"""Normalization as a layer of tf_keras, the Keras 2 line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from exactnorm._extras import needs
from exactnorm._keras import adapt_model as _adapt_model
from exactnorm._keras import conversion
from exactnorm._keras.layer import ExactLayer
from exactnorm._keras.state import NDArray

with needs("tf_keras", "exactnorm.tf_keras"):
    import tensorflow as tf
    import tf_keras

__all__ = ["Normalization", "adapt_model", "from_keras", "to_keras"]


@tf_keras.saving.register_keras_serializable("exactnorm", "Normalization")
class Normalization(ExactLayer, tf_keras.layers.experimental.preprocessing.PreprocessingLayer):
    """Learn the mean and variance of every feature and apply ``(x - mean) / sqrt(variance)``.

    A ``tf_keras.layers.Normalization`` whose statistics are exact: `exactnorm.Normalization` does the
    learning, TensorFlow the arithmetic of calls, with the bits of tf_keras's own layer. Arguments, methods
    and results are those of `exactnorm.keras.Normalization`; the default of epsilon is
    ``tf_keras.backend.epsilon()``. The exact sums are saved in .keras and .weights.h5 files; a SavedModel,
    checkpoint or .h5 file has the weights only.

    Examples
    --------
    >>> import numpy as np
    >>> from exactnorm.tf_keras import Normalization
    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0]]))
    >>> layer(np.array([[0.0, 7.0, 4.0]])).numpy()
    array([[-1., -1., -1.]], dtype=float32)
    """

    _ops = tf

    def to_keras(self) -> Any:
        """Return a tf_keras.layers.Normalization with the same outputs; see `exactnorm.keras.to_keras`."""
        return to_keras(self)

    @staticmethod
    def _default_epsilon() -> float:
        return float(tf_keras.backend.epsilon())

    @staticmethod
    def _value(variable: Any) -> NDArray:
        value: NDArray = variable.numpy()
        return value

    def _tensor(self, inputs: Any) -> Any:
        return tf.cast(inputs, self.compute_dtype)

    @staticmethod
    def _is_symbolic(x: Any) -> bool:
        return not tf.executing_eagerly() or (tf.is_tensor(x) and tf_keras.backend.is_keras_tensor(x))

    @staticmethod
    def _progress_bar(target: int | None) -> Any:
        return tf_keras.utils.Progbar(target, unit_name="batch")


Normalization.__module__ = "exactnorm.tf_keras"


def from_keras(x: Any) -> Any:
    """Make exact layers of tf_keras's own: of a layer, model, configuration or file.

    See `exactnorm.keras.from_keras`.
    """
    return conversion.from_keras(tf_keras, Normalization, x)


def to_keras(x: Any) -> Any:
    """Make tf_keras's own layers of exact ones: of a layer or model.

    See `exactnorm.keras.to_keras`.
    """
    return conversion.to_keras(tf_keras, Normalization, x)


def adapt_model(
    model: Any,
    data: Any,
    batch_size: int | None = None,
    steps: int | None = None,
    *,
    layers: Iterable[str | Normalization] | str | Normalization | None = None,
    use_sample_weight: bool = False,
    verbose: int = 0,
    threads: int | None = None,
) -> None:
    """Adapt the exact layers of a model in one pass over its data; see `exactnorm.keras.adapt_model`."""
    _adapt_model.adapt_model(
        tf_keras,
        model,
        data,
        batch_size,
        steps,
        layers=layers,
        use_sample_weight=use_sample_weight,
        verbose=verbose,
        threads=threads,
    )
