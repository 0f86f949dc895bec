"""adapt_model: several layers of a model in one pass over the data, on Keras 3 and tf_keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import exactnorm as en
import exactnorm.keras
import exactnorm.tf_keras
import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import torch
from support import NDArray

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.parametrize(
        ("framework", "exact"),
        [(keras, exactnorm.keras), (tf_keras, exactnorm.tf_keras)],
        ids=["keras", "tf_keras"],
    ),
]
RNG = np.random.default_rng(0)
ROWS = 203
AGE = RNG.normal(40, 9, ROWS).astype("float32")
PIXELS = RNG.integers(0, 256, (ROWS, 4, 4, 3)).astype("float32")
WORDS = np.array(["a", "b", "c"] * ROWS)[:ROWS, None]
W = RNG.integers(0, 4, ROWS).astype("float32")
DATA = {"age": AGE, "pixels": PIXELS}
Y = np.zeros(ROWS)


@pytest.fixture
def model(framework: Any, exact: Any) -> Any:
    """A dict of inputs: two that are normalized, and one that is not."""
    age, pixels = framework.Input((1,), name="age"), framework.Input((4, 4, 3), name="pixels")
    words = framework.Input((1,), name="words", dtype="string")
    parts = [
        exact.Normalization(name="ages")(age),
        framework.layers.Flatten()(exact.Normalization(name="colors")(pixels)),
        framework.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(words),
        exact.Normalization(name="given", mean=1.0, variance=4.0)(age),
    ]
    outputs = framework.layers.Dense(1)(framework.layers.Concatenate()(parts))
    return framework.Model({"age": age, "pixels": pixels, "words": words}, outputs)


def learned(model: Any, name: str) -> en.Moments:
    (layer,) = [layer for layer in model._flatten_layers() if layer.name == name]
    moments: en.Moments = layer.moments
    return moments


def assert_learned(model: Any, rows: slice = slice(None), weights: NDArray | None = None) -> None:
    w = None if weights is None else weights[rows]
    assert learned(model, "ages") == en.Moments.from_data(AGE[rows, None], weights=w)
    assert learned(model, "colors") == en.Moments.from_data(PIXELS[rows], weights=w)


def batches(size: int, of: dict[str, NDArray] = DATA) -> Iterator[dict[str, NDArray]]:
    return ({name: x[i : i + size] for name, x in of.items()} for i in range(0, ROWS, size))


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return -(-ROWS // 10)

    def __getitem__(self, i: int) -> tuple[dict[str, NDArray], NDArray, NDArray]:
        rows = slice(10 * i, 10 * i + 10)
        return {name: x[rows] for name, x in DATA.items()}, Y[rows], W[rows]


def loaded(rows: list[tuple[torch.Tensor]]) -> tuple[dict[str, torch.Tensor], int]:
    indices = [int(i) for (i,) in rows]
    return {name: torch.from_numpy(x[indices]) for name, x in DATA.items()}, 0


def datasets() -> dict[str, Any]:
    slices = tf.data.Dataset.from_tensor_slices
    rows = torch.utils.data.TensorDataset(torch.arange(ROWS))
    return {
        "dict": DATA,
        "dict of all": DATA | {"words": WORDS},
        "labelled": (DATA, Y),
        "weighted": (DATA, Y, W),
        "list": [AGE, PIXELS, WORDS],
        "tuple": (AGE[:, None], PIXELS, WORDS),
        "lists in a dict": {"age": AGE.tolist(), "pixels": PIXELS.tolist()},
        "tensors": {name: tf.constant(x) for name, x in DATA.items()},
        "generator": batches(7),
        "labelled batches": [(each, 0) for each in batches(7)],
        "tf.data": slices((DATA, Y, W)).batch(7),
        "tf.data of all": slices(DATA | {"words": WORDS}).batch(7),
        "tf.data of tuples": slices(((AGE, PIXELS, WORDS), Y)).batch(7),
        "tf.data in one batch": tf.data.Dataset.from_tensors(DATA),
        "PyDataset": Batches(),
        "DataLoader": torch.utils.data.DataLoader(rows, 10, collate_fn=loaded),
    }


@pytest.mark.parametrize("kind", datasets())
def test_layers_learn_their_inputs_whatever_the_data_are(
    framework: Any, exact: Any, model: Any, kind: str
) -> None:
    exact.adapt_model(model, datasets()[kind])
    assert_learned(model)
    alone = exact.Normalization()
    alone.adapt(PIXELS)
    for ours, theirs in zip(model.get_layer("colors").get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert model.get_layer("ages").is_adapted


@pytest.mark.parametrize("kind", ["weighted", "tf.data", "PyDataset"])
def test_sample_weights(framework: Any, exact: Any, model: Any, kind: str) -> None:
    exact.adapt_model(model, datasets()[kind], use_sample_weight=True)
    assert_learned(model, weights=W)


def test_steps(framework: Any, exact: Any, model: Any) -> None:
    endless = tf.data.Dataset.from_tensor_slices(DATA).repeat().batch(7)
    for data in (endless, batches(7), datasets()["tf.data"].filter(lambda *_: True)):
        exact.adapt_model(model, data, steps=5)
        assert_learned(model, slice(35))
    exact.adapt_model(model, DATA, 7, 5)
    assert_learned(model, slice(35))
    exact.adapt_model(model, DATA, steps=5)
    assert_learned(model)
    with pytest.raises(ValueError, match="infinite"):
        exact.adapt_model(model, endless)
    for data in (batches(100), datasets()["tf.data of all"].rebatch(100)):
        with pytest.warns(UserWarning, match="ended after 3 of the 4 batches"):
            exact.adapt_model(model, data, steps=4)
        assert_learned(model)
    with pytest.warns(UserWarning, match="ended after 203 of the 400 rows"):
        exact.adapt_model(model, DATA, 100, 4)
    with pytest.warns(UserWarning, match="batch_size is ignored"):
        exact.adapt_model(model, batches(7), 3)
    assert_learned(model)


def test_the_data_are_read_once(framework: Any, exact: Any, model: Any) -> None:
    read = []

    def noting() -> Iterator[dict[str, NDArray]]:
        for i, batch in enumerate(batches(50)):
            read.append(i)
            yield batch

    exact.adapt_model(model, noting())
    assert read == [0, 1, 2, 3, 4]
    assert_learned(model)


def test_progress(framework: Any, exact: Any, model: Any, capsys: pytest.CaptureFixture[str]) -> None:
    exact.adapt_model(model, datasets()["tf.data"])
    assert capsys.readouterr().out == ""
    exact.adapt_model(model, datasets()["tf.data"], verbose=1)
    assert "29/29" in capsys.readouterr().out


def test_what_a_layer_gets_is_computed(framework: Any, exact: Any) -> None:
    """Nested, shared, behind other layers, masked."""
    layers = framework.layers
    x, steps = framework.Input((3,), name="x"), framework.Input((5, 2), name="steps")
    inside = framework.Input((3,))
    deep = exact.Normalization(name="deep")(layers.Rescaling(2.0)(inside))
    inner = framework.Model(inside, [exact.Normalization(name="inner")(inside), deep])
    shared = exact.Normalization(name="shared")
    parts = [
        *inner(x),
        *inner(layers.Rescaling(10.0)(x)),
        shared(x),
        shared(layers.Rescaling(3.0)(x)),
        layers.GlobalAveragePooling1D()(exact.Normalization(name="masked")(layers.Masking()(steps))),
        layers.Dense(50, name="behind")(exact.Normalization(name="last")(x)),
    ]
    model = framework.Model([x, steps], layers.Concatenate()(parts))
    a = RNG.integers(-99, 99, (ROWS, 3)).astype("float32")
    b = RNG.integers(1, 99, (ROWS, 5, 2)).astype("float32")
    b[::3, 2:] = 0
    for data in ([a, b], tf.data.Dataset.from_tensor_slices(((a, b), Y)).batch(8), iter([([a, b], Y)])):
        exact.adapt_model(model, data)
        assert learned(model, "inner") == en.Moments.from_data(np.concatenate([a, 10 * a]))
        assert learned(model, "deep") == en.Moments.from_data(np.concatenate([2 * a, 20 * a]))
        assert learned(model, "shared") == en.Moments.from_data(np.concatenate([a, 3 * a]))
        assert learned(model, "masked") == en.Moments.from_data(b, where=b[..., 0] > 0)
        assert learned(model, "last") == en.Moments.from_data(a)
    exact.adapt_model(model, [a, b], 10, 3)
    assert learned(model, "shared") == en.Moments.from_data(np.concatenate([a[:30], 3 * a[:30]]))
    exact.adapt_model(model, {"x": a}, layers="shared")  # other inputs need not be there
    assert learned(model, "shared").count.tolist() == [2 * ROWS] * 3


def test_models_of_one_input(framework: Any, exact: Any) -> None:
    x = RNG.normal(size=(ROWS, 3)).astype("float32")
    for data in (x, (x, Y), [x[:9], x[9:]], [(x, Y)], x.tolist(), {"x": x}, {"a": x[:, 0], "b": x[:, 1:]}):
        layer = exact.Normalization()
        model = framework.Sequential([framework.Input((3,), name="x"), layer, framework.layers.Dense(1)])
        exact.adapt_model(model, data)
        assert (
            layer.moments.digest
            == en.Moments.from_data(x.astype("float64" if data is None else x.dtype)).digest
        )


def one_input_models(framework: Any, exact: Any) -> Iterator[tuple[Any, NDArray, NDArray]]:
    """Yield a model of which one input is needed, the data of it, and what it learns."""
    x = RNG.normal(3, 2, (ROWS, 2)).astype("float32")
    for shape, axis, data in [((1,), -1, x[:, :1]), ((2,), -1, x), ((2,), None, x), ((4, 4, 3), -1, PIXELS)]:
        one = framework.Input(shape)
        yield framework.Model(one, exact.Normalization(axis, name="it")(one)), data, data
        layers = [framework.Input(shape), exact.Normalization(axis, name="it")]
        yield framework.Sequential(layers), data, data
    one = framework.Input((2,))
    behind = exact.Normalization(name="it")(framework.layers.Rescaling(2.0)(one))
    yield framework.Model(one, behind), x, 2 * x


def test_one_needed_input_over_tf_data(framework: Any, exact: Any) -> None:
    for model, data, seen in one_input_models(framework, exact):
        (it,) = [layer for layer in model.layers if layer.name == "it"]
        alone = en.Normalization(axis=it.axis)
        alone.adapt(seen)
        for labels in ((), (Y,), (Y, W)):
            slices = tf.data.Dataset.from_tensor_slices((data, *labels) if labels else data)
            for batches in (slices.batch(10), slices.batch(29, drop_remainder=True)):  # 203 = 7 * 29
                it.reset_state()
                exact.adapt_model(model, batches)
                assert it.moments.digest == alone.moments.digest


def test_one_layer_of_several_inputs_over_tf_data(framework: Any, exact: Any, model: Any) -> None:
    slices = tf.data.Dataset.from_tensor_slices
    alone = en.Moments.from_data(AGE[:, None])
    for data in (
        slices((DATA, Y)).batch(10),
        slices((DATA | {"words": WORDS}, Y, W)).batch(10),
        slices(((AGE, PIXELS, WORDS), Y)).batch(10),
        slices({"age": AGE}).batch(10),
    ):
        exact.adapt_model(model, data, layers="ages")
        assert learned(model, "ages").digest == alone.digest
        model.get_layer("ages").reset_state()
    assert not model.get_layer("colors").is_adapted


@pytest.mark.parametrize("wanted", [["second"], None])
def test_labels_are_not_taken_for_an_input(framework: Any, exact: Any, wanted: list[str] | None) -> None:
    """A batch of two arrays is (x, y) to Keras, and could be the two inputs."""
    a, b = framework.Input((1,), name="a"), framework.Input((1,), name="b")
    first, second = exact.Normalization(name="first"), exact.Normalization(name="second")
    model = framework.Model([a, b], framework.layers.Concatenate()([first(a), second(b)]))
    x, y = AGE[:, None], W[:, None]
    slices = tf.data.Dataset.from_tensor_slices
    rows = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for data in ([(x, y)], iter([[x, y]]), slices((x, y)).batch(10), torch.utils.data.DataLoader(rows, 10)):
        with pytest.raises(ValueError, match=r"2 arrays.*\(x, y\).*'a', 'b'.*dict"):
            exact.adapt_model(model, data, layers=wanted)
        assert not second.is_adapted
    for data in (
        [((x, y),)],
        [([x, y], Y)],
        slices(((x, y), Y)).batch(10),
        slices({"a": x, "b": y}).batch(10),
        iter([({"a": x, "b": y}, Y)]),
    ):
        exact.adapt_model(model, data, layers=wanted)
        assert second.moments == en.Moments.from_data(y)
        second.reset_state()
    exact.adapt_model(model, [(x, y)], layers="first")  # the same in both readings
    assert first.moments == en.Moments.from_data(x)


def test_a_layer_behind_another_one(framework: Any, exact: Any) -> None:
    inputs = framework.Input((2,))
    first, second = exact.Normalization(name="first"), exact.Normalization(name="second")
    inner = framework.Sequential([framework.Input((2,)), first])
    model = framework.Model(inputs, second(inner(inputs)))
    x = np.array([[0.0, 1.0], [2.0, 5.0]], "float32")
    with pytest.raises(ValueError, match="'second' gets what 'first' returns"):
        exact.adapt_model(model, x)
    assert not first.is_adapted
    exact.adapt_model(model, x, layers=[first])
    exact.adapt_model(model, x, layers="second")
    assert second.moments.mean().tolist() == [0.0, 0.0]
    assert second.moments.variance().tolist() == [1.0, 1.0]


def test_all_or_nothing(framework: Any, exact: Any, model: Any) -> None:
    exact.adapt_model(model, DATA)
    states = {name: model.get_layer(name).get_weights() for name in ("ages", "colors")}
    nothing = {"age": AGE[:0], "pixels": PIXELS[:0]}
    failing: list[tuple[Any, type[Exception], str]] = [
        ({"age": AGE}, ValueError, "inputs 'age', 'pixels'; got a dict of 'age'"),
        (AGE, ValueError, "inputs 'age', 'pixels'"),
        (5, TypeError, "expected arrays"),
        ({"age": AGE, "pixels": PIXELS[:9]}, ValueError, "as many rows"),
        ({"age": AGE, "pixels": PIXELS[..., :2]}, ValueError, r"'colors'.*\(None, None, None, 3\)"),
        ({"age": AGE.astype("complex64"), "pixels": PIXELS}, TypeError, "'ages'.*complex64"),
        ([*batches(50), {"age": AGE, "pixels": PIXELS[..., :2]}], ValueError, "'colors'"),
        ([*batches(50), {"age": AGE}], ValueError, "inputs 'age', 'pixels'"),
        (tf.data.Dataset.from_tensor_slices({"age": AGE}).batch(5), ValueError, "inputs 'age', 'pixels'"),
        (nothing, ValueError, "no value"),
        (iter([]), ValueError, "no value|no data|nothing"),
    ]
    for data, error, message in failing:
        with pytest.raises(error, match=message):
            exact.adapt_model(model, data)
        for name, weights in states.items():
            for before, after in zip(weights, model.get_layer(name).get_weights(), strict=True):
                np.testing.assert_array_equal(before, after)
    assert_learned(model)
    strict = exact.Normalization(name="strict", nan_policy="raise")
    inputs = framework.Input((1,), name="age")
    easy = exact.Normalization(name="easy")
    both = framework.Model(inputs, [easy(inputs), strict(inputs)])
    with pytest.raises(ValueError, match="strict"):
        exact.adapt_model(both, np.array([[1.0], [np.nan]]))
    assert not easy.is_adapted
    assert easy.get_weights()[0] == 0
    assert easy.moments.count.tolist() == [0]


def test_models_that_cannot_be_adapted(framework: Any, exact: Any, model: Any) -> None:
    class Own(framework.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = exact.Normalization(name="inside")

        def call(self, x: Any) -> Any:
            return self.inner(x)

    inputs = framework.Input((1,))
    for bad, message in (
        (Own(), "functional model or a built Sequential, got Own"),
        (framework.Sequential([exact.Normalization()]), "not built"),
        (
            framework.Sequential([inputs, framework.layers.Normalization()]),
            "no exact Normalization.*from_keras",
        ),
        (framework.Model(inputs, Own()(inputs)), "cannot tell what inside"),
    ):
        with pytest.raises(ValueError, match=message):
            exact.adapt_model(bad, AGE)
    with pytest.raises(ValueError, match="no layer 'other' to adapt, but"):
        exact.adapt_model(model, DATA, layers=["ages", "other"])
    with pytest.raises(ValueError, match="got none"):
        exact.adapt_model(model, DATA, layers=[])
    with pytest.raises(ValueError, match="'given': Cannot `adapt`"):
        exact.adapt_model(model, DATA, layers=["ages", "given"])
    assert not model.get_layer("ages").is_adapted


def test_a_converted_model(framework: Any, exact: Any) -> None:
    """The road of someone who has a model of Keras's layers and wants all adapted at once."""
    age = framework.Input((1,), name="age")
    pixels = framework.Input((4, 4, 3), name="pixels")
    parts = [framework.layers.Normalization(name="ages")(age)]
    parts.append(framework.layers.Flatten()(framework.layers.Normalization(name="colors")(pixels)))
    model = exact.from_keras(framework.Model([age, pixels], framework.layers.Concatenate()(parts)))
    exact.adapt_model(model, DATA)
    assert_learned(model)
    back = exact.to_keras(model)
    x = [AGE[:, None], PIXELS]
    np.testing.assert_array_equal(back.predict(x, verbose=0), model.predict(x, verbose=0))
