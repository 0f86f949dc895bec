"""exactnorm.tf_keras.Normalization: the documented examples of Keras 2.7, and what differs from Keras 3."""

from __future__ import annotations

import copy
import itertools
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import exactnorm as en
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from exactnorm.tf_keras import Normalization
from support import NDArray, assert_same_bits

X = np.array([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]], "float32")


def adapted(data: Any = X, **options: Any) -> Normalization:
    layer = Normalization(**options)
    layer.adapt(data)
    return layer


def sequential(*layers: Any, shape: tuple[int | None, ...] = (3,)) -> Any:
    return tf_keras.Sequential([tf_keras.Input(shape), *layers])


# ---- the documented examples, with Normalization for tf.keras.layers.Normalization


def test_global_mean_and_variance() -> None:
    adapt_data = np.array([1.0, 2.0, 3.0, 4.0, 5.0], dtype="float32")
    input_data = np.array([1.0, 2.0, 3.0], dtype="float32")
    layer = Normalization(axis=None)
    layer.adapt(adapt_data)
    assert_same_bits(layer(input_data).numpy(), np.array([-1.4142135, -0.70710677, 0.0], "float32"))


def test_mean_and_variance_for_each_index() -> None:
    """The page prints [0., 0., 0.]; mean [1, 8, 5] and variance 1 give this."""
    adapt_data = np.array(
        [[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]], dtype="float32"
    )
    input_data = np.array([[0.0, 7.0, 4.0]], dtype="float32")
    layer = Normalization(axis=-1)
    layer.adapt(adapt_data)
    assert_same_bits(layer(input_data).numpy(), np.array([[-1.0, -1.0, -1.0]], "float32"))


def test_given_mean_and_variance() -> None:
    input_data = np.array([[1.0], [2.0], [3.0]], dtype="float32")
    layer = Normalization(mean=3.0, variance=2.0)
    assert_same_bits(layer(input_data).numpy(), np.array([[-1.4142135], [-0.70710677], [0.0]], "float32"))


def test_a_model_with_several_adapts() -> None:
    layer = Normalization(axis=None)
    layer.adapt([0, 2])
    model = tf_keras.Sequential(layer)
    assert_same_bits(model.predict([0, 1, 2]), np.array([-1.0, 0.0, 1.0], "float32"))
    layer.adapt([-1, 1])
    model.compile()  # This is needed to re-compile model.predict!
    assert_same_bits(model.predict([0, 1, 2]), np.array([0.0, 1.0, 2.0], "float32"))


def test_a_dataset_with_several_adapts() -> None:
    layer = Normalization(axis=None)
    layer.adapt([0, 2])
    input_ds = tf.data.Dataset.range(3)
    normalized_ds = input_ds.map(layer)
    expected = [np.array([-1.0], "float32"), np.array([0.0], "float32"), np.array([1.0], "float32")]
    for z, wanted in zip(list(normalized_ds.as_numpy_iterator()), expected, strict=True):
        assert_same_bits(z, wanted)
    layer.adapt([-1, 1])
    normalized_ds = input_ds.map(layer)  # Re-map over the input dataset.
    expected = [np.array([0.0], "float32"), np.array([1.0], "float32"), np.array([2.0], "float32")]
    for z, wanted in zip(list(normalized_ds.as_numpy_iterator()), expected, strict=True):
        assert_same_bits(z, wanted)


# ---- what it is


def test_it_is_a_preprocessing_layer() -> None:
    layer = Normalization(name="scale", trainable=False, dtype="float32", input_shape=(3,))
    assert isinstance(layer, tf_keras.layers.experimental.preprocessing.PreprocessingLayer)
    assert (layer.name, layer.trainable) == ("scale", False)
    assert tf_keras.saving.get_registered_name(Normalization) == "exactnorm>Normalization"
    model = tf_keras.Sequential([layer])
    assert model.built
    assert [w.name for w in layer.weights] == ["scale/mean:0", "scale/variance:0", "scale/count:0"]
    assert [w.dtype for w in layer.weights] == [tf.float32, tf.float32, tf.int64]
    layer.compile(run_eagerly=True, steps_per_execution=2)
    with pytest.raises(ValueError, match="steps_per_execution"):
        layer.compile(steps_per_execution=0)
    config = Normalization(axis=(1, 2), invert=True, nan_policy="omit").get_config()
    assert Normalization.from_config(config).get_config() == config
    with pytest.raises(ValueError, match="Variable"):
        Normalization(mean=tf.Variable(1.0), variance=1.0)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16", "float64"])
def test_the_bits_of_tf_keras(invert: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((1000, 5)) * 3 + 1).astype("float32")
    layer = adapted(x, invert=invert, dtype=dtype)
    twin = tf_keras.layers.Normalization(invert=invert, dtype=dtype)
    twin.build((None, 5))
    twin.set_weights(layer.get_weights())
    twin.finalize_state()
    rows = tf.data.Dataset.from_tensor_slices(x).batch(100)
    for use in (
        lambda one: one(x).numpy(),
        lambda one: tf.function(one)(x).numpy(),
        lambda one: sequential(one, shape=(5,)).predict(x, verbose=0),
        lambda one: np.concatenate(list(rows.map(one).as_numpy_iterator())),
    ):
        assert_same_bits(use(layer), use(twin))
    if dtype == "float32":
        plain = en.Normalization(invert=invert)
        plain.adapt(x)
        assert plain.moments.digest == layer.moments.digest
        assert_same_bits(layer(x).numpy(), plain(x))
        assert_same_bits(layer.inverse(x).numpy(), plain.inverse(x))


# ---- the shared code, on this framework's layer


def test_states_of_a_layer() -> None:
    layer = Normalization()
    with pytest.raises(RuntimeError, match="built"):
        layer.update_state(X)
    layer.build((None, 3))
    layer.update_state(X)
    assert (int(layer.count), layer.mean.numpy().tolist()) == (4, [[0, 0, 0]])
    layer.finalize_state()
    assert (layer.is_adapted, layer.mean.numpy().tolist()) == (False, [[1, 8, 5]])
    layer.adapt(X)
    layer.merge_state([adapted(X), en.Normalization.from_config({})][:1])
    layer.forget(X[:2])
    assert (layer.is_adapted, layer.moments) == (True, en.Moments.from_data(np.concatenate([X, X[2:]])))
    layer.reset_state()
    assert (layer.is_adapted, int(layer.count), layer.mean.numpy().tolist()) == (False, 0, [[1, 8, 5]])
    layer.finalize_state()
    assert layer.mean.numpy().tolist() == [[0, 0, 0]]
    with pytest.warns(RuntimeWarning, match="not adapted") as warned:
        layer(X)
    assert [w.filename for w in warned] == [__file__]
    layer.set_weights([w + 1 for w in layer.get_weights()])
    with pytest.raises(RuntimeError, match="set from outside"):
        layer.update_state(X)
    layer.adapt(X)
    for shape in ((2, 4), (2, 2, 3)):
        for call in (layer, layer.adapt, layer.update_state):
            with pytest.raises(ValueError, match=r"None, 3.*got"):
                call(np.zeros(shape))
    assert layer.moments == en.Moments.from_data(X)


def test_graphs_do_not_learn_and_do_not_warn() -> None:
    layer = Normalization()
    model = sequential(layer)
    assert_same_bits(model.predict(X, verbose=0), X)
    assert_same_bits(tf.function(layer)(X).numpy(), X)
    with pytest.raises(RuntimeError, match="while a graph is made"):
        tf.function(layer.update_state)(X)
    with pytest.raises(RuntimeError, match="while a graph is made"):
        layer.adapt(tf_keras.Input((3,)))
    layer.adapt(X)
    assert model.predict(X[:1], verbose=0).tolist() == [[-1] * 3]  # at once


def test_fit_never_changes_the_statistics() -> None:
    layer, dense = adapted(), tf_keras.layers.Dense(1)
    model = sequential(layer, dense)
    model.compile("sgd", "mse")
    statistics, kernel = layer.get_weights(), dense.kernel.numpy()
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    model.evaluate(X, X[:, :1], verbose=0)
    assert (dense.kernel.numpy() != kernel).any()
    for before, after in zip(statistics, layer.get_weights(), strict=True):
        assert_same_bits(np.asarray(after), np.asarray(before))
    layer.update_state(X)


class Labelled(tf_keras.utils.Sequence):  # type: ignore[misc]
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[NDArray, NDArray]:
        return X[2 * index : 2 * index + 2], np.zeros(2)


def test_data() -> None:
    expected = en.Moments.from_data(X)
    rows = tf.data.Dataset.from_tensor_slices((X, [0, 1, 2, 3], [1, 0, 0, 1]))
    for data in (X, X.tolist(), tf.constant(X), [X[:2], X[2:]], rows, rows.batch(3), Labelled()):
        assert adapted(data).moments == expected
    layer = Normalization()
    layer.adapt(rows.batch(3), use_sample_weight=True)
    assert layer.moments == en.Moments.from_data(X, weights=[1, 0, 0, 1])
    layer.adapt(itertools.repeat(X), steps=3)
    assert int(layer.count) == 12
    x = np.array([[[1.0], [2.0], [99.0]], [[3.0], [99.0], [99.0]]], "float32")
    masked = tf_keras.layers.Masking(99.0)(x)
    pictures = adapted(masked)
    assert pictures.moments == en.Moments.from_data(x, where=x[..., 0] != 99)
    assert pictures(masked)._keras_mask.numpy().tolist() == [[True, True, False], [True, False, False]]
    assert adapted([0, 2], axis=None)([0, 1, 2]).numpy().tolist() == [-1, 0, 1]
    for uneven in (tf.ragged.constant([[1.0, 2.0, 3.0], [1.0]]), tf.sparse.from_dense(X)):
        for call in (layer, layer.adapt):
            with pytest.raises(TypeError, match=r"dense.*got"):
                call(uneven)
    with pytest.raises(TypeError, match=r"dense.*got"):
        layer(tf_keras.Input((3,), sparse=True))
    with pytest.raises(ValueError, match="single input"):
        layer([tf_keras.Input((3,))] * 2)


def test_a_progress_bar_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    adapted(iter([X, X])).adapt([X, X], verbose=1)
    assert "2/2" in capsys.readouterr().out


# ---- saving


def test_files_of_keras_3_have_the_exact_state(tmp_path: Path) -> None:
    layer = adapted(constant_policy="unit", name="scale")
    layer.update_state(X + 1)
    model = sequential(layer)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = tf_keras.models.load_model(tmp_path / "model.keras", compile=False).layers[0]
    weights_only = Normalization.from_config(layer.get_config())
    sequential(weights_only).load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, weights_only, copy.deepcopy(layer)):
        assert type(other) is Normalization
        assert (other.is_adapted, int(other.count), other.moments) == (True, 8, layer.moments)
        assert other.mean.numpy().tolist() == [[1, 8, 5]]
        other.finalize_state()
        assert other.mean.numpy().tolist() == [[1.5, 8.5, 5.5]]
    assert layer.mean.numpy().tolist() == [[1, 8, 5]]


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_files_of_keras_2_have_the_weights(tmp_path: Path) -> None:
    model = sequential(adapted())
    model.compile()
    for name in ("directory", "model.h5"):
        model.save(tmp_path / name)
        loaded = tf_keras.models.load_model(tmp_path / name)
        layer = loaded.layers[0]
        assert type(layer) is Normalization
        assert_same_bits(loaded.predict(X, verbose=0), model.predict(X, verbose=0))
        assert int(layer.count) == 4
        with pytest.raises(RuntimeError, match="set from outside"):
            layer.update_state(X)
        layer.adapt(X + 1)
        assert loaded.predict(X, verbose=0)[:2].tolist() == [[-2] * 3, [0] * 3]
    model.save_weights(tmp_path / "checkpoint")
    other = sequential(Normalization())
    other.load_weights(tmp_path / "checkpoint")
    assert_same_bits(other.predict(X, verbose=0), model.predict(X, verbose=0))


def test_export_and_clone(tmp_path: Path) -> None:
    model = sequential(adapted())
    model.export(tmp_path / "export")
    exported = tf.saved_model.load(tmp_path / "export")
    assert exported.serve(X).numpy()[:2].tolist() == [[-1] * 3, [1] * 3]
    clone = tf_keras.models.clone_model(model)
    assert not clone.layers[0].is_adapted
    clone.set_weights(model.get_weights())
    assert_same_bits(clone.predict(X, verbose=0), model.predict(X, verbose=0))
