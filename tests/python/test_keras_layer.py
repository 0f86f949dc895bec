"""exactnorm.keras.Normalization: what it is made with, and what it learns. On any backend."""

from __future__ import annotations

import itertools
import json
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.keras import Normalization
from keras_support import BACKEND, X, adapted, built, keras, predict, sequential, values
from support import NDArray, assert_same_bits, finite_values

tensor = keras.ops.convert_to_tensor

# Keras's own variables, as numpy 2 sees them
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


# ---- the documented examples of Keras 2.7


def test_global_mean_and_variance() -> None:
    layer = adapted(np.array([1, 2, 3, 4, 5], "float32"), axis=None)
    expected = np.array([-1.4142135, -0.70710677, 0], "float32")
    assert_same_bits(values(layer(np.array([1, 2, 3], "float32"))), expected)


def test_mean_and_variance_for_each_index() -> None:
    """The page prints [0, 0, 0]; mean [1, 8, 5] and variance 1 give this."""
    layer = adapted()
    assert_same_bits(values(layer(X[:1])), np.array([[-1, -1, -1]], "float32"))
    assert values(layer.mean).tolist() == [[1, 8, 5]]
    assert values(layer.variance).tolist() == [[1, 1, 1]]


def test_given_mean_and_variance() -> None:
    layer = Normalization(mean=3.0, variance=2.0)
    x = np.array([[1.0], [2.0], [3.0]], "float32")
    assert_same_bits(values(layer(x)), np.array([[-1.4142135], [-0.70710677], [0]], "float32"))
    assert not layer.is_adapted
    assert layer.weights == []


def test_several_adapts_of_a_model() -> None:
    layer = adapted([0, 2], axis=None)
    model = keras.Sequential([layer])
    assert predict(model, np.array([0, 1, 2])).tolist() == [-1, 0, 1]
    layer.adapt([-1, 1])
    assert predict(model, np.array([0, 1, 2])).tolist() == [0, 1, 2]  # at once
    model.compile()  # as Keras 2.7 wanted
    assert predict(model, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_several_adapts_and_maps() -> None:
    tf = pytest.importorskip("tensorflow")
    layer = adapted([0, 2], axis=None)
    input_ds = tf.data.Dataset.range(3)
    assert [z.tolist() for z in input_ds.map(layer).as_numpy_iterator()] == [[-1], [0], [1]]
    layer.adapt([-1, 1])
    assert [z.tolist() for z in input_ds.map(layer).as_numpy_iterator()] == [[0], [1], [2]]


# ---- axis and build


@pytest.mark.parametrize(
    ("axis", "as_tuple", "shape"),
    [
        (-1, (-1,), (1, 1, 4)),
        (None, (), (1, 1, 1)),
        (1, (1,), (1, 3, 1)),
        ([2, 1], (2, 1), (1, 3, 4)),
        ((-1, 0), (-1, 0), (2, 1, 4)),
        (range(3), (0, 1, 2), (2, 3, 4)),
    ],
)
def test_axis(axis: Any, as_tuple: tuple[int, ...], shape: tuple[int, ...]) -> None:
    x = finite_values("float32", (2, 3, 4), 0) / np.float32(1e30)
    layer = adapted(x, axis=axis)
    plain = en.Normalization(axis=axis)
    plain.adapt(x)
    assert layer.axis == as_tuple
    assert values(layer.mean).shape == values(layer.variance).shape == shape
    assert layer.moments == en.Moments.from_data(x, axis)
    assert layer.moments.digest == plain.moments.digest
    features = tuple(extent for extent in shape if extent != 1)
    assert [tuple(w.shape) for w in layer.weights] == [features, features, ()]
    for weight, reading in zip(layer.weights, (plain.mean, plain.variance), strict=False):
        if BACKEND != "tensorflow":  # which may flush subnormals
            assert_same_bits(values(weight), reading.reshape(features))
    assert int(layer.count) == plain.count


@pytest.mark.parametrize(
    ("axis", "shape", "match"),
    [
        (2, (None, 3), "2"),
        (-3, (None, 3), "-3"),
        ((-1, 3), (1, 1, 1, 4), "twice|distinct|same"),
        (-1, (3, None), r"axis.*None.*index 1"),
        (-1, (), "0|rank"),
    ],
)
def test_build_refuses(axis: Any, shape: tuple[int | None, ...], match: str) -> None:
    layer = Normalization(axis=axis)
    with pytest.raises(ValueError, match=match):
        layer.build(shape)
    assert not layer.built
    assert layer.weights == []
    assert layer.mean is layer.variance is None
    assert layer.count == 0


def test_build_fixes_kept_extents() -> None:
    layer = built(axis=-1)
    layer.build([7, 3])
    assert values(layer.mean).tolist() == [[0, 0, 0]]
    assert values(layer.variance).tolist() == [[1, 1, 1]]
    layer.update_state(X)
    before, count = layer.get_weights(), layer.moments
    for wrong in ((None, 4), (None, None, 3), (3,)):
        with pytest.raises(ValueError, match=r"None, 3.*got"):
            layer.build(wrong)
        with pytest.raises(ValueError, match=r"None, 3.*got"):
            layer.compute_output_shape(wrong)
    for call in (layer.adapt, layer.update_state, layer.forget, layer, layer.inverse):
        for shape in ((2, 4), (2, 2, 3), (3,)):
            with pytest.raises(ValueError, match=r"None, 3.*got"):
                call(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match=r"None, 3.*got.*None, 4"):
        layer(keras.Input((4,)))
    assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), before, strict=True))
    assert layer.moments == count


def test_reduced_axes_may_change_length() -> None:
    layer = adapted(np.arange(24.0).reshape(2, 3, 4), axis=-1)
    assert values(layer(np.zeros((5, 1, 4)))).shape == (5, 1, 4)
    assert layer.compute_output_shape((None, None, 4)) == (None, None, 4)
    assert Normalization().compute_output_shape((None, 2)) == (None, 2)


def test_one_dimension_with_the_default_axis_warns() -> None:
    with pytest.warns(RuntimeWarning, match="axis=None") as warned:
        layer = adapted([1.0, 2.0])
    assert [w.filename for w in warned] == [adapted.__code__.co_filename]
    assert values(layer.mean).shape == (2,)
    with pytest.warns(RuntimeWarning, match="axis=None") as warned:
        Normalization().build((2,))
    assert warned[0].filename == __file__


def test_given_values_broadcast_by_both_rules() -> None:
    """Keras 2.7 broadcasts to the kept shape, Keras 3 aligns right to left: the same, here and there."""
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 4)).astype("float32")
    for axis, mean, variance, shape in [
        ((1, 3), [1.0, 2.0, 3.0, 4.0], [4.0, 4.0, 4.0, 1.0], (1, 1, 1, 4)),
        ((1, 3), np.ones((3, 4)), np.full((3, 4), 4.0), (1, 3, 1, 4)),
        ((1, 3), 0.5, 4.0, ()),
        ((1, 3), 0.5, [[4.0], [1.0], [16.0]], (1, 3, 1, 1)),  # which Keras refuses
        (None, 0.5, 4.0, ()),
    ]:
        layer = Normalization(axis=axis, mean=mean, variance=variance)
        shift = np.reshape(mean, shape) if np.ndim(mean) else mean
        expected = (x - shift) / np.sqrt(np.reshape(variance, shape))
        assert_same_bits(values(layer(x)), expected.astype("float32"))
    layer = Normalization(mean=0.1, variance=0.05)  # keras 20624: scalars and an image
    assert tuple(layer(keras.Input((16, 16, 3))).shape) == (None, 16, 16, 3)
    many = np.arange(8.0).reshape(2, 4)  # keras 22065: several kept axes with a reduced one between
    layer = Normalization(axis=(1, 3), mean=many, variance=many + 1)
    assert tuple(layer(keras.Input((2, 3, 4))).shape) == (None, 2, 3, 4)
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        Normalization(mean=[1.0, 2.0], variance=1.0).build((None, 3))


@pytest.mark.parametrize(
    ("mean", "variance", "match"),
    [
        (1.0, None, "both `mean` and `variance` must be set"),
        (None, 1.0, "both `mean` and `variance` must be set"),
        (0.0, -1.0, "variance"),
        (0.0, [1.0, np.nan], "variance"),
    ],
)
def test_given_values_refused(mean: Any, variance: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Normalization(mean=mean, variance=variance)


def test_variables_are_no_given_values() -> None:
    with pytest.raises(ValueError, match="Variable"):
        Normalization(mean=keras.Variable(1.0), variance=1.0)


def test_given_values_are_not_learned_over() -> None:
    layer = built(mean=1.0, variance=2.0)

    def never() -> Iterator[NDArray]:
        raise AssertionError
        yield

    for learn in (layer.adapt, layer.update_state, layer.forget):
        with pytest.raises(ValueError, match="Cannot"):
            learn(never())
    with pytest.raises(ValueError, match="Cannot"):
        layer.merge_state([adapted()])
    with pytest.raises(ValueError, match="mean and variance"):
        adapted().merge_state(layer)
    layer.reset_state()
    layer.finalize_state()
    assert values(layer.mean).tolist() == [[1, 1, 1]]
    assert values(layer.variance).tolist() == [[2, 2, 2]]
    assert (layer.count, layer.is_adapted, layer.input_mean, layer.input_variance) == (0, False, 1, 2)
    with pytest.raises(RuntimeError, match="mean and variance"):
        layer.moments  # noqa: B018


def test_arguments_of_any_layer() -> None:
    with pytest.warns(UserWarning, match="input_shape"):  # Keras's advice
        layer = Normalization(input_shape=(3,), name="scale", trainable=False, dtype="float32")
    assert (layer.name, layer.trainable) == ("scale", False)
    model = keras.Sequential([layer])
    assert model.built
    layer.adapt(X)
    assert predict(model, X[:1]).tolist() == [[-1, -1, -1]]
    assert [w.name for w in layer.weights] == ["mean", "variance", "count"]
    assert layer.trainable_weights == built().trainable_weights == []
    with pytest.raises(ValueError, match="axes"):
        Normalization(axes=1)
    with pytest.raises(ValueError, match="nan_policy"):
        Normalization(nan_policy="ignore")  # type: ignore[arg-type]
    for dtype in ("int32", "uint8", "bool"):
        with pytest.raises(ValueError, match="dtype"):
            Normalization(dtype=dtype)


# ---- states


def test_states_of_a_layer() -> None:
    layer = Normalization()
    with pytest.raises(RuntimeError, match="built"):
        layer.update_state(X)
    with pytest.raises(RuntimeError, match="built"):
        layer.forget(X)
    layer.finalize_state()
    layer.reset_state()
    layer.build((None, 3))
    layer.update_state(X)
    assert int(layer.count) == 4
    assert values(layer.mean).tolist() == [[0, 0, 0]]  # calls see it after finalize_state
    layer.finalize_state()
    assert values(layer.mean).tolist() == [[1, 8, 5]]
    assert not layer.is_adapted  # as Keras 2.7
    layer.adapt(X)
    assert layer.is_adapted
    layer.update_state(X + 2)
    assert int(layer.count) == 8
    assert values(layer(X[:1])).tolist() == [[-1, -1, -1]]
    layer.finalize_state()
    assert values(layer.mean).tolist() == [[2, 9, 6]]
    assert layer.is_adapted
    layer.reset_state()
    assert (int(layer.count), layer.is_adapted) == (0, False)
    assert values(layer.mean).tolist() == [[2, 9, 6]]  # until finalize_state
    layer.finalize_state()
    assert values(layer.mean).tolist() == [[0, 0, 0]]
    assert values(layer.variance).tolist() == [[1, 1, 1]]


def test_unadapted_calls_are_the_identity_with_one_warning() -> None:
    """keras 16296: a layer that was never adapted, or whose adapt was forgotten, says so."""
    layer = Normalization(name="scale")
    model = sequential(layer)  # a graph is no call
    tuple(model(keras.Input((3,))).shape)
    with pytest.warns(RuntimeWarning, match="'scale'.*not adapted") as warned:
        assert_same_bits(values(layer(X)), X)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert_same_bits(values(layer(X)), X)
    forgotten = adapted()
    forgotten.reset_state()
    assert values(forgotten(X[:1])).tolist() == [[-1, -1, -1]]
    forgotten.finalize_state()
    with pytest.warns(RuntimeWarning, match="not adapted"):
        forgotten(X)


def test_adapt_is_all_or_nothing() -> None:
    layer = adapted()
    layer.update_state(X[:1])
    weights, moments = layer.get_weights(), layer.moments

    def batches(last: Any) -> Iterator[Any]:
        yield from itertools.repeat(X, 9)
        if isinstance(last, BaseException):
            raise last
        yield last

    failures: list[tuple[Any, type[BaseException]]] = [
        (KeyError("gone"), KeyError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (np.zeros((2, 4)), ValueError),
        (np.array([["a"]]), TypeError),
    ]
    for last, error in failures:
        for learn in (layer.adapt, layer.update_state, layer.forget):
            with pytest.raises(error):
                learn(batches(last))
    for empty in ([], np.empty((0, 3)), iter([])):
        with pytest.raises(ValueError, match=r"nothing to learn|no value|built"):
            layer.adapt(empty)
    with pytest.raises(ValueError, match=r"feature 2.*NaN"):
        adapted(nan_policy="raise").adapt(np.where(np.arange(3) == 2, np.nan, X))
    assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), weights, strict=True))
    assert layer.moments == moments
    assert layer.is_adapted
    fresh = Normalization()
    with pytest.raises(KeyError):
        fresh.adapt(batches(KeyError("gone")))
    assert not fresh.built


def test_merge_state_and_forget() -> None:
    """keras 16325: statistics of several workers merge, exactly."""
    parts = [adapted(X[:1]), adapted(X[1:3]), adapted(X[3:])]
    layer = adapted(X[:1])
    layer.merge_state(parts[1:])
    assert layer.moments == en.Moments.from_data(X)
    assert_same_bits(values(layer.mean), values(adapted().mean))
    fresh = Normalization()
    fresh.merge_state(part for part in parts)
    assert fresh.moments == layer.moments
    assert fresh.is_adapted
    assert int(fresh.count) == 4
    assert values(fresh(X[:1])).tolist() == [[-1, -1, -1]]
    plain = en.Normalization()
    plain.adapt(X)
    fresh.merge_state(plain)
    assert int(fresh.count) == 8
    fresh.forget(X)
    fresh.forget(parts[0].moments)
    fresh.forget(iter([X[1:2], X[2:]]))
    assert (int(fresh.count), fresh.is_adapted) == (0, False)
    assert values(fresh.mean).tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match="feature"):
        parts[0].forget(X + 1)
    with pytest.raises(ValueError, match=r"3.*4|4.*3"):
        parts[0].merge_state(adapted(np.ones((2, 4))))
    with pytest.raises(RuntimeError, match="not built"):
        parts[0].merge_state([Normalization()])
    with pytest.raises(TypeError, match="Moments"):
        parts[0].merge_state([parts[0].moments])
    assert parts[0].moments == en.Moments.from_data(X[:1])
    Normalization().merge_state([])


def test_moments_go_in_and_out() -> None:
    layer = adapted()
    moments = layer.moments
    moments.update(X)
    assert int(layer.count) == 4  # a copy
    taught = adapted(en.Moments.from_data(X, axis=None), axis=None)
    assert taught.is_adapted
    assert taught.moments == en.Moments.from_data(X, axis=None)
    layer.update_state(en.Moments.from_data(X))
    layer.adapt(en.Moments.from_data(X), verbose=1)
    assert int(layer.count) == 4
    with pytest.raises(ValueError, match="mask"):
        layer.adapt(moments, mask=[True])


# ---- weights that somebody else writes


def test_weights_go_to_and_from_keras() -> None:
    theirs = keras.layers.Normalization()
    theirs.adapt(X)
    layer = built()
    layer.set_weights(theirs.get_weights())
    assert_same_bits(values(layer(X)), values(theirs(X)))
    theirs.set_weights(adapted(X * 2).get_weights())
    theirs.finalize_state()
    assert values(theirs(X[1:2] * 2)).tolist() == [[1, 1, 1]]


def test_weights_set_from_outside_have_no_data_to_learn_on_top_of() -> None:
    layer = adapted()
    layer.set_weights([w + 1 for w in layer.get_weights()])
    assert values(layer.mean).tolist() == [[2, 9, 6]]
    assert layer.is_adapted  # unchanged
    for call in (
        lambda: layer.update_state(X),
        lambda: layer.merge_state(adapted()),
        lambda: adapted().merge_state(layer),
        lambda: layer.forget(X),
        lambda: layer.moments,
    ):
        with pytest.raises(RuntimeError, match=r"set from outside.*adapt or reset_state"):
            call()
    layer.finalize_state()  # takes the weights
    assert values(layer.mean).tolist() == [[2, 9, 6]]
    layer.reset_state()
    assert not layer.is_adapted
    layer.update_state(X)
    assert values(layer.mean).tolist() == [[2, 9, 6]]
    layer.finalize_state()
    assert values(layer.mean).tolist() == [[1, 8, 5]]
    layer.set_weights([w + 1 for w in layer.get_weights()])
    layer.adapt(X)
    assert layer.moments == en.Moments.from_data(X)
    layer.set_weights(layer.get_weights())  # which changes nothing
    layer.update_state(X)
    assert int(layer.count) == 8
    model = sequential(layer)
    model.set_weights([w * 2 for w in model.get_weights()])  # does not ask the layer
    with pytest.raises(RuntimeError, match="set from outside"):
        layer.update_state(X)


# ---- adapt's arguments, and data of every kind


def test_batch_size_and_steps() -> None:
    x = np.arange(100.0)[:, None]
    everything = en.Moments.from_data(x)
    for options in ({"batch_size": 7}, {"steps": 3}, {"batch_size": 1000}):
        layer = Normalization()
        layer.adapt(x, **options)
        assert layer.moments == everything
    layer.adapt(x, 10, 3)
    assert layer.moments == en.Moments.from_data(x[:30])
    with pytest.warns(UserWarning, match="100 of the 128 rows") as warned:
        layer.adapt(x, batch_size=32, steps=4)
    assert warned[0].filename == __file__
    layer.adapt(itertools.repeat(x), steps=3)
    assert int(layer.count) == 300
    with pytest.raises(ValueError, match="infinite"):
        layer.adapt(itertools.repeat(x))
    with pytest.warns(UserWarning, match="2 of the 5 batches"):
        layer.adapt([x, x], steps=5)
    with pytest.warns(UserWarning, match="batch_size is ignored") as warned:
        layer.adapt([x, x], batch_size=3)
    assert warned[0].filename == __file__
    for name in ("batch_size", "steps"):
        with pytest.raises(ValueError, match=name):
            layer.adapt(x, **{name: 0})
        with pytest.raises(TypeError, match=name):
            layer.adapt(x, **{name: 1.5})


def test_compile_checks_its_arguments() -> None:
    layer = Normalization()
    layer.compile()
    layer.compile(run_eagerly=True, steps_per_execution=2)
    with pytest.raises(TypeError, match="run_eagerly"):
        layer.compile(run_eagerly=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps_per_execution"):
        layer.compile(steps_per_execution=0)


class Labelled(keras.utils.PyDataset):  # type: ignore[misc]
    """keras 21300."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> tuple[NDArray, NDArray]:
        return X[2 * index : 2 * index + 2], np.zeros(2)


def test_data_of_every_kind_have_the_same_digest() -> None:
    digest = en.Moments.from_data(X).digest
    sources: list[Any] = [
        X,
        X.tolist(),
        tensor(X),
        (X, np.zeros(4)),
        [X[:2], X[2:]],
        [tensor(X[:2]), tensor(X[2:])],
        (batch for batch in (X[:1], X[1:])),
        [(tensor(X[:2]), 0), (X[2:], 1)],
        iter(X),
        Labelled(),
        {"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]},
    ]
    for data in sources:
        assert adapted(data).moments.digest == digest, data
    integers = np.arange(12, dtype="uint8").reshape(4, 3)
    assert adapted(tensor(integers)).moments == en.Moments.from_data(integers)


def test_data_sets_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    digest = en.Moments.from_data(X).digest
    rows = tf.data.Dataset.from_tensor_slices(X)
    labelled = tf.data.Dataset.from_tensor_slices((X, [0, 1, 2, 3], [1, 0, 0, 1]))
    for data in (rows, rows.batch(3), labelled, labelled.batch(3), tf.constant(X)):
        assert adapted(data).moments.digest == digest
    numbers = tf.data.Dataset.range(3)
    for data in (numbers, numbers.batch(2)):
        assert adapted(data, axis=None).moments == en.Moments.from_data([0, 1, 2])
    weighted = Normalization()
    weighted.adapt(labelled.batch(3), use_sample_weight=True)
    assert weighted.moments == en.Moments.from_data(X, weights=[1, 0, 0, 1])
    with pytest.raises(ValueError, match="infinite"):
        weighted.adapt(rows.batch(2).repeat())
    weighted.adapt(rows.batch(2).repeat(), steps=3)
    assert int(weighted.count) == 6


def test_data_loaders_of_torch() -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.zeros(4))
    layer = adapted(torch.utils.data.DataLoader(data, batch_size=3))
    assert layer.moments == adapted(torch.from_numpy(X)).moments == en.Moments.from_data(X)


def test_ragged_and_sparse_tensors_are_refused() -> None:
    tf = pytest.importorskip("tensorflow")
    torch = pytest.importorskip("torch")
    sparse = pytest.importorskip("scipy.sparse")
    layer = adapted()
    for uneven in (
        tf.ragged.constant([[1.0, 2.0, 3.0], [1.0]]),
        tf.sparse.from_dense(X),
        torch.from_numpy(X).to_sparse(),
        sparse.csr_matrix(X),
        sparse.csr_array(X),
    ):
        for call in (layer, layer.inverse, layer.adapt, layer.update_state):
            with pytest.raises(TypeError, match=r"dense.*got"):
                call(uneven)
        with pytest.raises(TypeError, match=r"dense.*got"):
            layer.adapt(iter([X, uneven]))
    with pytest.raises(TypeError, match=r"dense.*got"):
        layer.adapt(tf.data.Dataset.from_tensors(tf.sparse.from_dense(X)))
    assert layer.moments == en.Moments.from_data(X)


def test_a_progress_bar_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    layer = Normalization()
    layer.adapt(iter([X, X]))
    assert capsys.readouterr().out == ""
    layer.adapt(iter([X, X, X]), verbose=1)
    assert "3/3" in capsys.readouterr().out
    layer.adapt(itertools.repeat(X), steps=2, verbose=1)
    assert "2/2" in capsys.readouterr().out
    layer.adapt(X, verbose=1)
    assert "1/1" in capsys.readouterr().out


# ---- masks


def test_masked_values_do_not_count() -> None:
    """keras 15451."""
    x = np.array([[[1.0], [2.0], [99.0]], [[3.0], [99.0], [99.0]]], "float32")
    mask = x[..., 0] != 99
    expected = en.Moments.from_data(x, where=mask)
    assert expected.count.tolist() == [3]
    masked = keras.layers.Masking(99.0)(tensor(x))
    layer = Normalization()
    for data in (masked, (masked, 0), iter([masked]), [masked], iter([(masked, 0)])):
        layer.adapt(data)
        assert layer.moments == expected
    layer.adapt(x, mask=mask)
    assert layer.moments == expected
    layer.adapt(x.tolist(), mask=mask.tolist())
    assert layer.moments == expected
    layer.adapt(iter([masked, x]))
    assert layer.moments == expected + en.Moments.from_data(x)
    layer.forget(x)
    layer.update_state(masked)
    layer.update_state(x, mask=mask)
    layer.forget(masked)
    layer.forget(x, mask=mask)
    assert layer.moments == expected
    layer.adapt((x, 0, [2, 1]), mask=mask, use_sample_weight=True)
    assert layer.moments == en.Moments.from_data(x, where=mask, weights=[2, 1])
    with pytest.raises(ValueError, match="sample_weight"):
        layer.adapt(x, mask=mask, use_sample_weight=True)
    with pytest.raises(ValueError, match=r"table"):
        Normalization().adapt({"a": [1.0, 2.0]}, mask=[True, False])
    with pytest.raises(ValueError, match="not kept"):
        Normalization(axis=(0, 1)).adapt(X, mask=[True] * 4)
    with pytest.raises(ValueError, match="nothing to learn"):
        layer.adapt(x, mask=mask & False)
    plain = keras.layers.Normalization()
    plain.adapt(masked)
    assert values(plain.mean) == 1  # Masking has made zeros of them, and Keras counts those


def test_masks_pass_through() -> None:
    layer = adapted(np.ones((2, 3, 1)))
    assert layer.supports_masking
    seen = []

    class Watch(keras.layers.Layer):  # type: ignore[misc]
        supports_masking = True

        def call(self, inputs: Any, mask: Any = None) -> Any:
            seen.append(mask)
            return inputs

    Watch()(layer(keras.layers.Masking(0.0)(tensor(np.array([[[1.0], [0.0], [2.0]]], "float32")))))
    assert values(seen[0]).tolist() == [[True, False, True]]


# ---- policies, dtypes


def test_nan_and_infinity() -> None:
    x = X.copy()
    x[1, 1] = np.nan
    with pytest.warns(RuntimeWarning, match=r"feature 1.*1 NaN") as warned:
        layer = adapted(x)
    assert [w.filename for w in warned] == [adapted.__code__.co_filename]
    assert np.isnan(values(layer(X))).tolist() == [[False, True, False]] * 4
    layer.update_state(x)  # its weights are NaN, and still its own
    assert values(adapted(x, nan_policy="omit").mean)[0, 1] == np.float32(23 / 3)
    with pytest.raises(ValueError, match=r"feature 1.*1"):
        adapted(x, nan_policy="raise")
    x[1, 1] = np.inf
    with pytest.warns(RuntimeWarning, match="inf"):
        assert values(adapted(x).mean)[0, 1] == np.inf
    with pytest.raises(ValueError, match="feature 1"):
        adapted(x, inf_policy="raise")


def test_constant_features() -> None:
    """keras 20011: a constant feature times 10⁷ is what Keras gives, unless one asks for better."""
    x = np.array([[5.0, 1.0], [5.0, 2.0]], "float32")
    z = np.array([[6.0, 1.5]], "float32")
    assert values(adapted(x)(z)).tolist() == [[float(np.float32(1) / np.float32(1e-7)), 0]]
    assert values(adapted(x, epsilon=0.5)(z)).tolist() == [[2, 0]]
    layer = adapted(x, constant_policy="unit")
    assert values(layer(z)).tolist() == [[1, 0]]
    assert [w.name for w in layer.weights] == ["mean", "variance", "count", "divisor"]
    layer.reset_state()
    layer.finalize_state()
    assert values(layer.weights[3]).tolist() == [1, 1]
    given = Normalization(mean=[1.0, 2.0], variance=[0.0, 4.0], constant_policy="unit")
    assert values(given(z)).tolist() == [[5, -0.25]]
    with pytest.raises(ValueError, match="feature 0"):
        adapted(x, constant_policy="raise")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((50, 40)), np.ones((50, 1))], 1).astype("float32")
    plain = en.Normalization(constant_policy="unit")
    plain.adapt(x)
    assert_same_bits(values(adapted(x, constant_policy="unit").inverse(x)), plain.inverse(x))


def test_epsilon_is_that_of_keras() -> None:
    layer, fixed = adapted(np.ones((2, 1))), adapted(np.ones((2, 1)), epsilon=0.25)
    assert values(layer(np.full((1, 1), 2.0))) == np.float32(1) / np.float32(1e-7)
    keras.config.set_epsilon(0.5)
    try:
        assert values(layer(np.full((1, 1), 2.0))) == 2
        assert values(fixed(np.full((1, 1), 2.0))) == 4
    finally:
        keras.config.set_epsilon(1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16", "mixed_bfloat16", "bfloat16"])
def test_weights_are_float32_at_least(policy: str) -> None:
    x = np.array([[1000.0, 1.0], [1000.5, 3.0]], "float32")
    layer = adapted(x, dtype=policy)
    assert [keras.backend.standardize_dtype(w.dtype) for w in layer.weights[:2]] == ["float32"] * 2
    assert values(layer.weights[0]).tolist() == [1000.25, 2]
    assert layer.moments == en.Moments.from_data(x)  # whatever the policy
    compute = policy.removeprefix("mixed_")
    for result in (layer(x), layer.inverse(x), layer.mean, sequential(layer, shape=(2,))(x)):
        assert keras.backend.standardize_dtype(result.dtype) == compute
    assert layer(keras.Input((2,))).dtype == compute


def test_overflow_of_float16_warns() -> None:
    x = np.array([[1000.0, 1.0], [2000.0, 3.0]], "float32")
    with pytest.warns(RuntimeWarning, match=r"float16.*feature 0") as warned:
        adapted(x, dtype="mixed_float16")
    assert [w.filename for w in warned] == [adapted.__code__.co_filename]
    assert "feature 1" not in str(warned[0].message)
    with pytest.warns(RuntimeWarning, match="float16.*'a'"):
        adapted({"a": x[:, 0], "b": x[:, 1]}, dtype="mixed_float16")
    with pytest.warns(RuntimeWarning, match="float16"):
        built(mean=0.0, variance=1e6, dtype="float16")


def test_a_warning_made_an_error_finds_weights_and_moments_agreeing() -> None:
    holed = X.copy()
    holed[0, 1] = np.nan
    other = adapted(X, nan_policy="omit")
    other.update_state(holed)

    def pending() -> Normalization:
        layer = adapted()
        layer.update_state(holed)
        return layer

    learning: list[tuple[Normalization, Callable[[Normalization], None], str]] = [
        (adapted(), lambda layer: layer.adapt(holed), "1 NaN"),
        (Normalization(), lambda layer: layer.adapt(holed), "1 NaN"),
        (adapted(), lambda layer: layer.merge_state(other), "1 NaN"),
        (pending(), lambda layer: layer.finalize_state(), "1 NaN"),
        (pending(), lambda layer: layer.forget(X), "1 NaN"),
        (adapted(dtype="float16"), lambda layer: layer.adapt(holed), "1 NaN"),
        (Normalization(dtype="float16"), lambda layer: layer.adapt(X * 1e5), "too large for float16"),
    ]
    for layer, learn, message in learning:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            with pytest.raises(RuntimeWarning, match=message):
                learn(layer)
        assert_same_bits(values(layer.adapt_mean), layer.moments.mean("float32"))
        assert_same_bits(values(layer.adapt_variance), layer.moments.variance("float32"))
        assert int(layer.count) == layer.moments.count[0]
        assert len(layer.weights) == 3
        assert layer.is_adapted

    for dtype, variance in (("float32", 1e300), ("float16", 1e6)):
        given = Normalization(mean=0.0, variance=variance, dtype=dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning, match=r"too large for|float32"):
                given.build((None, 3))
        given.build((None, 3))
        assert (values(given(X)) == 0).all()


# ---- precision


def test_no_drift() -> None:
    """numpy 22956, and Keras's running mean of batches."""
    ones = np.broadcast_to(np.float32(1), (20_000_000, 2))
    layer = adapted(ones)
    assert values(layer.mean).tolist() == [[1, 1]]
    assert values(layer.variance).tolist() == [[0, 0]]
    assert int(layer.count) == 20_000_000
    theirs = keras.layers.Normalization()
    theirs.adapt(ones)
    assert values(theirs.mean).max() < 0.9

    far = np.random.default_rng(0).normal(1e6, 1, (64, 1024, 1)).astype("float32")
    truth = en.Moments.from_data(far.reshape(-1, 1))
    mine = adapted(iter(far))
    assert_same_bits(values(mine.weights[1]), truth.variance("float32"))
    theirs = keras.layers.Normalization()
    theirs.adapt(iter(far))
    assert abs(float(values(theirs.variance).item()) / float(truth.variance()[0]) - 1) > 0.01


# ---- configuration, names


def test_config_round_trip() -> None:
    options: dict[str, Any] = {
        "axis": [1, -1],
        "mean": None,
        "variance": None,
        "invert": True,
        "epsilon": 1e-3,
        "nan_policy": "omit",
        "inf_policy": "raise",
        "constant_policy": "unit",
        "name": "scale",
    }
    layer = Normalization(**options)
    config = layer.get_config()
    assert options.items() <= config.items()
    same = Normalization.from_config(json.loads(json.dumps(config)))
    assert same.get_config() == config
    assert (same.axis, same.invert, same.name) == ((1, -1), True, "scale")
    given = Normalization(mean=np.arange(3.0), variance=2)
    again = Normalization.from_config(json.loads(json.dumps(given.get_config())))
    assert_same_bits(values(again(X)), values(given(X)))
    assert Normalization(dtype="mixed_float16").get_config()["dtype"]["config"] == {"name": "mixed_float16"}


def test_where_it_is_found() -> None:
    from exactnorm.keras.experimental.preprocessing import Normalization as Old

    assert Old is Normalization
    assert issubclass(Normalization, keras.layers.Layer)
    assert keras.saving.get_registered_name(Normalization) == "exactnorm>Normalization"
    assert keras.saving.get_registered_object("exactnorm>Normalization") is Normalization
