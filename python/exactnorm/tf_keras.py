"""Normalization as a layer of tf_keras, the Keras 2 line."""

from __future__ import annotations

from typing import Any

from exactnorm._extras import needs
from exactnorm._keras.layer import ExactLayer, NDArray

with needs("tf_keras", "exactnorm.tf_keras"):
    import tensorflow as tf
    import tf_keras

__all__ = ["Normalization"]


@tf_keras.saving.register_keras_serializable("exactnorm", "Normalization")
class Normalization(ExactLayer, tf_keras.layers.experimental.preprocessing.PreprocessingLayer):
    """Learn the mean and variance of every feature and apply ``(x - mean) / sqrt(variance)``."""

    _ops = tf

    @staticmethod
    def _default_epsilon() -> float:
        return float(tf_keras.backend.epsilon())

    @staticmethod
    def _value(variable: Any) -> NDArray:
        value: NDArray = variable.numpy()
        return value

    def _tensor(self, inputs: Any) -> Any:
        return tf.cast(inputs, self.compute_dtype)
