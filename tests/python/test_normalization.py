"""Normalization: what Keras's layer does, point by point."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from support import NDArray, assert_same_bits, finite_values

X = np.array([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]], "float32")


def adapted(data: Any = X, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(data)
    return layer


# ---- the documented examples of Keras 2.7


def test_global_mean_and_variance() -> None:
    layer = adapted(np.array([1, 2, 3, 4, 5], "float32"), axis=None)
    expected = np.array([-1.4142135, -0.70710677, 0], "float32")
    assert_same_bits(layer(np.array([1, 2, 3], "float32")), expected)


def test_mean_and_variance_for_each_index() -> None:
    """The page prints [0, 0, 0]; mean [1, 8, 5] and variance 1 give this."""
    layer = adapted()
    assert_same_bits(layer(X[:1]), np.array([[-1, -1, -1]], "float32"))
    assert layer.mean.tolist() == [[1, 8, 5]]
    assert layer.variance.tolist() == [[1, 1, 1]]


def test_given_mean_and_variance() -> None:
    layer = en.Normalization(mean=3.0, variance=2.0)
    x = np.array([[1.0], [2.0], [3.0]], "float32")
    assert_same_bits(layer(x), np.array([[-1.4142135], [-0.70710677], [0]], "float32"))
    assert not layer.is_adapted


def test_several_adapts() -> None:
    layer = en.Normalization(axis=None)
    layer.adapt([0, 2])
    assert layer([0, 1, 2]).tolist() == [-1, 0, 1]
    assert [layer(x).tolist() for x in np.arange(3)] == [[-1], [0], [1]]  # as dataset.map(layer)
    layer.adapt([-1, 1])
    layer.compile()
    assert layer([0, 1, 2]).tolist() == [0, 1, 2]
    assert [layer(x).tolist() for x in range(3)] == [[0], [1], [2]]


# ---- axis and build


@pytest.mark.parametrize(
    ("axis", "as_tuple", "in_config", "shape"),
    [
        (-1, (-1,), -1, (1, 1, 4)),
        (None, (), None, (1, 1, 1)),
        (1, (1,), 1, (1, 3, 1)),
        (np.int64(1), (1,), 1, (1, 3, 1)),
        ((1, 2), (1, 2), [1, 2], (1, 3, 4)),
        ([2, 1], (2, 1), [2, 1], (1, 3, 4)),
        ((-1, 0), (-1, 0), [-1, 0], (2, 1, 4)),
        ((), (), [], (1, 1, 1)),
        (range(3), (0, 1, 2), [0, 1, 2], (2, 3, 4)),
    ],
)
def test_axis(axis: Any, as_tuple: tuple[int, ...], in_config: Any, shape: tuple[int, ...]) -> None:
    x = finite_values("float32", (2, 3, 4), 0) / np.float32(1e30)
    layer = adapted(x, axis=axis)
    assert layer.axis == as_tuple
    assert layer.get_config()["axis"] == in_config
    assert layer.mean.shape == layer.variance.shape == shape
    assert layer.moments == en.Moments.from_data(x, axis)
    assert_same_bits(layer.mean.ravel(), layer.moments.mean("float32").ravel())
    assert layer.count == x.size // layer.mean.size


@pytest.mark.parametrize(
    ("axis", "shape", "match"),
    [
        (2, (None, 3), "2"),
        (-3, (None, 3), "-3"),
        ((-1, 3), (1, 1, 1, 4), "twice|distinct|same"),
        (-1, (3, None), "None"),
        ((0, 1), (None, 3), "None"),
        (-1, (), "0|rank"),
    ],
)
def test_build_refuses(axis: Any, shape: tuple[int | None, ...], match: str) -> None:
    layer = en.Normalization(axis=axis)
    with pytest.raises(ValueError, match=match):
        layer.build(shape)
    assert not layer.built
    with pytest.raises(RuntimeError, match="not built"):
        layer.mean  # noqa: B018


def test_build_fixes_kept_extents() -> None:
    layer = en.Normalization()
    layer.build((None, 3))
    layer.build([7, 3])
    assert layer.built
    assert layer.mean.tolist() == [[0, 0, 0]]
    assert layer.variance.tolist() == [[1, 1, 1]]
    before = layer.to_bytes()
    for wrong in ((None, 4), (None, None, 3), (3,)):
        with pytest.raises(ValueError, match=r"None, 3.*got"):
            layer.build(wrong)
    for call in (layer.adapt, layer.update_state, layer, layer.inverse):
        for shape in ((2, 4), (2, 2, 3), (3,)):
            with pytest.raises(ValueError, match=r"None, 3.*got"):
                call(np.zeros(shape))
    assert layer.to_bytes() == before


def test_one_dimension_with_the_default_axis_warns() -> None:
    with pytest.warns(RuntimeWarning, match="axis=None") as warned:
        layer = adapted([1.0, 2.0])
    assert warned[0].filename == __file__
    assert layer.mean.shape == (2,)


# ---- given mean and variance


@pytest.mark.parametrize(
    "given",
    [
        (3.0, 2.0),
        ([1.0, 2.0, 3.0], 2.0),
        ([1.0, 2.0, 3.0], [1.0, 4.0, 9.0]),
        (np.ones((1, 3)), np.ones((1, 1), "f4")),
        (np.int8(3), True),
    ],
)
def test_given_values_broadcast(given: tuple[Any, Any]) -> None:
    layer = en.Normalization(mean=given[0], variance=given[1])
    layer.build((None, 3))
    mean, variance = (np.broadcast_to(np.asarray(v, "float32"), (1, 3)) for v in given)
    assert_same_bits(layer.mean, mean.copy())
    assert_same_bits(layer.variance, variance.copy())
    assert_same_bits(layer(X), (X - mean) / np.sqrt(variance))
    config = layer.get_config()
    assert config["mean"] == np.asarray(given[0], "float64").tolist()
    assert en.Normalization.from_config(json.loads(json.dumps(config))).get_config() == config


class Variable:
    def assign(self, value: Any) -> None: ...


@pytest.mark.parametrize(
    ("mean", "variance", "error", "match"),
    [
        (1.0, None, ValueError, "both"),
        (None, 1.0, ValueError, "both"),
        (0.0, -1.0, ValueError, "variance"),
        (0.0, [1.0, np.nan], ValueError, "variance"),
        ("a", 1.0, TypeError, "mean"),
        (0.0, 1j, TypeError, "variance"),
        (Variable(), 1.0, ValueError, "Variable"),
    ],
)
def test_given_values_refused(mean: Any, variance: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        en.Normalization(mean=mean, variance=variance)


def test_given_values_that_do_not_broadcast() -> None:
    layer = en.Normalization(mean=[1.0, 2.0], variance=1.0)
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        layer.build((None, 3))
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        layer(X)


def test_given_values_are_not_learned_over() -> None:
    layer = en.Normalization(mean=1.0, variance=2.0)

    def never() -> Iterator[NDArray]:
        raise AssertionError
        yield

    with pytest.raises(ValueError, match="Cannot `adapt`"):
        layer.adapt(never())
    layer.build((None, 3))
    for learn in (layer.update_state, layer.forget):
        with pytest.raises(ValueError, match="Cannot"):
            learn(never())
    with pytest.raises(ValueError, match="Cannot"):
        layer.merge_state([adapted()])
    with pytest.raises(ValueError, match="mean and variance"):
        adapted().merge_state(layer)
    layer.reset_state()
    layer.finalize_state()
    assert layer.mean.tolist() == [[1, 1, 1]]
    assert layer.count == 0
    with pytest.raises(RuntimeError, match="mean and variance"):
        layer.moments  # noqa: B018


@pytest.mark.parametrize(
    "options",
    [
        {"epsilon": -1.0},
        {"epsilon": np.nan},
        {"epsilon": np.inf},
        {"dtype": "int32"},
        {"dtype": "float8"},
        {"dtype": np.int64},
        {"nan_policy": "ignore"},
        {"inf_policy": ""},
        {"constant_policy": "one"},
    ],
)
def test_options_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        en.Normalization(**options)


# ---- state


def test_states_of_a_layer() -> None:
    layer = en.Normalization()
    with pytest.raises(RuntimeError, match="built"):
        layer.update_state(X)
    layer.finalize_state()
    layer.reset_state()
    layer.build((None, 3))
    layer.update_state(X)
    assert layer.count == 4
    assert layer.mean.tolist() == [[0, 0, 0]]  # calls see it after finalize_state
    layer.finalize_state()
    assert layer.mean.tolist() == [[1, 8, 5]]
    assert not layer.is_adapted  # as Keras 2.7
    layer.adapt(X)
    assert layer.is_adapted
    layer.update_state(X + 2)
    assert layer.count == 8
    assert layer.mean.tolist() == [[1, 8, 5]]
    layer.finalize_state()
    assert layer.mean.tolist() == [[2, 9, 6]]
    assert layer.is_adapted
    layer.reset_state()
    assert (layer.count, layer.is_adapted) == (0, False)
    assert layer.mean.tolist() == [[2, 9, 6]]  # until finalize_state
    layer.finalize_state()
    assert layer.mean.tolist() == [[0, 0, 0]]
    assert layer.variance.tolist() == [[1, 1, 1]]


def test_unadapted_calls_are_the_identity_with_one_warning() -> None:
    layer = en.Normalization(name="scale")
    with pytest.warns(RuntimeWarning, match="'scale'.*not adapted") as warned:
        assert_same_bits(layer(X), X)
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_same_bits(layer(X), X)


def test_adapt_is_all_or_nothing() -> None:
    layer = adapted()
    before = layer.to_bytes()

    def batches(last: Any) -> Iterator[Any]:
        yield from itertools.repeat(X, 999)
        if isinstance(last, BaseException):
            raise last
        yield last

    failures: list[tuple[Any, type[BaseException]]] = [
        (KeyError("gone"), KeyError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (np.zeros((2, 4)), ValueError),
        (np.array([["a"]]), TypeError),
        ("text", TypeError),
    ]
    for last, error in failures:
        with pytest.raises(error):
            layer.adapt(batches(last))
        with pytest.raises(error):
            layer.update_state(batches(last))
        assert layer.to_bytes() == before
    for empty in ([], np.empty((0, 3)), iter([]), np.ma.masked_all((4, 3))):
        with pytest.raises(ValueError, match=r"nothing to learn|no value|built"):
            layer.adapt(empty)
        assert layer.to_bytes() == before
    with pytest.raises(ValueError, match="feature 1"):
        layer.adapt(np.ma.MaskedArray(X, mask=[[0, 1, 0]] * 4))
    with pytest.raises(ValueError, match=r"feature 2.*NaN"):
        adapted(nan_policy="raise").adapt(np.where(np.arange(3) == 2, np.nan, X))
    assert layer.to_bytes() == before


def test_merge_state_and_forget() -> None:
    parts = [adapted(X[:1]), adapted(X[1:3]), adapted(X[3:])]
    layer = adapted(X[:1])
    layer.merge_state(parts[1:])
    assert layer.moments == en.Moments.from_data(X)
    assert_same_bits(layer(X), adapted()(X))
    assert layer.is_adapted
    fresh = en.Normalization()
    fresh.merge_state(part for part in parts)
    assert fresh.moments == layer.moments
    layer.merge_state(layer)
    assert layer.count == 8
    layer.forget(X)
    assert layer.moments == en.Moments.from_data(X)
    layer.forget(parts[0].moments)
    layer.forget(iter([X[1:2], X[2:]]))
    assert (layer.count, layer.is_adapted) == (0, False)
    before = parts[0].to_bytes()
    with pytest.raises(ValueError, match="feature"):
        parts[0].forget(X + 1)
    with pytest.raises(ValueError, match=r"3.*4|4.*3"):
        parts[0].merge_state(adapted(np.ones((2, 4))))
    with pytest.raises(RuntimeError, match="not built"):
        parts[0].merge_state([en.Normalization()])
    with pytest.raises(TypeError, match="Moments"):
        parts[0].merge_state([parts[0].moments])  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="not built"):
        en.Normalization().forget(X)
    assert parts[0].to_bytes() == before


def test_moments_go_in_and_out() -> None:
    layer = adapted()
    moments = layer.moments
    moments.update(X)
    assert layer.count == 4  # a copy
    for axis, m in ((-1, en.Moments.from_data(X)), (None, en.Moments.from_data(X, axis=None))):
        taught = adapted(m, axis=axis)
        assert taught.moments == m
        assert taught.is_adapted
    assert_same_bits(adapted(en.Moments.from_data(X))(X), layer(X))
    layer.update_state(en.Moments.from_data(X))
    assert layer.count == 8
    pictures = en.Normalization(axis=(1, 2))
    pictures.adapt(en.Moments.from_data(np.ones((5, 2, 3)), axis=(1, 2)))
    assert pictures.mean.shape == (1, 2, 3)
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)|\(4,\).*\(3,\)"):
        layer.adapt(en.Moments.from_data(np.ones((2, 4))))
    with pytest.raises(ValueError, match="nothing to learn"):
        en.Normalization().adapt(en.Moments(shape=3))


def test_names_travel() -> None:
    layer = adapted({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    assert layer.names == layer.moments.names == ("a", "b")
    layer.update_state({"b": [5.0], "a": [0.0]})
    assert layer.moments.count.tolist() == [3, 3]
    assert layer({"b": [3.5], "a": [1.5]}).tolist() == [[0, 0]]
    for call in (layer.update_state, layer.forget, layer):
        with pytest.raises(ValueError, match="missing 'b'; unexpected 'c'"):
            call({"a": [1.0], "c": [1.0]})
    layer.adapt({"c": [1.0, 2.0], "a": [3.0, 4.0]})  # adapt forgets names
    assert layer.names == ("c", "a")
    layer.adapt(np.ones((2, 2)))
    assert layer.names is None
    everything = adapted({"a": [1.0, 2.0], "b": [3.0, 6.0]}, axis=None)
    assert everything.mean.tolist() == [[3.0]]
    np.testing.assert_array_equal(everything({"a": [3.0], "b": [3.0]}), [[0.0, 0.0]])


# ---- adapt's arguments


def test_batch_size_and_steps_of_arrays() -> None:
    x = np.arange(100.0)[:, None]
    everything = en.Moments.from_data(x)
    for options in ({"batch_size": 7}, {"steps": 3}, {"batch_size": 1000}):
        layer = en.Normalization()
        layer.adapt(x, **options)
        assert layer.moments == everything
    for data in (x, x.tolist(), {"x": x[:, 0]}, (x, None), x.astype(">f8")):
        layer = en.Normalization()
        layer.adapt(data, batch_size=10, steps=3)
        assert layer.moments.digest == en.Moments.from_data(x[:30]).digest
    with pytest.warns(UserWarning, match="100 of the 128 rows") as warned:
        layer.adapt(x, batch_size=32, steps=4)
    assert warned[0].filename == __file__
    assert layer.moments == everything


def test_batch_size_and_steps_of_streams() -> None:
    layer = en.Normalization()
    layer.adapt(itertools.repeat(X), steps=3)
    assert layer.count == 12
    with pytest.raises(ValueError, match="infinite"):
        layer.adapt(itertools.repeat(X))
    with pytest.warns(UserWarning, match="2 of the 5 batches"):
        layer.adapt([X, X], steps=5)
    assert layer.count == 8
    with pytest.warns(UserWarning, match="batch_size is ignored") as warned:
        layer.adapt([X, X], batch_size=3)
    assert warned[0].filename == __file__
    taken: list[int] = []
    layer.adapt((taken.append(i) or X for i in range(10)), steps=2)
    assert taken == [0, 1]  # not one too many


@pytest.mark.parametrize("name", ["batch_size", "steps"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("1", TypeError)]
)
def test_bad_batch_size_and_steps(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        en.Normalization().adapt(X, **{name: value})


def test_compile_checks_its_arguments() -> None:
    layer = en.Normalization()
    layer.compile()
    layer.compile(run_eagerly=True, steps_per_execution=2)
    with pytest.raises(TypeError, match="run_eagerly"):
        layer.compile(run_eagerly=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps_per_execution"):
        layer.compile(steps_per_execution=0)
    with pytest.raises(TypeError, match="steps_per_execution"):
        layer.compile(steps_per_execution=1.0)  # type: ignore[arg-type]


def test_elements_of_streams() -> None:
    """A row, or a number, is a batch of one, as in Keras 3."""
    rows = adapted(iter(X))
    assert rows.moments == en.Moments.from_data(X)
    assert rows.mean.shape == (1, 3)
    numbers = adapted((float(i) for i in range(3)), axis=None)
    assert numbers([0.0, 1.0, 2.0]).tolist() == adapted([0, 1, 2], axis=None)([0, 1, 2]).tolist()
    flat = adapted([np.array([0.0, 1.0]), np.array([2.0])], axis=None)
    assert flat.moments == numbers.moments
    assert adapted((np.float32(i) for i in range(3)), axis=None).moments == numbers.moments
    assert adapted([(row, 1) for row in X]).moments == rows.moments
    weighted = en.Normalization()
    weighted.adapt([(X, 0, [1, 0, 0, 1])], use_sample_weight=True)
    assert weighted.mean.tolist() == [[1, 8, 5]]
    assert weighted.moments.weighted
    unweighted = adapted([(X, 0, [1, 0, 0, 1])])
    assert not unweighted.moments.weighted


# ---- policies


def test_nan_propagates_with_a_warning() -> None:
    x = X.copy()
    x[1, 1] = np.nan
    with pytest.warns(RuntimeWarning, match=r"feature 1.*1 NaN") as warned:
        layer = adapted(x)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    np.testing.assert_array_equal(np.isnan(layer(X)), np.isnan(x[1:2]) | np.zeros_like(X, bool))
    assert adapted(x, nan_policy="omit").mean[0, 1] == np.float32(23 / 3)
    with pytest.raises(ValueError, match=r"feature 1.*1"):
        adapted(x, nan_policy="raise")
    x[1, 1] = np.inf
    with pytest.warns(RuntimeWarning, match="inf"):
        assert adapted(x).mean[0, 1] == np.inf
    with pytest.raises(ValueError, match="feature 1"):
        adapted(x, inf_policy="raise")


def test_constant_policies() -> None:
    x = np.array([[5.0, 1.0], [5.0, 2.0]])
    assert adapted(x)([[6.0, 1.5]]).tolist() == [[float(np.float32(1) / np.float32(1e-7)), 0]]
    assert adapted(x, epsilon=0.5)([[6.0, 1.5]]).tolist() == [[2, 0]]
    assert adapted(x, constant_policy="unit")([[6.0, 1.5]]).tolist() == [[1, 0]]
    tiny = np.array([[0.0], [1e-12]])
    assert adapted(tiny, constant_policy="unit", dtype="float64")([[1e-12]]).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="feature 0"):
        adapted(x, constant_policy="raise")


def test_variance_beyond_float32_warns() -> None:
    x = np.array([[1e30, 1.0], [-1e30, 2.0]])
    with pytest.warns(RuntimeWarning, match="feature 0") as warned:
        adapted(x)
    assert len(warned) == 1
    assert adapted(x, dtype="float64")(x).tolist() == [[1, -1], [-1, 1]]


# ---- configuration, documents


def test_config_round_trip() -> None:
    options: dict[str, Any] = {
        "axis": [1, -1],
        "mean": None,
        "variance": None,
        "invert": True,
        "epsilon": 1e-3,
        "dtype": "float64",
        "nan_policy": "omit",
        "inf_policy": "raise",
        "constant_policy": "unit",
        "name": "scale",
    }
    assert en.Normalization(**options).get_config() == options
    assert en.Normalization.from_config(options).get_config() == options
    assert (en.Normalization(**options).name, en.Normalization(**options).invert) == ("scale", True)

    class Mine(en.Normalization):
        pass

    assert type(Mine.from_config(options)) is type(copy.copy(Mine())) is Mine
    with pytest.raises(TypeError, match="axes"):
        en.Normalization.from_config({"axes": 1})


def layers() -> dict[str, en.Normalization]:
    built = en.Normalization(axis=1)
    built.build((None, 2, None))
    given = en.Normalization(mean=[1.0, 2.0, 3.0], variance=0.1)
    given.build((None, 3))
    learning = adapted()
    learning.update_state(X + 1)
    weighted = en.Normalization()
    weighted.adapt((X, 0, [1, 2, 3, 4]), use_sample_weight=True)
    return {
        "new": en.Normalization(name="ünïcode \N{GRINNING FACE}"),
        "built": built,
        "adapted": adapted({"a": [0.1, 0.2], "b": [1, 7]}, invert=True, dtype="bfloat16"),
        "given": given,
        "given, not built": en.Normalization(mean=[[0.1]], variance=3),
        "not finalized": learning,
        "weighted": weighted,
    }


@pytest.mark.parametrize("which", layers())
def test_documents_and_copies_give_the_same_bits(which: str, tmp_path: Path) -> None:
    layer = layers()[which]
    layer.save(tmp_path / "layer.json")
    same = [
        en.load(tmp_path / "layer.json"),
        en.load(str(tmp_path / "layer.json")),
        en.from_bytes(layer.to_bytes()),
        en.from_bytes((tmp_path / "layer.json").read_bytes()),
        pickle.loads(pickle.dumps(layer)),  # noqa: S301
        copy.copy(layer),
        copy.deepcopy(layer),
    ]
    for other in same:
        assert isinstance(other, en.Normalization)
        assert other.to_bytes() == layer.to_bytes()
        assert other.get_config() == layer.get_config()
        assert (other.built, other.is_adapted, other.count) == (layer.built, layer.is_adapted, layer.count)
        if layer.built and not layer.get_config()["mean"]:
            assert other.moments == layer.moments
            data = np.full([2, *layer.moments.shape], 3.0) if which != "built" else np.ones((1, 2, 1))
            other.adapt(data)  # it can go on learning, and is another object
            assert other.to_bytes() != layer.to_bytes()
    if layer.built and which != "built":
        x = np.random.default_rng(0).standard_normal((5, layer.mean.size)).astype("float32")
        assert_same_bits(same[0](x) if which == "given" else en.from_bytes(layer.to_bytes())(x), layer(x))


def test_what_it_looks_like() -> None:
    assert repr(en.Normalization()) == "<Normalization(): not built>"
    given = en.Normalization(mean=1, variance=2)
    assert repr(given) == "<Normalization(mean=1.0, variance=2.0): given mean and variance>"
    assert repr(adapted(axis=None)) == "<Normalization(axis=None): adapted, 1 feature, 12 values>"
    for layer in layers().values():
        assert repr(layer)
        assert layer._repr_html_()
    named = adapted({"<i>": [1.0, 2.0]})
    assert "&lt;i&gt;" in named._repr_html_()
    assert "<i>" not in named._repr_html_()
