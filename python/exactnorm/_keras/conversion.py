"""A framework's own Normalization into the exact one and back: layers, models, configurations, files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exactnorm._keras.graph import is_graph
from exactnorm._keras.layer import ExactLayer
from exactnorm._keras.state import NDArray

_SHARED_ARGUMENTS = ("name", "trainable", "dtype", "axis", "mean", "variance", "invert")


class Conversion:
    """Makes layers of one kind from layers of another, alone and wherever a model has them."""

    def __init__(
        self, keras: Any, kind: Any, make: Callable[[Any], Any], copy: Callable[[Any, Any], None]
    ) -> None:
        """Take a framework, what to replace, how to make a replacement, and how to fill a built one."""
        self._keras = keras
        self._kind = kind
        self._make = make
        self._copy_statistics = copy
        self._clones: dict[int, Any] = {}

    def convert(self, x: Any) -> Any:
        """Return the replacement of a layer, or a copy of a model with all of them replaced."""
        if isinstance(x, self._kind):
            new = self._make(x)
            if x.built:
                new.build(x.get_build_config()["input_shape"])
                self._copy_statistics(x, new)
            return new
        if not isinstance(x, self._keras.Model):
            owner = self._kind.__module__ if issubclass(self._kind, ExactLayer) else self._keras.__name__
            got = f"{type(x).__module__}.{type(x).__name__}"
            raise TypeError(f"expected a Normalization of {owner}, or a model, got a {got}")
        with self._keras.saving.custom_object_scope(_classes_and_losses(x)):
            new = self._clone_model(x)
            self._copy(x, new)
            self._copy_optimizer(x, new)
        self._refuse_those_in(new)
        return new

    def _refuse_those_in(self, model: Any) -> None:
        left = [layer.name for layer in model._flatten_layers() if isinstance(layer, self._kind)]
        if left:
            raise ValueError(
                f"cannot replace {', '.join(left)} in {model.name!r}: the code of a layer or model makes it; "
                "write the other Normalization there, and convert the layer alone for its statistics"
            )

    def _clone_model(self, model: Any) -> Any:
        if not is_graph(self._keras, model):
            raise ValueError(
                f"expected a Sequential or functional model, got {model.name!r}, a subclassed "
                f"{type(model).__name__}, whose layers its own code makes: convert its layers one by one"
            )
        new = self._keras.models.clone_model(model, clone_function=self._clone)
        if model.built and not new.built:
            new.build(model.input_shape)
        return new

    def _clone(self, layer: Any) -> Any:
        if id(layer) not in self._clones:
            self._clones[id(layer)] = self._new(layer)
        return self._clones[id(layer)]

    def _new(self, layer: Any) -> Any:
        if isinstance(layer, self._kind):
            return self._make(layer)
        if isinstance(layer, self._keras.layers.Lambda):  # a function need not survive a configuration
            return layer
        if is_graph(self._keras, layer):
            return self._clone_model(layer)
        if isinstance(layer, self._keras.Model):
            self._refuse_those_in(layer)
        return type(layer).from_config(self._replaced(layer.get_config()))

    def _replaced(self, config: Any) -> Any:
        """Replace the layers inside of wrappers."""
        if isinstance(config, Mapping):
            if str(config.get("class_name")).rpartition(">")[2] == "Normalization":
                layer = self._keras.saving.deserialize_keras_object(dict(config))
                layer = self._make(layer) if isinstance(layer, self._kind) else layer
                new = self._keras.saving.serialize_keras_object(layer)
                # tf_keras's wrappers go by the class name alone
                return new | {"class_name": new["registered_name"] or new["class_name"]}
            return {key: self._replaced(value) for key, value in config.items()}
        return [self._replaced(value) for value in config] if isinstance(config, list) else config

    def _copy(self, old: Any, new: Any) -> None:
        if new is old or not old.built:
            return
        if isinstance(old, self._kind):
            self._copy_statistics(old, new)
        elif is_graph(self._keras, old):
            for layer in old.layers:
                if not isinstance(layer, self._keras.layers.InputLayer):  # clones have other names
                    self._copy(layer, new.get_layer(layer.name))
        elif isinstance(old, self._keras.layers.Wrapper) and isinstance(old.layer, self._kind):
            self._copy(old.layer, new.layer)
        elif isinstance(old, ExactLayer):
            store: dict[str, Any] = {}
            old.save_own_variables(store)
            new.load_own_variables(store)
        else:
            new.set_weights(old.get_weights())
            if hasattr(old, "save_assets"):  # a vocabulary
                with tempfile.TemporaryDirectory() as folder:
                    old.save_assets(folder)
                    new.load_assets(folder)

    def _copy_optimizer(self, old: Any, new: Any) -> None:
        optimizer = getattr(old, "optimizer", None)
        if optimizer is None:
            return
        if getattr(new, "optimizer", None) is None:  # tf_keras clones without it
            new.compile_from_config(old.get_compile_config())
        if getattr(optimizer, "built", False) or getattr(
            optimizer, "_built", False
        ):  # in Keras 3, in tf_keras
            new.optimizer.build(new.trainable_variables)
            for variable, value in zip(new.optimizer.variables, optimizer.variables, strict=True):
                variable.assign(value)


def from_keras(keras: Any, exact: type[ExactLayer], x: Any) -> Any:
    """Convert a layer, model, configuration or .keras file to exact layers."""
    theirs = keras.layers.Normalization

    def make(layer: Any) -> Any:
        config = _shared(layer)
        return exact.from_config(config | {"axis": list(config["axis"]) or None})

    def copy(old: Any, new: Any) -> None:
        if new._state.is_given:
            return
        new.set_weights(old.get_weights())
        mean, variance = (np.asarray(weight) for weight in old.get_weights()[:2])
        new._state.is_adapted = getattr(old, "is_adapted", bool(mean.any() or (variance != 1).any()))

    if isinstance(x, (str, os.PathLike)):
        x = keras.models.load_model(x)
    if isinstance(x, Mapping):
        x = (
            keras.saving.deserialize_keras_object(dict(x))
            if "class_name" in x
            else theirs.from_config(dict(x))
        )
    return Conversion(keras, theirs, make, copy).convert(x)


def to_keras(keras: Any, exact: type[ExactLayer], x: Any) -> Any:
    """Convert a layer or model to the framework's own layers."""
    theirs = keras.layers.Normalization
    epsilon = exact._default_epsilon()

    def make(layer: Any) -> Any:
        config = _shared(layer)
        if layer._state.is_given and layer.built:
            shape = [extent for extent in layer._state.built_shape if extent is not None]
            config["mean"] = layer._state.learner.mean.reshape(shape).tolist()
            config["variance"] = _variance_for(epsilon, layer).reshape(shape).tolist()
        return theirs.from_config(config)

    def copy(old: Any, new: Any) -> None:
        if old._state.is_given:
            return
        mean, _, count, *_ = old.get_weights()
        count = min(int(count), np.iinfo(new.get_weights()[2].dtype).max)
        new.set_weights([mean, _variance_for(epsilon, old), np.asarray(count)])
        new.finalize_state()

    return Conversion(keras, exact, make, copy).convert(x)


def _shared(layer: Any) -> dict[str, Any]:
    config = layer.get_config()
    return {name: config[name] for name in _SHARED_ARGUMENTS if name in config}


def _variance_for(epsilon: float, layer: Any) -> NDArray:
    state = layer._state
    variance = state.learner.variance if state.given else layer._value(layer.adapt_variance)
    divisor = np.maximum(np.sqrt(variance), variance.dtype.type(layer._epsilon()))
    if state.is_unit:
        divisor = state.given[1] if state.given else layer._value(layer.adapt_divisor)
    return variance_for(epsilon, variance, divisor, layer.name)


def variance_for(epsilon: float, variance: NDArray, divisor: NDArray, name: str | None) -> NDArray:
    """Return a variance of which max(sqrt(variance), epsilon) is this divisor, to the last bit.

    Raises
    ------
    ValueError
        Naming the layer and a feature for which there is none.
    """

    def differs(variance: NDArray) -> NDArray:
        theirs = np.maximum(np.sqrt(variance), variance.dtype.type(epsilon))
        return (theirs != divisor) & ~(np.isnan(theirs) & np.isnan(divisor))

    with np.errstate(over="ignore", under="ignore"):
        variance = np.where(differs(variance), divisor * divisor, variance)
    features = np.flatnonzero(differs(variance))
    if features.size:
        raise ValueError(
            f"layer {name!r} cannot be one of Keras's, which divides by {epsilon} at least: it divides "
            f"feature {features[0]} by {divisor.ravel()[features[0]]}"
            + (f", and {features.size - 1} more features" if features.size > 1 else "")
        )
    return variance


def _classes_and_losses(model: Any) -> dict[str, Any]:
    """Return what a configuration only names, be it registered or not."""
    found = {type(layer).__name__: type(layer) for layer in model._flatten_layers()}
    found.pop("Normalization", None)  # it would be taken for the other one
    loss: Any = getattr(model, "loss", None)
    losses = loss.values() if isinstance(loss, Mapping) else loss if isinstance(loss, list) else [loss]
    return found | {each.__name__: each for each in losses if hasattr(each, "__name__")}
