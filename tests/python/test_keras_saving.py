"""exactnorm.keras.Normalization saved, loaded, cloned, copied, exported. On any backend."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.keras import Normalization
from keras_support import BACKEND, ULPS, X, adapted, built, keras, predict, sequential, ulps_apart, values
from support import assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def through_file(layer: Normalization, path: Path) -> Normalization:
    model = sequential(layer)
    model.save(path)
    loaded = keras.models.load_model(path).layers[0]
    assert type(loaded) is Normalization
    return loaded


def layers() -> dict[str, Normalization]:
    learning = adapted(name="learning")
    learning.update_state(X + 1)
    weighted = Normalization()
    weighted.adapt((X, 0, [1, 2, 3, 4]), use_sample_weight=True)
    finalized = built()
    finalized.update_state(X)
    finalized.finalize_state()
    reset = adapted()
    reset.reset_state()
    nan = X.copy()
    nan[0, 0] = np.nan
    return {
        "built": built(),
        "adapted": adapted(),
        "names": adapted({"a": X[:, 0], "b": X[:, 1], "ü": X[:, 2]}),
        "inverting": adapted(invert=True),  # keras 17486
        "given": built(mean=[1.0, 2.0, 3.0], variance=0.1),
        "not finalized": learning,
        "finalized, not adapted": finalized,
        "reset, not finalized": reset,
        "weighted": weighted,
        "policies": adapted(nan, nan_policy="omit", constant_policy="unit", epsilon=0.1),
        "half": adapted(dtype="mixed_float16"),
    }


@pytest.mark.parametrize("which", layers())
@pytest.mark.parametrize("how", ["keras", "weights.h5", "pickle", "deepcopy"])
def test_a_loaded_layer_is_the_same_and_goes_on(which: str, how: str, tmp_path: Path) -> None:
    """keras 15348, 16392, 20147: nothing of the state is lost."""
    layer = layers()[which]
    if how == "keras":
        other = through_file(layer, tmp_path / "model.keras")
    elif how == "weights.h5":
        sequential(layer).save_weights(tmp_path / "model.weights.h5")
        other = Normalization.from_config(layer.get_config())
        sequential(other).load_weights(tmp_path / "model.weights.h5")
    else:
        other = pickle.loads(pickle.dumps(layer)) if how == "pickle" else copy.deepcopy(layer)  # noqa: S301
    assert other.get_config() == layer.get_config()
    assert (other.is_adapted, int(other.count)) == (layer.is_adapted, int(layer.count))
    for mine, theirs in zip(layer.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(np.asarray(theirs), np.asarray(mine))
    quiet = X if which in ("given",) or layer.is_adapted else X[:0]  # an identity warns
    if len(quiet):
        assert_same_bits(values(other(quiet)), values(layer(quiet)))
    if which == "given":
        return
    assert other.moments == layer.moments
    if not layer.moments.weighted:
        for one in (layer, other):
            one.update_state(np.full((2, 3), 3.0))
    for one in (layer, other):
        one.finalize_state()
    assert other.moments == layer.moments
    for mine, theirs in zip(layer.get_weights(), other.get_weights(), strict=True):
        assert_same_bits(np.asarray(theirs), np.asarray(mine))
    before = layer.moments
    other.adapt(X * 3)
    assert layer.moments == before  # another object


@pytest.mark.parametrize("which", layers())
def test_the_same_layer_without_a_framework(which: str, tmp_path: Path) -> None:
    layer = layers()[which]
    for one in (layer, through_file(layer, tmp_path / "model.keras")):
        plain = one.to_exactnorm()
        assert plain.name == layer.name
        assert plain.invert == layer.invert
        assert plain.get_config()["dtype"] == layer.compute_dtype
        pending = which in ("given", "not finalized", "reset, not finalized")
        assert (plain.get_config()["mean"] is not None) == pending
        if not pending:
            assert (plain.moments, plain.is_adapted) == (layer.moments, layer.is_adapted)
            assert_same_bits(plain.mean.ravel(), values(layer.weights[0]))
        if plain.is_adapted or pending:
            assert ulps_apart(plain(X).astype("float32"), values(layer(X)).astype("float32")) <= ULPS


def test_a_layer_that_is_not_built_has_no_other() -> None:
    with pytest.raises(RuntimeError, match="not built"):
        Normalization().to_exactnorm()
    layer = adapted()
    layer.set_weights([np.float32([1, 2, 3]), np.float32([4, 4, 4]), np.array(9)])
    assert layer.to_exactnorm()(X[:1]).tolist() == values(layer(X[:1])).tolist() == [[-0.5, 2.5, 0.5]]
    exact = adapted(np.array([[0.1, 1.7e9], [0.2, 1.8e9]]), epsilon=0.5)
    assert exact.to_exactnorm().get_config()["epsilon"] == 0.5
    given = built((None, 2), mean=[0.1, 1.7e9 + 1], variance=0.3)
    assert given.to_exactnorm().get_config()["mean"] == [0.1, 1.7e9 + 1]  # not rounded


def test_weights_set_from_outside_are_saved_as_that(tmp_path: Path) -> None:
    layer = adapted()
    layer.set_weights([w + 1 for w in layer.get_weights()])
    loaded = through_file(layer, tmp_path / "model.keras")
    assert loaded.is_adapted
    assert values(loaded.mean).tolist() == [[2, 9, 6]]
    with pytest.raises(RuntimeError, match="set from outside"):
        loaded.update_state(X)


def test_weights_that_keras_has_saved(tmp_path: Path) -> None:
    theirs = keras.layers.Normalization()
    theirs.adapt(X)
    sequential(theirs).save_weights(tmp_path / "theirs.weights.h5")
    layer = built()
    sequential(layer).load_weights(tmp_path / "theirs.weights.h5")
    assert_same_bits(values(layer(X)), values(theirs(X)))
    assert not layer.is_adapted  # which Keras does not save
    with pytest.raises(RuntimeError, match="set from outside"):
        layer.moments  # noqa: B018
    layer.adapt(X)
    assert layer.moments == en.Moments.from_data(X)


def test_other_weights_are_refused_and_change_nothing(tmp_path: Path) -> None:
    four = adapted(np.ones((2, 4)))
    keras.Sequential([keras.Input((4,)), four]).save_weights(tmp_path / "four.weights.h5")
    layer = adapted()
    for other in (layer, adapted(constant_policy="unit"), Normalization(mean=0.0, variance=1.0)):
        before = other.get_weights()
        with pytest.raises(ValueError, match=r"weights|variables|layer"):
            sequential(other).load_weights(tmp_path / "four.weights.h5")
        assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))
    assert layer.moments == en.Moments.from_data(X)

    class Store(dict[str, Any]):
        """What Keras hands to save_own_variables."""

    store = Store()
    layer.save_own_variables(store)
    assert sorted(store) == ["0", "1", "2", "adapted", "moments"]
    for moments in (en.Moments(shape=4).to_bytes(), b"junk", en.Normalization().to_bytes()):
        broken = store | {"moments": np.frombuffer(moments, np.uint8)}
        with pytest.raises(en.StateError):
            layer.load_own_variables(broken)
    with pytest.raises(ValueError, match="weights of shapes"):
        layer.load_own_variables({k: v for k, v in store.items() if k != "1"})
    with pytest.raises(ValueError, match="never built"):
        Normalization().load_own_variables(store)
    assert layer.moments == en.Moments.from_data(X)
    layer.load_own_variables(store)
    assert layer.moments == en.Moments.from_data(X)


def test_policies_are_the_layers_own_not_the_files(tmp_path: Path) -> None:
    x = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]])
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer = adapted(x)
    sequential(layer).save_weights(tmp_path / "a.weights.h5")
    omitting = built(nan_policy="omit")
    sequential(omitting).load_weights(tmp_path / "a.weights.h5")
    assert np.isnan(values(omitting.mean)).tolist() == [[False, True, False]]  # as saved
    omitting.finalize_state()
    assert values(omitting.mean).tolist() == [[2, 4, 3.5]]


def test_a_clone_is_not_adapted_and_takes_weights() -> None:
    layer = adapted(nan_policy="omit", name="scale")
    model = sequential(layer)
    clone = keras.models.clone_model(model)
    other = clone.layers[0]
    assert type(other) is Normalization
    assert other is not layer
    assert other.get_config() == layer.get_config()
    assert (other.is_adapted, int(other.count)) == (False, 0)
    clone.set_weights(model.get_weights())
    assert_same_bits(predict(clone, X), predict(model, X))
    other.adapt(X * 2)
    assert values(layer.mean).tolist() == [[1, 8, 5]]


def test_a_loaded_model_predicts_the_same_bits_and_can_be_adapted(tmp_path: Path) -> None:
    model = sequential(adapted(), keras.layers.Dense(2))
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same_bits(predict(loaded, X), predict(model, X))
    loaded.layers[0].adapt(X + 1)
    model.layers[0].adapt(X + 1)
    assert_same_bits(predict(loaded, X), predict(model, X))
    loaded.fit(X, X[:, :2], verbose=0)


@pytest.mark.filterwarnings(
    "ignore:The `native_serialization` parameter:DeprecationWarning"
)  # Keras asks JAX
def test_an_export_freezes_what_was_learned(tmp_path: Path) -> None:
    if BACKEND == "torch":  # which has no SavedModel
        return
    tf = pytest.importorskip("tensorflow")
    layer = adapted()
    model = sequential(layer)
    model.export(tmp_path / "one", verbose=False)
    layer.adapt(X + 1)
    model.export(tmp_path / "two", verbose=False)
    one, two = (tf.saved_model.load(tmp_path / name) for name in ("one", "two"))
    assert one.serve(X).numpy()[:2].tolist() == [[-1] * 3, [1] * 3]
    assert two.serve(X).numpy()[:2].tolist() == [[-2] * 3, [0] * 3]
