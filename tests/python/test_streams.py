"""Streams: tf.data joins small batches itself, and the same is learned; what steps take; what has no end."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import exactnorm as en
import exactnorm._inputs
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from support import NDArray

from_tensors = tf.data.Dataset.from_tensor_slices
RNG = np.random.default_rng(0)
X = RNG.normal(1e4, 1, (1003, 3)).astype("float32")
Y = np.arange(len(X))
W = RNG.integers(0, 5, len(X)).astype("float32")
IMAGES = RNG.integers(0, 256, (37, 4, 4, 3), dtype=np.uint8)


def elements_of(dataset: tf.data.Dataset) -> Iterator[Any]:
    """The same elements as numpy arrays, in a generator: nothing joins them."""
    return dataset.as_numpy_iterator()


@pytest.fixture
def handed_over(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the tensors that Python gets to see."""
    shapes: list[tuple[int, ...]] = []
    read = exactnorm._inputs.from_array

    def noting(x: Any) -> Any:
        shapes.append(tuple(x.shape))
        return read(x)

    monkeypatch.setattr(exactnorm._inputs, "from_array", noting)
    return shapes


def int32(x: Any) -> Any:
    return tf.cast(x, tf.int32)


JOINED: dict[str, tuple[Callable[[], tf.data.Dataset], int]] = {
    "batches": (lambda: from_tensors(X).batch(4), 1),
    "batches of one": (lambda: from_tensors(X).batch(1), 1),
    "whole batches": (lambda: from_tensors(X).batch(4, drop_remainder=True), 1),
    "labelled": (lambda: from_tensors((X, Y)).batch(4), 1),
    "with weights": (lambda: from_tensors((X, Y, W)).batch(4), 1),
    "alone in a tuple": (lambda: from_tensors((X,)).batch(4), 1),
    "labels of any shape": (lambda: from_tensors(X).batch(4).map(lambda x: (x, tf.shape(x), "label")), 1),
    "rank 3": (lambda: from_tensors(X[:1000].reshape(100, 10, 3)).batch(4), 1),
    "images": (lambda: from_tensors(IMAGES).batch(2), 1),
    "filtered": (lambda: from_tensors(X).batch(4).filter(lambda x: x[0, 0] > 1e4), 1),
    "with empty batches": (lambda: from_tensors(X).batch(4).map(lambda x: x[: int32(x[0, 0]) % 3]), 1),
    "arrays of batches": (lambda: from_tensors(X[:1000].reshape(100, 10, 3)), 1),
    "labelled arrays": (lambda: from_tensors((X[:1000].reshape(100, 10, 3), Y[:100])), 1),
    "arrays of columns": (lambda: from_tensors({"a": X[:8].reshape(4, 6), "b": Y[:24].reshape(4, 6)}), 2),
    "bfloat16": (lambda: from_tensors(X).batch(4).map(lambda x: tf.cast(x, tf.bfloat16)), 1),
    "bool": (lambda: from_tensors(X > 1e4).batch(4), 1),
    "many rows": (lambda: from_tensors(np.tile(X, (9, 1))).batch(7), 2),
    "columns": (lambda: from_tensors({"a": X[:, 0], "b": X[:, 1:]}).batch(4), 2),
    "labelled columns": (lambda: from_tensors(({"a": X[:, 0], "b": Y}, Y)).batch(4), 2),
    "rows of columns": (lambda: from_tensors({"a": X[:, 0], "b": Y}), 2),
}  # fmt: skip


@pytest.mark.parametrize("case", JOINED)
def test_batches_are_joined_and_the_same_is_learned(case: str, handed_over: list[Any]) -> None:
    make, tensors = JOINED[case]
    dataset = make()
    expected = en.Moments.from_data(elements_of(dataset))
    handed_over.clear()
    is_table = "columns" in case
    assert en.Moments.from_data(dataset) == expected
    assert is_table or len(handed_over) == tensors
    m = en.Moments(expected.shape)
    m.update(dataset)
    assert m == expected
    layer, plain = en.Normalization(), en.Normalization()
    layer.adapt(dataset)
    plain.adapt(elements_of(dataset))
    assert layer.moments == plain.moments == expected
    np.testing.assert_array_equal(layer.mean, plain.mean)


def test_how_many_tensors_columns_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    kind = exactnorm._inputs.table_kind
    monkeypatch.setattr(
        exactnorm._inputs,
        "table_kind",
        lambda x: seen.append(type(x)) or kind(x),  # type: ignore[func-returns-value]
    )
    en.Moments.from_data(JOINED["columns"][0]())
    assert seen.count(dict) == 1
    en.Moments.from_data(JOINED["rows of columns"][0]())
    assert seen.count(dict) == 2


@pytest.mark.parametrize("rows", [None, 5])
def test_sample_weights_stay_with_their_rows(rows: int | None, handed_over: list[Any]) -> None:
    dataset = from_tensors((X, Y, W)) if rows is None else from_tensors((X, Y, W)).batch(rows)
    expected = en.Moments.from_data(X, weights=W)
    handed_over.clear()
    m = en.Moments(shape=3)
    m.update(dataset, use_sample_weight=True)
    assert m == expected
    assert handed_over == [X.shape]
    layer = en.Normalization()
    layer.adapt(dataset, use_sample_weight=True)
    assert layer.moments == expected
    layer.adapt(dataset)
    assert layer.moments == en.Moments.from_data(X)


def test_weights_of_elements_and_of_batches() -> None:
    each = RNG.integers(0, 5, X.shape).astype("float32")
    dataset = from_tensors((X, Y, each)).batch(4)
    assert en.Moments.from_data(dataset, use_sample_weight=True) == en.Moments.from_data(X, weights=each)
    one_each = from_tensors((X, Y)).batch(4).map(lambda x, y: (x, y, 2.0))
    twice = en.Moments.from_data(X, weights=np.full(len(X), 2.0))
    assert en.Moments.from_data(one_each, use_sample_weight=True) == twice
    none = from_tensors((X, Y)).batch(4).map(lambda x, y: (x, y, None))
    assert en.Moments.from_data(none, use_sample_weight=True) == en.Moments.from_data(X)


@pytest.mark.parametrize("axis", [None, -1])
def test_rows_and_numbers_as_elements(axis: int | None, handed_over: list[Any]) -> None:
    rows, numbers = from_tensors(X), from_tensors(X[:, 0])
    for dataset in (rows, numbers.batch(4), numbers) if axis is None else (rows,):
        layer, plain = en.Normalization(axis), en.Normalization(axis)
        plain.adapt(elements_of(dataset))
        handed_over.clear()
        layer.adapt(dataset)
        assert layer.moments == plain.moments
        assert layer.mean.shape == plain.mean.shape
        assert len(handed_over) == 1
    layer = en.Normalization()
    with pytest.warns(RuntimeWarning, match="axis=None"):
        layer.adapt(numbers.take(1))  # a 1-d array of one number, whose index is the feature
    assert layer.moments.shape == (1,)


def test_elements_that_do_not_join(handed_over: list[Any]) -> None:
    """Where rows could differ in shape, or the first axis is kept, elements come one by one."""
    padded = from_tensors(np.arange(30.0)).batch(4).map(lambda x: tf.ones((2, tf.size(x)), tf.float64) * x[0])
    unknown = tf.data.Dataset.from_generator(
        lambda: iter([X[:2], X[2:5]]), output_signature=tf.TensorSpec(None, tf.float32)
    )
    large_rows = from_tensors(np.ones((6, 5000), "float32")).batch(2)
    kept_first = from_tensors(X[:1000]).batch(10)
    for dataset, axis in ((padded, None), (unknown, -1), (large_rows, -1), (kept_first, (0, 1))):
        expected = en.Moments.from_data(elements_of(dataset), axis)
        handed_over.clear()
        assert en.Moments.from_data(dataset, axis) == expected
        assert len(handed_over) == len(list(dataset))
        layer = en.Normalization(axis)
        layer.adapt(dataset)
        assert layer.moments == expected


@pytest.mark.parametrize("axis", [0, 1, -1, -2, (0, 1), (-1, -2), (1, 2), None])
def test_any_axis(axis: Any) -> None:
    x = RNG.integers(-99, 99, (24, 2, 3))
    for dataset in (from_tensors(x), from_tensors(x).batch(4)):
        rank = len(dataset.element_spec.shape)
        if isinstance(axis, tuple) and max(axis) >= rank:
            with pytest.raises(ValueError, match="axis"):
                en.Moments.from_data(dataset, axis)
            continue
        assert en.Moments.from_data(dataset, axis) == en.Moments.from_data(elements_of(dataset), axis)
        layer, plain = en.Normalization(axis), en.Normalization(axis)
        layer.adapt(dataset)
        plain.adapt(elements_of(dataset))
        assert layer.moments == plain.moments


def test_a_built_layer_takes_rows() -> None:
    layer = en.Normalization(axis=None)
    layer.build((None, 3))
    layer.adapt(from_tensors(X))
    assert layer.mean.shape == (1, 1)
    assert layer.moments == en.Moments.from_data(X, axis=None)
    layer = en.Normalization()
    layer.build((None, 2))
    with pytest.raises(ValueError, match="3"):
        layer.adapt(from_tensors(X).batch(4))
    assert not layer.is_adapted


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("batch", [None, 4])
def test_steps_are_the_users_batches(batch: int | None, labelled: bool) -> None:
    dataset = from_tensors((X, Y) if labelled else X)
    dataset = dataset if batch is None else dataset.batch(batch)
    layer = en.Normalization()
    for data in (dataset, dataset.repeat(), dataset.filter(lambda *_: True), dataset.shuffle(9, seed=1)):
        layer.adapt(data, steps=7)
        assert layer.moments.count.tolist() == [7 * (batch or 1)] * 3
    layer.adapt(dataset.filter(lambda *_: True), steps=len(dataset))  # all, and no warning
    assert layer.moments == en.Moments.from_data(X)


@pytest.mark.parametrize("unknown", [False, True])
def test_fewer_batches_than_steps_warn(unknown: bool) -> None:
    dataset = from_tensors(X).batch(4).take(9)
    if unknown:
        dataset = dataset.map(lambda x: x[:0] if x[0, 0] > 1e4 else x).filter(
            lambda x: True
        )  # empty ones count
    layer = en.Normalization()
    with pytest.warns(UserWarning, match="ended after 9 of the 10 batches"):
        layer.adapt(dataset, steps=10)
    with pytest.warns(UserWarning, match="ended after 2 of the 10 batches"):
        layer.adapt(dataset.take(2), steps=10)
    with pytest.warns(UserWarning, match="ended after 2 of the 10 batches"):
        layer.adapt(elements_of(dataset.take(2)), steps=10)


def test_no_more_is_asked_for_than_steps() -> None:
    asked = []

    def batches() -> Iterator[NDArray]:
        for i in itertools.count():
            asked.append(i)
            yield X[i : i + 2]

    dataset = tf.data.Dataset.from_generator(batches, output_signature=tf.TensorSpec((None, 3), tf.float32))
    layer = en.Normalization()
    layer.adapt(dataset, steps=5)
    assert asked == [*range(5)]
    assert layer.moments.count.tolist() == [10] * 3


def unread() -> Iterator[NDArray]:
    raise AssertionError("was read")
    yield X


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, i: int) -> NDArray:
        return X[i : i + 1]


class Undeclared(Endless):
    num_batches = keras.utils.PyDataset.num_batches


def test_data_without_end_are_refused_before_they_are_read() -> None:
    unread_dataset = tf.data.Dataset.from_generator(unread, output_signature=tf.TensorSpec((None, 3)))
    layer = en.Normalization()
    for data in (unread_dataset.repeat(), from_tensors(X).repeat().batch(4), Endless(), Undeclared()):
        with pytest.raises(ValueError, match="infinite"):
            layer.adapt(data)
        with pytest.raises(ValueError, match="infinite"):
            en.Moments.from_data(data)
    assert not layer.built
    layer.adapt(Endless(), steps=3)
    assert layer.moments == en.Moments.from_data(X[:3])


def test_what_tf_data_cannot_say_is_refused() -> None:
    rows = tf.ragged.constant([[1.0, 2.0], [3.0]])
    sparse = tf.sparse.from_dense([[1.0, 0.0], [0.0, 2.0]])
    layer = en.Normalization()
    for dataset, name in (
        (from_tensors(rows).batch(2), "RaggedTensor"),
        (from_tensors(sparse).batch(2), "SparseTensor"),
        (from_tensors((rows, [0, 1])).batch(2), "RaggedTensor"),
        (from_tensors(["a", "b"]).batch(1), "string"),
        (from_tensors([1j]).batch(1), "complex"),
    ):
        with pytest.raises(TypeError, match=name):
            layer.adapt(dataset)
        with pytest.raises(TypeError, match=name):
            en.Moments.from_data(dataset)
    with pytest.raises(ValueError, match="4 elements"):
        layer.adapt(from_tensors((X, Y, W, W)).batch(4))
    with pytest.raises(TypeError, match="x of"):
        layer.adapt(from_tensors(((X, X), Y)).batch(4))
    for dataset in (from_tensors(X).batch(4), from_tensors((X, Y)).batch(4)):
        with pytest.raises((ValueError, TypeError), match=r"sample_weight|batch"):
            layer.adapt(dataset, use_sample_weight=True)
    assert not layer.built


def test_a_dataset_that_fails_changes_nothing() -> None:
    layer = en.Normalization()
    layer.adapt(X)
    before = layer.to_bytes()
    bad = from_tensors(X).batch(4).map(lambda x: tf.debugging.check_numerics(x / 0.0, "halt"))
    uneven = from_tensors((X, Y, W)).batch(4).map(lambda x, y, w: (x, y, w[1:]))
    for dataset, weighted in ((bad, False), (uneven, True)):
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer.adapt(dataset, use_sample_weight=weighted)
        with pytest.raises(tf.errors.InvalidArgumentError):
            layer.update_state(dataset, use_sample_weight=weighted)
        assert layer.to_bytes() == before


@pytest.mark.parametrize("chosen", [None, True, False])
def test_options_of_the_user_stay(chosen: bool | None) -> None:
    dataset = from_tensors(X).batch(4)
    options = tf.data.Options()
    if chosen is not None:
        options.autotune.enabled = chosen
    dataset = dataset.with_options(options)
    stream = exactnorm._inputs.Stream(dataset, None)
    assert stream.join(lambda element: element, "batches")
    assert dataset.options().autotune.enabled is chosen
    assert stream._joined.options().autotune.enabled is bool(chosen)  # type: ignore[union-attr]


class Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return -(-len(X) // 10)

    def __getitem__(self, i: int) -> tuple[NDArray, NDArray, NDArray]:
        rows = slice(10 * i, 10 * i + 10)
        return X[rows], Y[rows], W[rows]


class Rows(torch.utils.data.Dataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int, float]:
        return torch.from_numpy(X[i]), i, float(W[i])


class RowsInTurn(torch.utils.data.IterableDataset):  # type: ignore[misc]
    def __iter__(self) -> Iterator[torch.Tensor]:
        return map(torch.from_numpy, X)


def test_the_same_is_learned_from_every_stream() -> None:
    expected, weighted = en.Moments.from_data(X), en.Moments.from_data(X, weights=W)
    labelled = (Batches(workers=1), torch.utils.data.DataLoader(Rows(), 10), Rows())
    for data in (*labelled, torch.utils.data.DataLoader(RowsInTurn(), 10), RowsInTurn()):
        layer = en.Normalization()
        layer.adapt(data)
        assert layer.moments.digest == expected.digest
        if data in labelled:
            layer.adapt(data, use_sample_weight=True)
            assert layer.moments.digest == weighted.digest
        with pytest.warns(UserWarning, match="ended after"):
            layer.adapt(data, steps=len(X) + 1)
        layer.adapt(data, steps=2)
        assert set(layer.moments.count) <= {2, 20}


def test_streams_import_no_framework() -> None:
    program = (
        "import sys, numpy as np, exactnorm as en\n"
        "en.Normalization().adapt(iter([np.ones((2, 3)), np.zeros((2, 3))]))\n"
        "print({'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert run.stdout == "set()\n"
