"""What users of Keras's Normalization ran into, each beside what Keras 3 still does.

The numbers are issues of keras-team/keras unless another repository is named.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import exactnorm as en
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from exactnorm.keras import Normalization, adapt_model
from keras_support import X, adapted, built, predict, sequential, values
from support import NDArray, assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
RNG = np.random.default_rng(0)


def of_keras(data: Any = None, **options: Any) -> Any:
    layer = keras.layers.Normalization(**options)
    if data is not None:
        layer.adapt(data)
    return layer


def test_float32_drifts() -> None:
    """numpy/numpy 22956: a running float32 mean is no mean."""
    x = RNG.normal(1e6, 1, (100_000, 1)).astype("float32")
    exact = x.astype("float64").var()
    batches = tf.data.Dataset.from_tensor_slices(x).batch(256)
    assert abs(values(of_keras(batches).variance)[0, 0] - exact) > 0.05
    for data in (batches, x, x[::-1]):
        layer = adapted(data)
        assert values(layer.variance)[0, 0] == np.float32(exact)
        assert layer.moments.digest == en.Moments.from_data(x).digest


def test_a_constant_feature_is_amplified() -> None:
    """20011: what was constant in training is divided by 1e-7 later, or by noise."""
    black = np.zeros((100, 1), "float32")  # a pixel
    grey = np.array([[1.0]], "float32")
    assert values(of_keras(black)(grey))[0, 0] > 9e6
    assert values(adapted(black, constant_policy="unit")(grey)).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="feature 0"):
        adapted(black, constant_policy="raise")
    large = np.full((20_000, 1), 1e9 / 3, "float32")
    assert values(of_keras(large).variance)[0, 0] == 1024.0
    assert values(adapted(large).variance)[0, 0] == 0.0


def test_masked_steps_are_counted() -> None:
    """15451: padding is data."""
    steps = np.array([[[1.0], [0.0], [0.0]], [[3.0], [5.0], [0.0]]], "float32")
    masked = keras.layers.Masking()(steps)
    assert values(of_keras(masked).mean).ravel() == [1.5]
    assert values(adapted(masked).mean).ravel() == [3.0]
    layer = Normalization()
    layer.adapt(steps, mask=steps[..., 0] != 0)
    assert layer.moments.count.tolist() == [3]


def test_workers_cannot_put_together_what_they_know() -> None:
    """16325: several workers, each with a part of the data."""
    parts = np.array_split(RNG.normal(3, 2, (1000, 4)).astype("float32"), 3)
    workers = [adapted(part) for part in parts]
    workers[0].merge_state(workers[1:])
    alone = adapted(np.concatenate(parts))
    assert workers[0].moments == alone.moments
    for ours, expected in zip(workers[0].get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert not hasattr(of_keras(), "merge_state")


def test_each_layer_needs_a_pass_of_its_own() -> None:
    """tensorflow/tensorflow 50820: a layer for each of many features, and data that are slow to read."""
    passes = []

    def read() -> Any:
        passes.append(1)
        for i in range(10):
            yield {"a": X[i % 4 : i % 4 + 1, :1], "b": X[i % 4 : i % 4 + 1, 1:]}

    inputs = {"a": keras.Input((1,), name="a"), "b": keras.Input((2,), name="b")}
    layers = {name: Normalization(name=f"of_{name}") for name in inputs}
    model = keras.Model(inputs, [layers[name](x) for name, x in inputs.items()])
    adapt_model(model, read())
    assert passes == [1]
    assert layers["a"].moments.count.tolist() == [10]
    for name, theirs in (("a", of_keras()), ("b", of_keras())):
        theirs.adapt(batch[name] for batch in read())
        np.testing.assert_allclose(values(layers[name].mean), values(theirs.mean), rtol=1e-6)
    assert passes == [1, 1, 1]


def test_saving_loses_what_was_learned(tmp_path: Path) -> None:
    """15348, 20147, 16392: weights that arrive later have no effect; what is loaded cannot go on learning."""
    path = tmp_path / "a.weights.h5"
    for make, keeps in ((of_keras, False), (Normalization, True)):
        model, fresh = sequential(make(), shape=(3,)), sequential(make(), shape=(3,))
        model.layers[0].adapt(X)
        model.save_weights(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that ours is the identity
            assert_same_bits(predict(fresh, X), X)
        fresh.load_weights(path)
        assert np.array_equal(predict(fresh, X), predict(model, X)) == keeps
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
        assert hasattr(loaded, "update_state") == keeps
    loaded.update_state(X + 1)
    loaded.finalize_state()
    assert loaded.moments == en.Moments.from_data(np.concatenate([X, X + 1]))


def test_saving_loses_invert(tmp_path: Path) -> None:
    """17486: the loaded layer normalized instead. (Keras 3 saves it, too.)"""
    layer = adapted(X, invert=True)
    model = sequential(layer, shape=(3,))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].invert
    assert_same_bits(predict(loaded, X), predict(model, X))
    assert_same_bits(values(loaded.layers[0].inverse(X)), values(layer.inverse(X)))
    assert not np.array_equal(predict(loaded, X), X)


def test_a_layer_that_was_not_adapted_says_nothing() -> None:
    """16296: data come out as they went in."""
    assert_same_bits(values(of_keras()(X)), X)  # and a warning would be an error here
    with pytest.warns(RuntimeWarning, match="adapt"):
        assert_same_bits(values(Normalization()(X)), X)
    assert_same_bits(values(built(mean=0.0, variance=1.0)(X)), X)


def test_given_statistics_must_have_a_shape_to_keras_s_liking() -> None:
    """20624, 22065: numbers for all features, numbers for some axes."""
    mean = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="must have the same shape"):
        of_keras(mean=mean, variance=4.0)
    layer = Normalization(mean=mean, variance=4.0)
    assert_same_bits(values(layer(X)), (X - np.float32(mean)) / 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        of_keras(mean=mean[:2], variance=mean[:2]).build((None, 3))
    with pytest.raises(ValueError, match=r"2.*3"):
        Normalization(mean=mean[:2], variance=mean[:2]).build((None, 3))
    images = RNG.normal(size=(2, 2, 3, 4)).astype("float32")
    for given in (0.5, np.arange(8.0).reshape(2, 4), [[1.0], [2.0]], np.arange(4.0)):
        one = Normalization(axis=(1, 3), mean=given, variance=1.0)
        kept = np.broadcast_to(np.float32(given), (2, 4)).reshape(1, 2, 1, 4)
        assert_same_bits(values(one(images)), images - kept)


class Endless(keras.utils.PyDataset):
    num_batches = None
    read = 0

    def __getitem__(self, i: int) -> NDArray:
        self.read += 1
        if self.read > 20:
            raise InterruptedError("it would never end")
        return X


class Weighted(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, i: int) -> tuple[NDArray, NDArray, NDArray]:
        return X, X[:, 0], np.array([0.0, 1.0, 2.0, 3.0])


def test_labelled_data() -> None:
    """21300: what fit takes, adapt should take; and a PyDataset without an end should not hang."""
    labels = np.zeros(4, "float32")
    tensors = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(labels))
    loader = torch.utils.data.DataLoader(tensors, 2)
    columns = tf.data.Dataset.from_tensor_slices(({"a": X[:, 0], "b": X[:, 1:]}, labels)).batch(2)
    for data in (loader, columns):
        with pytest.raises((TypeError, AttributeError), match="shape"):
            of_keras(data)
        layer = Normalization()
        layer.adapt(data)
        assert layer.moments.digest == en.Moments.from_data(X).digest
    layer = Normalization()
    layer.adapt(Weighted(workers=1), use_sample_weight=True)  # Keras leaves the weights out
    assert values(layer.mean).tolist() == [[np.float32(4 / 3), np.float32(25 / 3), np.float32(16 / 3)]]
    with pytest.raises(InterruptedError):
        of_keras(Endless(workers=1))
    endless = Endless(workers=1)
    with pytest.raises(ValueError, match="infinite"):
        layer.adapt(endless)
    assert endless.read == 0
    layer.adapt(endless, steps=3)
    assert layer.moments.count.tolist() == [12] * 3


def test_adapting_again_needs_compiling_again() -> None:
    """A model that has predicted goes on with the old statistics, until it is compiled again."""
    for make, at_once in ((of_keras, False), (Normalization, True)):
        layer = make()
        layer.adapt(X)
        model = sequential(layer, shape=(3,))
        before = predict(model, X)
        layer.adapt(10 * X)
        after = predict(model, X)
        assert np.array_equal(after, before) == (not at_once)
        model.compile()
        np.testing.assert_allclose(predict(model, X), values(layer(X)), rtol=1e-6)
