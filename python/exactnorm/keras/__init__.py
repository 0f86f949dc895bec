"""Normalization as a layer of Keras 3, on any of its backends."""

from __future__ import annotations

from typing import Any

from exactnorm._extras import needs
from exactnorm._keras.layer import ExactLayer, NDArray

with needs("keras", "exactnorm.keras"):
    import keras

__all__ = ["Normalization"]


@keras.saving.register_keras_serializable("exactnorm", "Normalization")
class Normalization(ExactLayer, keras.layers.Layer):
    """Learn the mean and variance of every feature and apply ``(x - mean) / sqrt(variance)``."""

    _ops = keras.ops

    @staticmethod
    def _default_epsilon() -> float:
        return float(keras.config.epsilon())

    @staticmethod
    def _value(variable: Any) -> NDArray:
        value: NDArray = keras.ops.convert_to_numpy(variable)
        return value

    def _tensor(self, inputs: Any) -> Any:
        return keras.ops.convert_to_tensor(inputs, dtype=self.compute_dtype)


Normalization.__module__ = "exactnorm.keras"
