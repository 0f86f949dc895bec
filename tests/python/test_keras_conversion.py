"""from_keras and to_keras: layers, models, configurations and files of Keras 3 and of tf_keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import exactnorm as en
import exactnorm.keras
import exactnorm.tf_keras
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from support import NDArray, assert_same_bits

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.parametrize(
        ("framework", "exact"),
        [(keras, exactnorm.keras), (tf_keras, exactnorm.tf_keras)],
        ids=["keras", "tf_keras"],
    ),
]
RNG = np.random.default_rng(0)
X = RNG.normal(5, 3, (64, 4)).astype("float32")
STEPS = RNG.normal(-2, 4, (64, 5, 4)).astype("float32")
WORDS = np.array([["a"], ["b"], ["c"], ["b"]] * 16)


def adapted(layer: Any, data: NDArray = X) -> Any:
    layer.adapt(data)
    return layer


def values(x: Any) -> NDArray:
    array: NDArray = x.numpy()
    return array


def normalizations(framework: Any, model: Any) -> list[Any]:
    return [layer for layer in model._flatten_layers() if type(layer).__name__ == "Normalization"]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"axis": None},
    {"axis": (1,)},
    {"invert": True},
    {"dtype": "float64"},
    {"dtype": "mixed_float16"},
    {"name": "own", "trainable": False},
    {"mean": 3.0, "variance": 2.0},
    {"mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0, 4.0, 0.0, 1e-30], "invert": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_layer_there_and_back(framework: Any, exact: Any, options: dict[str, Any]) -> None:
    layer = framework.layers.Normalization(**options)
    if "mean" in options:
        layer.build((None, 4))
    else:
        adapted(layer)
    ours = exact.from_keras(layer)
    assert type(ours) is exact.Normalization
    assert_same_bits(values(ours(X)), values(layer(X)))
    assert (ours.name, ours.trainable, ours.invert) == (layer.name, layer.trainable, layer.invert)
    assert ours.compute_dtype == layer.compute_dtype
    assert len(ours.get_weights()) == len(layer.get_weights())
    assert ours.is_adapted == ("mean" not in options)
    if "mean" not in options:
        with pytest.raises(RuntimeError, match="set from outside"):
            ours.update_state(X)
    back = exact.to_keras(ours)
    assert type(back) is framework.layers.Normalization
    assert_same_bits(values(back(X)), values(layer(X)))
    assert (back.name, back.trainable, back.invert) == (layer.name, layer.trainable, layer.invert)
    again = ours.to_keras()
    assert_same_bits(values(again(X)), values(layer(X)))


def test_a_layer_that_is_not_built_or_not_adapted(framework: Any, exact: Any) -> None:
    layer = framework.layers.Normalization(axis=(1, 2), invert=True)
    ours = exact.from_keras(layer)
    assert not ours.built
    assert ours.axis == (1, 2)
    assert not ours.to_keras().built
    layer = framework.layers.Normalization()
    layer.build((None, 4))
    ours = exact.from_keras(layer)
    assert ours.built
    assert not ours.is_adapted
    adapted(ours)
    assert ours.moments == en.Moments.from_data(X)
    assert int(ours.to_keras().get_weights()[2]) == len(X)


def test_divisors_that_do_not_follow_from_the_variance(framework: Any, exact: Any) -> None:
    constant = np.concatenate([X, np.full((len(X), 1), 7, "float32")], 1)
    for options in ({"constant_policy": "unit"}, {"epsilon": 0.5}):
        for layer in (
            adapted(exact.Normalization(**options), constant),
            exact.Normalization(mean=[1.0] * 5, variance=[4.0, 0.01, 2.0, 3.0, 0.0], **options),
        ):
            outputs = values(layer(constant + 1))
            assert_same_bits(values(layer.to_keras()(constant + 1)), outputs)
    narrow = adapted(exact.Normalization(epsilon=1e-12), constant)
    with pytest.raises(ValueError, match=r"divides feature 4 by"):
        narrow.to_keras()


@pytest.fixture
def big(framework: Any) -> Any:
    """A model with Normalization everywhere: nested, shared, wrapped, given."""
    layers = framework.layers

    def new(**options: Any) -> Any:
        return layers.Normalization(**options)

    numbers = framework.Input((4,), name="numbers")
    steps = framework.Input((5, 4), name="steps")
    words = framework.Input((1,), name="words", dtype="string")
    sequential = framework.Sequential([framework.Input((4,)), adapted(new()), layers.Dense(2)], name="inner")
    inside = framework.Input((4,))
    nested = framework.Model(
        inside, layers.Dense(2)(sequential(adapted(new(), X + 1)(inside))), name="nested"
    )
    shared = adapted(new(name="shared"))
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(WORDS)
    parts = [
        nested(numbers),
        shared(numbers),
        shared(layers.Lambda(lambda x: x * 2 + len(X))(numbers)),
        layers.Flatten()(layers.TimeDistributed(adapted(new(name="wrapped"), STEPS[0]))(steps)),
        lookup(words),
        new(mean=2.0, variance=4.0)(numbers),
        layers.BatchNormalization()(numbers),
    ]
    outputs = layers.Dense(1, name="last")(layers.Concatenate()(parts))
    return framework.Model({"numbers": numbers, "steps": steps, "words": words}, outputs, name="big")


def test_a_model_there_and_back(framework: Any, exact: Any, big: Any) -> None:
    x = {"numbers": tf.constant(X), "steps": tf.constant(STEPS), "words": tf.constant(WORDS)}
    expected = values(big(x))
    ours = exact.from_keras(big)
    assert_same_bits(values(ours(x)), expected)
    assert [type(layer) for layer in normalizations(framework, ours)] == [exact.Normalization] * 5
    assert ours.name == "big"
    assert set(ours.input) == set(big.input)
    for layer in ours._flatten_layers():
        assert isinstance(layer, framework.layers.Lambda) or layer not in list(big._flatten_layers())
    assert_same_bits(values(big(x)), expected)
    for layer in normalizations(framework, ours):
        if layer.input_mean is None:
            adapted(layer, X if layer.name != "wrapped" else STEPS[0])
    again = values(ours(x))
    back = exact.to_keras(ours)
    assert_same_bits(values(back(x)), again)
    assert [type(layer) for layer in normalizations(framework, back)] == [framework.layers.Normalization] * 5
    kept = exact.from_keras(ours)  # which has none of Keras's: a copy, with what it has learned
    assert kept.get_layer("shared").moments == ours.get_layer("shared").moments


def mean_error(expected: Any, actual: Any) -> Any:
    return tf.reduce_mean(tf.square(expected - actual))


def test_training_goes_on(framework: Any, exact: Any) -> None:
    framework.utils.set_random_seed(1)
    layers = framework.layers
    model = framework.Sequential(
        [
            framework.Input((4,)),
            layers.Normalization(name="n"),
            layers.Dense(3, activation="relu"),
            layers.Dense(1),
        ]
    )
    adapted(model.get_layer("n"))
    model.compile("adam", mean_error)
    y = X[:, :1] * 2
    model.fit(X, y, epochs=3, verbose=0)
    ours = exact.from_keras(model)
    assert int(ours.optimizer.iterations) == int(model.optimizer.iterations) == 6
    for each in (model, ours):
        each.fit(X, y, epochs=2, shuffle=False, verbose=0)
    assert_same_bits(ours.predict(X, verbose=0), model.predict(X, verbose=0))
    assert ours.evaluate(X, y, verbose=0) == model.evaluate(X, y, verbose=0)


def test_sequential_models_without_an_input(framework: Any, exact: Any) -> None:
    layers = [framework.layers.Normalization(), framework.layers.Dense(2)]
    model = framework.Sequential(layers)
    ours = exact.from_keras(model)
    assert type(ours.layers[0]) is exact.Normalization
    adapted(model.layers[0])
    expected = values(model(X))
    ours = exact.from_keras(model)
    assert_same_bits(values(ours(X)), expected)


def test_files_and_configurations(framework: Any, exact: Any, tmp_path: Path) -> None:
    layer = adapted(framework.layers.Normalization(axis=-1))
    model = framework.Sequential([framework.Input((4,)), layer, framework.layers.Dense(2)])
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "model.keras")
    for path in (tmp_path / "model.keras", str(tmp_path / "model.keras")):
        ours = exact.from_keras(path)
        assert type(ours.layers[0]) is exact.Normalization
        assert_same_bits(ours.predict(X, verbose=0), expected)
    ours.save(tmp_path / "ours.keras")
    loaded = framework.models.load_model(tmp_path / "ours.keras")
    assert_same_bits(loaded.predict(X, verbose=0), expected)

    config = framework.layers.Normalization(axis=(1, 2), invert=True, name="n").get_config()
    for given in (
        config,
        framework.saving.serialize_keras_object(framework.layers.Normalization.from_config(config)),
    ):
        ours = exact.from_keras(given)
        assert (ours.axis, ours.invert, ours.name) == ((1, 2), True, "n")
    ours = exact.from_keras(framework.saving.serialize_keras_object(model))
    assert type(ours.layers[0]) is exact.Normalization
    with pytest.raises((ValueError, OSError), match="nothing"):
        exact.from_keras(tmp_path / "nothing.keras")


def test_what_cannot_be_converted(framework: Any, exact: Any) -> None:
    class Own(framework.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = framework.layers.Normalization(name="inside")

        def call(self, x: Any) -> Any:
            return self.inner(x)

    with pytest.raises(ValueError, match=r"(?s)Sequential or functional.*subclassed Own"):
        exact.from_keras(Own())
    inputs = framework.Input((4,))
    with pytest.raises(ValueError, match="cannot replace inside"):
        exact.from_keras(framework.Model(inputs, Own()(inputs)))
    for what in (5, None, framework.layers.Dense(2), exact.Normalization(), en.Normalization()):
        with pytest.raises(TypeError, match="expected a Normalization of"):
            exact.from_keras(what)
    with pytest.raises(TypeError, match=r"of exactnorm\.\w*keras, or a model, got a .*normalization"):
        exact.to_keras(framework.layers.Normalization())
