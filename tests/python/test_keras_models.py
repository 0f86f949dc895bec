"""exactnorm.keras.Normalization called: in models and graphs, with the bits of Keras. On any backend."""

from __future__ import annotations

import warnings
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.keras import Normalization
from keras_support import BACKEND, ULPS, X, adapted, built, keras, predict, sequential, ulps_apart, values
from support import NDArray, assert_same_bits

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


def data(features: int, rows: int = 4096) -> NDArray:
    rng = np.random.default_rng(features)
    spread, center = rng.uniform(0.1, 10, features), rng.uniform(-5, 5, features)
    return (rng.standard_normal((rows, features)) * spread + center).astype("float32")


def keras_twin(layer: Normalization, shape: tuple[int | None, ...], **options: Any) -> Any:
    """Keras's own layer with the same mean and variance."""
    twin = keras.layers.Normalization(invert=layer.invert, **options)
    twin.build(shape)
    twin.set_weights(layer.get_weights())
    twin.finalize_state()
    return twin


@pytest.mark.parametrize("features", [3, 200])  # TensorFlow freezes constants of up to 128 elements
@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_the_bits_of_keras(features: int, invert: bool, policy: str) -> None:
    tf = pytest.importorskip("tensorflow")
    x = data(features)
    x[:3] = [[np.inf], [-np.inf], [np.nan]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # infinities times what they are
        layer = adapted(x[3:], invert=invert, dtype=policy)
    twin = keras_twin(layer, (None, features), dtype=policy)
    assert_same_bits(values(layer(x)), values(twin(x)))
    models = [sequential(one, shape=(features,)) for one in (layer, twin)]
    assert_same_bits(*(predict(model, x) for model in models))
    rows = tf.data.Dataset.from_tensor_slices(x).batch(1000)
    mapped = [np.concatenate(list(rows.map(one).as_numpy_iterator())) for one in (layer, twin)]
    assert_same_bits(*mapped)
    if BACKEND == "tensorflow":
        assert_same_bits(*(tf.function(one)(x).numpy() for one in (layer, twin)))


@pytest.mark.parametrize("features", [3, 200])
def test_how_near_to_numpy(features: int) -> None:
    """In float32: the same bits, or within the bound that the documentation says."""
    x = data(features)
    layer, plain = adapted(x), en.Normalization()
    plain.adapt(x)
    assert layer.moments.digest == plain.moments.digest
    expected = plain(x)
    apart = [
        ulps_apart(z, expected) for z in (values(layer(x)), predict(sequential(layer, shape=(features,)), x))
    ]
    assert max(apart) <= ULPS
    assert ULPS == 0 or max(apart) > 0, "this backend is exact now: say so in docs/keras.md"


def test_how_near_to_numpy_the_way_back_is() -> None:
    """mean + x * divisor may have the rounding of its product left out, or torch's error of the root."""
    x = data(50)
    layer, plain = adapted(x, invert=True), en.Normalization(invert=True)
    plain.adapt(x)
    expected = plain(x)
    if BACKEND != "torch":
        assert_same_bits(values(layer(x)), expected)
    model = sequential(layer, shape=(50,))
    model.compile(jit_compile=BACKEND != "torch")  # XLA; torch would need a C++ compiler
    product = np.abs(x.astype("float64") * np.sqrt(plain.variance.astype("float64")))
    bound = 2.0**-24 * ((4 if BACKEND == "torch" else 1) * product + 2 * np.abs(expected))
    for result in (values(layer(x)), predict(model, x)):
        assert (np.abs(result.astype("float64") - expected) <= bound).all()


def test_inverse_goes_the_other_way() -> None:
    for layer in (adapted(), adapted(invert=True)):
        assert_same_bits(values(layer.inverse(layer(X))), X)
        assert_same_bits(values(layer(layer.inverse(X))), X)
    unbuilt = Normalization(mean=3.0, variance=4.0)
    assert values(unbuilt.inverse([[1.0], [2.0]])).tolist() == [[5], [7]]


def test_numbers_and_lists() -> None:
    layer = Normalization(axis=None, mean=1.0, variance=4.0)
    assert values(layer(3)).shape == ()
    assert values(layer(np.float32(3))) == layer(3) == 1
    assert values(Normalization(axis=None, mean=1.0, variance=4.0)([3, 5])).tolist() == [1, 2]
    assert values(Normalization(mean=1.0, variance=4.0)(([3, 5], (7.5, 1)))).tolist() == [[1, 2], [3.25, 0]]
    learned = adapted([0, 2], axis=None)
    for number in (1, 1.0, True, np.int64(1), np.float64(1)):
        assert values(learned(number)).tolist() == [0]  # rank 0 into a layer of rank 1
        assert values(learned.inverse(number)).tolist() == [2]
    assert learned.compute_output_shape(()) == (1,)
    assert values(adapted()([X[0], X[1]])).tolist() == [[-1] * 3, [1] * 3]
    with pytest.raises(ValueError, match="single input"):
        adapted()([keras.Input((3,)), keras.Input((3,))])
    with pytest.raises(ValueError, match="single input"):
        adapted()([keras.ops.convert_to_tensor(X)] * 2)
    with pytest.raises(ValueError, match="inhomogeneous"):
        adapted()([[1.0, 2.0], [1.0]])


@pytest.mark.parametrize("x", ["text", None, {"a": [1.0]}, ["a"], [1j], np.array([[1, 2, None]])])
def test_what_is_no_array_of_numbers(x: Any) -> None:
    layer = adapted()
    for call in (layer, layer.inverse):
        with pytest.raises(TypeError, match="expected"):
            call(x)
    with pytest.raises(TypeError, match="functional model"):
        layer.inverse(keras.Input((3,)))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "bool", "float16", "float64"])
def test_inputs_of_any_dtype(dtype: str) -> None:
    x = np.array([[0, 1, 1], [1, 1, 0]]).astype(dtype)
    layer = adapted()
    expected = (x.astype("float32") - np.float32([1, 8, 5])) / np.float32(1)
    assert_same_bits(values(layer(x)), expected)
    if BACKEND == "jax" and x.dtype.itemsize == 8:  # Keras has JAX warn that it narrows
        return
    assert_same_bits(values(layer(keras.ops.convert_to_tensor(x))), expected)
    assert_same_bits(predict(keras.Sequential([keras.Input((3,), dtype=dtype), layer]), x), expected)


def test_float64_is_exact_where_float32_is_not() -> None:
    if BACKEND == "jax":  # has float64 only if asked before it starts
        return
    seconds = 1.7e9 + np.arange(4.0)[:, None]
    layer = adapted(seconds, dtype="float64")
    plain = en.Normalization(dtype="float64")
    plain.adapt(seconds)
    np.testing.assert_allclose(
        values(layer(seconds)), plain(seconds), rtol=0 if BACKEND == "tensorflow" else 1e-15
    )
    assert [w.dtype for w in layer.get_weights()] == ["float64", "float64", "int64"]


def test_functional_models() -> None:
    wide, deep = keras.Input((3,)), keras.Input((2, 3))
    layer = adapted()
    joined = keras.layers.Concatenate()([layer(wide), adapted(X[None])(deep)[:, 0]])
    model = keras.Model([wide, deep], joined)
    z = predict(model, [X, np.stack([X, X], 1)])
    assert z[:2].tolist() == [[-1] * 6, [1] * 6]
    assert tuple(model.output.shape) == (None, 6)
    pictures = adapted(np.ones((2, 4, 4, 3)), axis=(1, -1))
    assert tuple(pictures(keras.Input((4, None, 3))).shape) == (None, 4, None, 3)
    shared = keras.Model(wide, [layer(wide), layer(layer(wide))])  # twice in one model
    assert predict(shared, X)[1][1].tolist() == [0, -7, -4]


def test_a_layer_adapted_again_changes_its_models_at_once() -> None:
    layer = adapted()
    model = sequential(layer, keras.layers.Dense(1, kernel_initializer="ones", use_bias=False))
    model.compile("sgd", "mse")
    assert predict(model, X[:1]).tolist() == [[-3]]
    assert model.evaluate(X[:1], np.float32([[-3]]), verbose=0) == 0
    layer.adapt(X + 1)
    assert predict(model, X[:1]).tolist() == [[-6]]
    assert model.evaluate(X[:1], np.float32([[-6]]), verbose=0) == 0
    layer.forget(X + 1)
    layer.merge_state(adapted())
    assert predict(model, X[:1]).tolist() == [[-3]]
    layer.update_state(X + 2)
    assert predict(model, X[:1]).tolist() == [[-3]]  # until finalize_state
    layer.finalize_state()
    assert predict(model, X[:1])[0, 0] == pytest.approx(-6 / 2**0.5)


def test_compiled_functions_of_the_framework() -> None:
    """They see new statistics too, but for jax.jit, to which all but its arguments is constant."""
    layer = adapted()
    if BACKEND == "tensorflow":
        import tensorflow as tf

        function, x = tf.function(layer), tf.constant(X)
    elif BACKEND == "torch":
        import torch

        function, x = torch.compile(layer, backend="eager", fullgraph=True), torch.from_numpy(X)
        program = torch.export.export(sequential(layer), (x,))
        assert values(program.module()(x))[1].tolist() == [1] * 3
    else:
        import jax

        function, x = jax.jit(layer), jax.numpy.asarray(X)
    assert values(function(x))[1].tolist() == [1] * 3
    layer.adapt(X + 1)
    assert values(function(x))[1].tolist() == [1 if BACKEND == "jax" else 0] * 3


@pytest.mark.parametrize("trainable", [True, False])
def test_fit_never_changes_the_statistics(trainable: bool) -> None:
    layer = adapted(trainable=trainable)
    dense = keras.layers.Dense(1)
    model = sequential(layer, dense)
    model.compile(keras.optimizers.Adam(0.1), "mse")
    statistics, kernel, moments = layer.get_weights(), values(dense.kernel).copy(), layer.moments
    model.fit(X, X[:, :1], epochs=2, verbose=0)
    model.evaluate(X, X[:, :1], verbose=0)
    assert (values(dense.kernel) != kernel).any()
    for before, after in zip(statistics, layer.get_weights(), strict=True):
        assert_same_bits(np.asarray(after), np.asarray(before))
    assert layer.moments == moments
    layer.update_state(X)  # it still knows its weights


def test_map_in_any_backend() -> None:
    tf = pytest.importorskip("tensorflow")
    layer = adapted(dtype="mixed_bfloat16")
    rows = tf.data.Dataset.from_tensor_slices(X)
    (first, *_) = rows.batch(2).map(layer)
    assert first.dtype == tf.bfloat16
    assert first.numpy().tolist() == [[-1] * 3, [1] * 3]
    back = rows.batch(2).map(layer).map(adapted(invert=True))
    assert back.element_spec.dtype == tf.float32
    assert next(iter(back)).numpy().tolist() == X[:2].tolist()
    mapped = rows.batch(4).map(lambda x: (layer(x), 1))
    assert next(iter(mapped))[0].numpy()[1].tolist() == [1] * 3
    given = Normalization(mean=[1.0, 8.0, 5.0], variance=1.0)
    assert next(iter(rows.batch(4).map(given))).numpy()[1].tolist() == [1] * 3
    assert given.built
    unit = adapted(np.ones((2, 3)), constant_policy="unit")
    assert next(iter(rows.batch(4).map(unit))).numpy()[0].tolist() == [-1, 6, 3]
    not_built = Normalization()
    assert next(iter(rows.batch(4).map(not_built))).numpy().tolist() == X.tolist()
    not_built.adapt(X)
    assert values(not_built(X[:1])).tolist() == [[-1] * 3]
    with pytest.raises(ValueError, match=r"None, 3.*got"):
        rows.map(layer)  # without a batch axis
    with pytest.raises(ValueError, match=r"None, 3.*got.*None, 2"):
        rows.batch(2).map(lambda x: layer(x[:, :2]))


def test_nothing_is_learned_while_a_graph_is_made() -> None:
    layer = adapted()
    for call in (layer.adapt, layer.update_state, layer.forget):
        with pytest.raises(RuntimeError, match="while a graph is made"):
            call(keras.Input((3,)))
    calls = {"adapt": layer.adapt, "update_state": layer.update_state, "forget": layer.forget}
    for learn in calls.values():
        if BACKEND == "tensorflow":
            import tensorflow as tf

            with pytest.raises(RuntimeError, match="while a graph is made"):
                tf.function(learn, autograph=False)(X)
        elif BACKEND == "jax":
            import jax

            with pytest.raises(RuntimeError, match="while a graph is made"):
                jax.jit(learn)(X)
    assert layer.moments == en.Moments.from_data(X)


def test_no_warning_while_a_graph_is_made() -> None:
    """An identity is worth a warning where there are numbers."""
    layer = Normalization()
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tf.function(layer)(X)
        predict(sequential(layer), X)
    elif BACKEND == "jax":
        import jax

        layer.build((None, 3))
        jax.jit(layer)(X)
        predict(sequential(layer), X)
    else:
        sequential(layer)
    with pytest.warns(RuntimeWarning, match="not adapted"):
        layer(X)


def test_a_subclass_with_a_weight_of_its_own() -> None:
    class Scaled(Normalization):
        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            self.factor = self.add_weight(shape=(1,), initializer="ones", name="factor")

        def call(self, inputs: Any) -> Any:
            return super().call(inputs) * self.factor

    layer = Scaled()
    layer.adapt(X)
    layer.factor.assign([2.0])
    assert predict(sequential(layer), X[:1]).tolist() == [[-2] * 3]
    layer.update_state(X)
    assert type(Scaled.from_config(layer.get_config())) is Scaled
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    other = Scaled()
    other.build((None, 3))
    other.load_own_variables(store)
    assert values(other.factor).tolist() == [2]
    assert other.moments == layer.moments
    layer.adapt(X)
    assert values(layer.factor).tolist() == [2]


def test_inputs_are_left_alone() -> None:
    x = X.copy()
    adapted()(x)
    adapted().adapt(x)
    built().update_state(x)
    assert_same_bits(x, X)
