"""Normalization as a layer of Keras 3, on any of its backends."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from exactnorm._extras import needs
from exactnorm._keras import adapt_model as _adapt_model
from exactnorm._keras import conversion
from exactnorm._keras.layer import ExactLayer
from exactnorm._keras.state import NDArray

with needs("keras", "exactnorm.keras"):
    import keras

__all__ = ["Normalization", "adapt_model", "from_keras", "to_keras"]


@keras.saving.register_keras_serializable("exactnorm", "Normalization")
class Normalization(ExactLayer, keras.layers.Layer):
    """Learn the mean and variance of every feature and apply ``(x - mean) / sqrt(variance)``.

    A ``keras.layers.Normalization`` whose statistics are exact: `exactnorm.Normalization` does the learning,
    Keras the arithmetic of calls, which on TensorFlow gives the bits of Keras's own layer. It works in
    models, in ``dataset.map(layer)`` with any backend, and is saved with what it has learned, so that a
    loaded layer can go on learning. Statistics are weights: a layer that is adapted again changes the models
    it is part of, compiled or not.

    Parameters
    ----------
    axis : int, tuple of int or None, default -1
        The axes to keep: each of their indices has a mean and variance of its own. None: one for all values.
    mean, variance : array_like of float, optional
        Given instead of learned, both or none; they broadcast to the kept axes.
    invert : bool, default False
        Calls return ``mean + x * sqrt(variance)`` instead.
    epsilon : float, optional
        The least divisor: ``max(sqrt(variance), epsilon)``. The default is ``keras.config.epsilon()``.
    nan_policy, inf_policy : {"propagate", "omit", "raise"}
        What NaN and infinities among the learned values mean; see `exactnorm.Moments.mean`. Propagating
        warns.
    constant_policy : {"epsilon", "unit", "raise"}
        What a feature of variance 0 is divided by: epsilon; 1, as scikit-learn does (epsilon is not used
        then at all, and the divisor is a fourth weight); nothing, an error.
    **kwargs
        name, trainable, dtype and input_shape, as for any layer. Statistics are float32 at least, whatever
        the dtype; calls compute in the compute dtype.

    Raises
    ------
    ValueError
        If only one of mean and variance is given, for a variance that is negative or NaN, and for unknown
        policies and dtypes.

    Examples
    --------
    >>> import numpy as np
    >>> from exactnorm.keras import Normalization
    >>> layer = Normalization()
    >>> layer.adapt(np.array([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0]]))
    >>> np.asarray(layer(np.array([[0.0, 7.0, 4.0]])))
    array([[-1., -1., -1.]], dtype=float32)
    """

    _ops = keras.ops

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Normalize, or with invert=True take back; see `exactnorm.Normalization`."""
        tf = _tensorflow_tracing(inputs)
        return super().__call__(inputs, *args, **kwargs) if tf is None else self._call_in_tf(tf, inputs)

    def _call_in_tf(self, tf: Any, inputs: Any) -> Any:
        """Compute in a graph of TensorFlow's, as in dataset.map, while Keras has another backend."""
        inputs = tf.cast(inputs, self.compute_dtype)
        if not self.built:
            self.build(inputs.shape)
        self._state.output_shape(tuple(inputs.shape))
        mean, spread = (
            self._shaped(tf, weight if isinstance(weight, np.ndarray) else self._value(weight))
            for weight in self._scale_weights()
        )
        return self._scaled(tf, inputs, mean, spread, self.invert)

    def to_keras(self) -> Any:
        """Return a keras.layers.Normalization with the same outputs; see `exactnorm.keras.to_keras`."""
        return to_keras(self)

    @staticmethod
    def _default_epsilon() -> float:
        return float(keras.config.epsilon())

    @staticmethod
    def _value(variable: Any) -> NDArray:
        tensor = variable.value
        if keras.config.backend() == "torch":
            tensor = tensor.detach().cpu()
        value: NDArray = tensor.numpy() if hasattr(tensor, "numpy") else np.asarray(tensor)
        return value

    @staticmethod
    def _count_dtype() -> str:
        if keras.config.backend() != "jax":
            return "int64"
        import jax

        return "int64" if jax.config.jax_enable_x64 else "int32"

    def _tensor(self, inputs: Any) -> Any:
        return keras.ops.convert_to_tensor(inputs, dtype=self.compute_dtype)

    @staticmethod
    def _is_symbolic(x: Any) -> bool:
        match keras.config.backend():
            case "tensorflow":
                import tensorflow as tf

                tracing = not tf.executing_eagerly()
            case "jax":
                import jax

                tracing = isinstance(x, jax.core.Tracer)
            case "torch":
                import torch

                tracing = torch.compiler.is_compiling()
            case _:
                tracing = False
        return tracing or isinstance(x, keras.KerasTensor)

    @staticmethod
    def _mask_of(x: Any) -> Any:
        mask = getattr(x, "_keras_mask", None)
        if mask is None and keras.config.backend() == "jax" and keras.ops.is_tensor(x):
            mask = _MaskOf()(x)  # which has no room for attributes
        return mask

    @staticmethod
    def _progress_bar(target: int | None) -> Any:
        return keras.utils.Progbar(target, unit_name="batch")


class _MaskOf(keras.layers.Layer):
    """Returns the mask of its input: Keras has no other public way to ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:  # noqa: ARG002  # Keras's names
        return mask


def _tensorflow_tracing(x: Any) -> Any:
    """Return TensorFlow if x is a tensor of a graph it makes while Keras has another backend, else None."""
    tf = sys.modules.get("tensorflow")
    if tf is None or keras.config.backend() == "tensorflow" or not isinstance(x, tf.Tensor):
        return None
    return None if tf.executing_eagerly() else tf


Normalization.__module__ = "exactnorm.keras"


def from_keras(x: Any) -> Any:
    """Make exact layers of Keras's own.

    Parameters
    ----------
    x : keras.layers.Normalization, model, dict, str or path
        A layer. A Sequential or functional model. The configuration of either, as
        ``keras.saving.serialize_keras_object`` returns it, or of a layer, as its get_config does. The path
        of a file that ``model.save`` has written.

    Returns
    -------
    Normalization or model
        The same layer, with the statistics that it has (a Keras layer does not know what data they come
        from, so `Normalization.moments` and `Normalization.update_state` need an `adapt` or `reset_state`
        first). A copy of the model, in which all of them are replaced, also in models inside of it and in
        wrappers like TimeDistributed; with the weights of all its layers, their vocabularies, and the
        optimizer with its state. Lambda layers are shared with the original.

    Raises
    ------
    TypeError
        For what is no layer or model of these.
    ValueError
        For a subclassed model, whose own code makes its layers.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> import exactnorm.keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Normalization(), keras.layers.Dense(1)])
    >>> model.layers[0].adapt(np.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> exact = exactnorm.keras.from_keras(model)
    >>> isinstance(exact.layers[0], exactnorm.keras.Normalization)
    True
    >>> x = np.array([[2.0, 15.0]])
    >>> bool((exact.predict(x, verbose=0) == model.predict(x, verbose=0)).all())
    True
    """
    return conversion.from_keras(keras, Normalization, x)


def to_keras(x: Any) -> Any:
    """Make Keras's own layers of exact ones, with the same outputs, to the last bit.

    Parameters
    ----------
    x : Normalization or model
        A layer, or a Sequential or functional model; see `from_keras`.

    Returns
    -------
    keras.layers.Normalization or model
        What has been learned is lost, beside the statistics themselves.

    Raises
    ------
    TypeError, ValueError
        As `from_keras`; and for a layer that divides by less than Keras's layer can.

    Examples
    --------
    >>> import numpy as np
    >>> import exactnorm.keras
    >>> layer = exactnorm.keras.Normalization(constant_policy="unit")
    >>> layer.adapt([[5.0], [5.0]])
    >>> np.asarray(exactnorm.keras.to_keras(layer)(np.array([[7.0]])))
    array([[2.]], dtype=float32)
    """
    return conversion.to_keras(keras, Normalization, x)


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
    """Adapt the exact layers of a model in one pass over its data.

    Each layer learns what it gets in the model: an input, or what the model computes of its inputs before the
    layer, which is computed then, and nothing else of the model. A layer that is called several times learns
    all that it gets. Layers in models inside of the model are adapted too.

    Parameters
    ----------
    model : functional model or built Sequential
    data : array, dict or list of arrays, or iterable of batches
        What the model's inputs get: an array; a dict by name, or a list or tuple in the inputs' order; alone
        or as x of (x, y) or (x, y, sample_weight). Or an iterable of batches of these: a tf.data.Dataset,
        PyDataset, DataLoader or generator; there, two or three inputs without labels are ``((a, b),)`` or a
        dict, as ``(a, b)`` could be (x, y). Only the inputs that a layer needs must be there.
    batch_size : int, optional
        How many rows of arrays are computed at a time, 1024 by default; with steps, how many are a step.
    steps : int, optional
        How many batches to take; see `Normalization.adapt`.
    layers : layers, or their names, optional
        Which layers to adapt. The default is all that were not given a mean and variance.
    use_sample_weight, verbose, threads
        As for `Normalization.adapt`.

    Raises
    ------
    ValueError
        For a model that is subclassed or not built, or has no such layers; a layer that gets what another
        one returns (adapt them one after the other); data that do not have the inputs, or may have
        labels in their place; and as `Normalization.adapt` does, naming the layer. No layer has changed
        then, as after any error.
    TypeError
        As `Normalization.adapt`, naming the layer.

    Examples
    --------
    >>> import keras
    >>> import numpy as np
    >>> from exactnorm.keras import Normalization, adapt_model
    >>> age, income = keras.Input((1,), name="age"), keras.Input((1,), name="income")
    >>> both = [Normalization(name="ages")(age), Normalization(name="incomes")(income)]
    >>> model = keras.Model([age, income], keras.layers.Concatenate()(both))
    >>> adapt_model(model, {"age": np.array([31.0, 57.0]), "income": np.array([2500.0, 1500.0])})
    >>> model.get_layer("incomes").moments.mean()
    array([2000.])
    """
    _adapt_model.adapt_model(
        keras,
        model,
        data,
        batch_size,
        steps,
        layers=layers,
        use_sample_weight=use_sample_weight,
        verbose=verbose,
        threads=threads,
    )
