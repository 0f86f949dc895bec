"""StandardScaler's statistics and results, beside scikit-learn's, Moments and Normalization."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from typing import Any

import exactnorm as en
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import sklearn.preprocessing
from exactnorm.sklearn import StandardScaler
from support import NDArray, assert_same_bits

RNG = np.random.default_rng(7)
X = RNG.normal(5, [1, 10, 1e-3, 1e6], (300, 4))
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
WEIGHTS = RNG.integers(0, 4, len(X))
SPARSE = scipy.sparse.random(500, 7, 0.1, format="csr", random_state=0)

Theirs = sklearn.preprocessing.StandardScaler


def layer_of(x: Any, dtype: str = "float64") -> en.Normalization:
    layer = en.Normalization(dtype=dtype, nan_policy="omit", constant_policy="unit")
    layer.adapt(x)
    return layer


def exact_mean(x: NDArray) -> list[float]:
    return [float(sum(map(Fraction, column)) / len(column)) for column in x.T.tolist()]


# ---- as scikit-learn


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("x", [X, HOLES, X.astype("float32"), X.astype("int32"), SPARSE, SPARSE.tocsc()])
@pytest.mark.parametrize("with_std", [True, False])
@pytest.mark.parametrize("with_mean", [True, False])
def test_close_to_scikit_learns(x: Any, with_mean: bool, with_std: bool, weights: NDArray | None) -> None:
    if scipy.sparse.issparse(x):
        with_mean = False
        weights = None if weights is None else np.resize(weights, x.shape[0])
    ours, theirs = (
        kind(with_mean=with_mean, with_std=with_std).fit(x, sample_weight=weights)
        for kind in (StandardScaler, Theirs)
    )
    assert ours.get_params() == theirs.get_params()
    for name in ("mean_", "var_", "scale_"):
        expected = getattr(theirs, name)
        if expected is None and name == "mean_" and scipy.sparse.issparse(x) and with_std:
            continue
        assert (getattr(ours, name) is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-9)
    if with_mean or with_std or scipy.sparse.issparse(x):  # else scikit-learn leaves the weights out
        assert np.array_equal(ours.n_samples_seen_, theirs.n_samples_seen_)
    assert np.ndim(ours.n_samples_seen_) == np.ndim(theirs.n_samples_seen_)
    z, expected = ours.transform(x), theirs.transform(x)
    assert type(z) is type(expected)
    assert z.dtype == expected.dtype
    tolerance = {"rtol": 1e-4, "atol": 1e-2} if x.dtype == np.float32 else {"rtol": 1e-7, "atol": 1e-7}
    if scipy.sparse.issparse(x):
        z, expected = z.toarray(), expected.toarray()
    np.testing.assert_allclose(z, expected, **tolerance)
    back = ours.inverse_transform(ours.transform(x))
    if scipy.sparse.issparse(x):
        np.testing.assert_allclose(back.toarray(), x.toarray(), rtol=1e-9)
    else:
        np.testing.assert_allclose(back, x, rtol=1e-4)


def test_statistics_are_the_exact_ones_rounded_once() -> None:
    scaler = StandardScaler().fit(X)
    assert scaler.mean_.tolist() == exact_mean(X)
    moments = en.Moments.from_data(X)
    assert scaler.moments_ == moments
    assert_same_bits(scaler.var_, moments.variance())
    assert_same_bits(scaler.scale_, moments.std())


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_results_are_the_layers(dtype: str, order: Any) -> None:
    x = np.asarray(RNG.normal(5, 3, (5000, 11)), dtype, order=order)
    x[::7, 3] = np.nan
    x[:, 4] = 2.5
    scaler, layer = StandardScaler().fit(x), layer_of(x, dtype)
    assert_same_bits(scaler.transform(x), layer(x))
    assert_same_bits(scaler.inverse_transform(x), layer.inverse(x))


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool", ">f4"])
def test_all_else_is_transformed_in_float64(dtype: str) -> None:
    x = RNG.integers(0, 200, (500, 3)).astype(dtype)
    assert_same_bits(StandardScaler().fit(x).transform(x), layer_of(x)(x))


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_switched_off_parts_have_the_bits_of_the_others_alone(dtype: str, order: Any) -> None:
    x = np.asarray(RNG.normal(5, 3, (5000, 11)), dtype, order=order)
    wide = np.promote_types(dtype, "float32")
    moments = en.Moments.from_data(x)
    mean, std = moments.mean(wide), moments.std(wide)
    centered = StandardScaler(with_std=False).fit(x)
    assert_same_bits(centered.transform(x), (x - mean).astype(dtype))
    assert_same_bits(centered.inverse_transform(x), (x + mean).astype(dtype))
    scaled = StandardScaler(with_mean=False).fit(x)
    assert_same_bits(scaled.transform(x), (x / std).astype(dtype))
    assert_same_bits(scaled.inverse_transform(x), (x * std).astype(dtype))
    neither = StandardScaler(with_mean=False, with_std=False).fit(x)
    assert_same_bits(neither.transform(x), x)
    assert neither.transform(x) is not x


def test_both_parts_by_hand_have_the_bits_of_the_layer() -> None:
    """With a feature without values there is no layer; the other features do not notice."""
    for dtype in ("float64", "float32", "float16"):
        x = RNG.normal(5, 3, (5000, 3)).astype(dtype)
        x[:, 1] = np.nan
        with pytest.warns(RuntimeWarning, match="no value to learn from: .* feature 1$"):
            scaler = StandardScaler().fit(x)
        z, back = scaler.transform(x), scaler.inverse_transform(x)
        layer = layer_of(x[:, ::2], dtype)
        assert_same_bits(z[:, ::2], layer(x[:, ::2]))
        assert_same_bits(back[:, ::2], layer.inverse(x[:, ::2]))
        assert np.isnan(z[:, 1]).all()
        assert np.isnan(scaler.mean_[1])
        assert scaler.n_samples_seen_.tolist() == [5000, 0, 5000]


def test_constant_features_are_known_not_guessed() -> None:
    x = np.stack([np.full(100, 0.1), np.where(np.arange(100) < 50, 2.0**33, 2.0**33 + 2.0**-18)], axis=1)
    ours, theirs = StandardScaler().fit(x), Theirs().fit(x)
    assert ours.var_[0] == 0
    assert ours.scale_[0] == 1
    assert ours.transform(x)[:, 0].tolist() == [0] * 100
    assert theirs.scale_[1] == 1  # taken for a constant
    assert set(ours.transform(x)[:, 1].tolist()) == {-1, 1}


def test_large_integers_are_not_rounded_before_they_are_learned() -> None:
    x = np.array([[2**62], [2**62 + 1], [2**62 + 2]])
    assert StandardScaler().fit(x).var_.tolist() == [2 / 3]
    assert Theirs().fit(x).var_.tolist() == [0]


# ---- sparse


@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 500)])
@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.csr_array])
def test_sparse_is_as_dense(make: Any, weights: NDArray | None) -> None:
    x = SPARSE.copy()
    x.data[::9] = np.nan
    x.data[::8] = 0  # stored zeros
    sparse, dense = make(x), x.toarray()
    ours, theirs = (StandardScaler(with_mean=False).fit(x, sample_weight=weights) for x in (sparse, dense))
    assert ours.moments_ == theirs.moments_
    z = ours.transform(sparse)
    assert_same_bits(z.toarray(), theirs.transform(dense))
    assert z.nnz == sparse.nnz
    assert_same_bits(ours.inverse_transform(z).toarray(), theirs.inverse_transform(z.toarray()))


@pytest.mark.parametrize("weights", [None, np.linspace(0, 2, 3000)])
def test_a_sparse_matrix_is_never_dense(weights: NDArray | None) -> None:
    x = scipy.sparse.random(3000, 2000, 0.001, format="csc", random_state=1)
    tracemalloc.start()
    try:
        scaler = StandardScaler(with_mean=False).fit(x, sample_weight=weights)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1e6 < 8 * 3000 * 2000
    assert scaler.moments_ == en.Moments.from_data(x.toarray(), weights=weights)


def test_sparse_in_place() -> None:
    x = SPARSE.copy()
    scaler = StandardScaler(copy=False, with_mean=False).fit(x)
    z = scaler.transform(x)
    assert np.shares_memory(z.data, x.data)
    scaler.inverse_transform(x)
    np.testing.assert_allclose(x.toarray(), SPARSE.toarray(), rtol=1e-12)


@pytest.mark.parametrize("method", ["fit", "transform", "inverse_transform"])
def test_sparse_cannot_be_centered(method: str) -> None:
    with pytest.raises(ValueError, match="with_mean=False"):
        getattr(StandardScaler().fit(SPARSE.toarray()), method)(SPARSE)


# ---- memory


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
def test_fit_does_not_copy(dtype: str) -> None:
    x = np.ones((200_000, 10), dtype)
    mixed = pd.DataFrame({"a": np.ones(500_000), "b": np.ones(500_000, dtype)})
    for data in (x, np.asfortranarray(x), x[::-1], mixed):
        StandardScaler().fit(data[:9])  # what is imported by the first call is not counted
        tracemalloc.start()
        try:
            StandardScaler().fit(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 1e5


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("with_mean", [True, False])
def test_in_place(dtype: str, with_mean: bool) -> None:
    x = RNG.normal(5, 3, (50, 3)).astype(dtype)
    scaler = StandardScaler(copy=False, with_mean=with_mean).fit(x)
    expected, before = scaler.transform(x, copy=True), x.copy()
    assert_same_bits(x, before)
    assert scaler.transform(x) is x
    assert_same_bits(x, expected)
    assert StandardScaler().fit(x).inverse_transform(x, copy=False) is x


def test_what_cannot_be_written_is_copied() -> None:
    x = np.ones((3, 2))
    x.flags.writeable = False
    integers = np.ones((3, 2), int)
    sparse = scipy.sparse.csr_array(x)
    sparse.data.flags.writeable = False
    scaler = StandardScaler(copy=False).fit(x)
    for data in (x, integers):
        assert scaler.transform(data).tolist() == [[0, 0]] * 3
        assert data.tolist() == [[1, 1]] * 3
    scaled = StandardScaler(copy=False, with_mean=False).fit([[0, 0], [4, 4]]).transform(sparse)
    assert scaled.data.tolist() == [0.5] * 6
    assert sparse.data.tolist() == [1] * 6
