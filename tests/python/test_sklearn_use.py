"""StandardScaler in use: batches, merge, forget, frames, pipelines, conversion, errors."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import exactnorm as en
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import sklearn
import sklearn.preprocessing
from exactnorm.sklearn import StandardScaler
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from support import assert_same_bits

RNG = np.random.default_rng(7)
X = RNG.normal(5, [1, 10, 1e-3, 1e6], (300, 4))
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
WEIGHTS = RNG.integers(0, 4, len(X))
SPARSE = scipy.sparse.random(500, 7, 0.1, format="csr", random_state=0)
FRAME = pd.DataFrame({"age": [31, 57, 22], "income": [2.5, np.nan, 4.5]})
MAKERS: list[Callable[[Any], Any]] = [pd.DataFrame, pl.DataFrame, pa.table]

Theirs = sklearn.preprocessing.StandardScaler


# ---- batches, merge, forget


@pytest.mark.parametrize("x", [X, HOLES, SPARSE, SPARSE.tocsc()])
def test_neither_order_nor_batches_count(x: Any) -> None:
    options = {"with_mean": not scipy.sparse.issparse(x)}
    whole = StandardScaler(**options).fit(x)
    parts = StandardScaler(**options)
    rows = x if not scipy.sparse.issparse(x) else x.tocsr()
    for first, last in ((250, None), (0, 1), (1, 250)):
        assert parts.partial_fit(rows[first:last]) is parts
    assert parts.moments_.digest == whole.moments_.digest
    assert_same_bits(parts.mean_, whole.mean_)
    assert_same_bits(parts.scale_, whole.scale_)


def test_weights_are_repetitions() -> None:
    weighted = StandardScaler().fit(HOLES, sample_weight=WEIGHTS)
    repeated = StandardScaler().fit(np.repeat(HOLES, WEIGHTS, axis=0))
    assert_same_bits(weighted.transform(X), repeated.transform(X))
    assert weighted.n_samples_seen_.tolist() == repeated.n_samples_seen_.tolist()
    tenths = StandardScaler().fit(X[:10], sample_weight=np.full(10, 0.1))
    assert tenths.n_samples_seen_ == float(10 * Fraction(0.1))


def test_n_samples_seen_with_weights_of_every_size() -> None:
    """The sums are read from the document, however many digits they have and whatever the names are."""
    weights = [1e-300, 1e300, 3.0, 1e-20]
    x = np.array([[np.nan, 1, np.nan], [np.nan, 1, np.nan], [1, 1, 1], [1, np.nan, np.nan]])
    named = pd.DataFrame(x, columns=["fweightn0x1p+1", "b", "c"])
    scaler = StandardScaler().fit(named, sample_weight=weights)
    assert scaler.n_samples_seen_.tolist() == [3, 1e300, 3]


def test_merge_equals_one_fit() -> None:
    whole = StandardScaler().fit(HOLES)
    scalers = [StandardScaler().fit(part) for part in np.array_split(HOLES, 5)]
    last = scalers.pop()
    assert last.merge(scalers) is last
    assert last.moments_ == whole.moments_
    assert_same_bits(last.transform(X), whole.transform(X))
    moments = whole.moments_
    fresh = StandardScaler().merge([moments])
    moments.update(X)
    assert fresh.n_features_in_ == 4
    assert_same_bits(fresh.transform(X), whole.transform(X))
    fresh.partial_fit(X)
    assert whole.moments_ == en.Moments.from_data(HOLES)  # it shares nothing


@pytest.mark.parametrize("way", ["data", "scaler", "moments"])
def test_forget_undoes(way: str) -> None:
    scaler = StandardScaler().fit(HOLES).partial_fit(X[:20])
    forgotten = {
        "data": X[:20],
        "scaler": StandardScaler().fit(X[:20]),
        "moments": en.Moments.from_data(X[:20]),
    }
    assert scaler.forget(forgotten[way]) is scaler
    assert scaler.moments_ == en.Moments.from_data(HOLES)


def test_forget_sparse_and_weighted() -> None:
    scaler = StandardScaler(with_mean=False).fit(SPARSE, sample_weight=np.arange(500))
    scaler.forget(SPARSE[:100], sample_weight=np.arange(100))
    expected = en.Moments.from_data(SPARSE[100:].toarray(), weights=np.arange(100, 500))
    assert scaler.moments_ == expected


# ---- frames


@pytest.mark.parametrize("make", MAKERS)
def test_frames(make: Any) -> None:
    frame = make({"age": [31, 57, None], "income": [2.5, None, 4.5]})
    scaler = StandardScaler().fit(frame)
    assert scaler.feature_names_in_.tolist() == ["age", "income"]
    assert scaler.get_feature_names_out().tolist() == ["age", "income"]
    assert scaler.moments_ == en.Moments.from_data(frame)
    assert scaler.n_samples_seen_ == 2
    assert scaler.mean_.tolist() == [44, 3.5]
    assert_same_bits(scaler.transform(frame), np.array([[-1, -1], [1, np.nan], [np.nan, 1]]))


def test_columns_that_scikit_learn_finds_no_names_for() -> None:
    scaler = StandardScaler().fit(pd.DataFrame(X))
    assert not hasattr(scaler, "feature_names_in_")
    scaler.partial_fit(pd.DataFrame(HOLES, columns=[5, 6, 7, 8]))
    named = pd.DataFrame(X, columns=list("abcd"))
    with pytest.warns(UserWarning, match="fitted without feature names"):
        scaler.partial_fit(named)
    assert scaler.moments_ == en.Moments.from_data(np.concatenate([X, X, HOLES]))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert StandardScaler().fit(named).partial_fit(pd.DataFrame(X)).n_samples_seen_ == 600


def test_numbers_in_object_columns() -> None:
    scaler = StandardScaler().fit(FRAME.astype(object), sample_weight=[1, 1, 1])
    assert scaler.moments_ == en.Moments.from_data(FRAME, weights=[1, 1, 1])


def test_frames_of_sparse_columns() -> None:
    frame = pd.DataFrame.sparse.from_spmatrix(SPARSE)
    scaler = StandardScaler(with_mean=False).fit(frame)
    assert scaler.moments_ == en.Moments.from_data(SPARSE.toarray())


def test_set_output() -> None:
    scaler = StandardScaler().fit(FRAME)
    pandas = scaler.set_output(transform="pandas").transform(FRAME.set_index(pd.Index([5, 6, 7])))
    assert isinstance(pandas, pd.DataFrame)
    assert pandas.columns.tolist() == ["age", "income"]
    assert pandas.index.tolist() == [5, 6, 7]
    polars = scaler.set_output(transform="polars").transform(FRAME)
    assert isinstance(polars, pl.DataFrame)
    assert polars.columns == ["age", "income"]


def test_other_names_are_refused() -> None:
    scaler = StandardScaler().fit(FRAME)
    for swapped in (FRAME[["income", "age"]], FRAME.rename(columns={"age": "years"})):
        for method in (scaler.partial_fit, scaler.forget, scaler.transform):
            with pytest.raises(ValueError, match="feature names should match"):
                method(swapped)
    with pytest.raises(ValueError, match="'age' and 'years'"):
        scaler.merge(StandardScaler().fit(FRAME.rename(columns={"age": "years"})))
    assert scaler.moments_ == en.Moments.from_data(FRAME)


def test_names_come_along_when_merged() -> None:
    unnamed = StandardScaler().fit(FRAME.to_numpy())
    assert not hasattr(unnamed, "feature_names_in_")
    unnamed.merge(StandardScaler().fit(FRAME))
    assert unnamed.feature_names_in_.tolist() == ["age", "income"]
    assert unnamed.transform(FRAME).shape == (3, 2)


# ---- among other estimators


def test_pipeline_and_grid_search() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("model", Ridge())])
    search = GridSearchCV(
        pipeline, {"scale__with_mean": [True, False], "scale__with_std": [True, False]}, cv=3
    )
    best = search.fit(X, X[:, 0]).best_estimator_
    assert search.best_score_ > 0.9
    assert_same_bits(best.predict(X), pickle.loads(pickle.dumps(best)).predict(X))  # noqa: S301


def test_column_transformer_and_feature_union() -> None:
    columns = ColumnTransformer([("scaled", StandardScaler(), ["income"])], remainder="passthrough")
    columns.set_output(transform="pandas")
    out = columns.fit_transform(FRAME)
    assert out.columns.tolist() == ["scaled__income", "remainder__age"]
    assert out["scaled__income"].tolist()[::2] == [-1, 1]
    union = FeatureUnion([("both", StandardScaler()), ("scaled", StandardScaler(with_mean=False))])
    assert_same_bits(union.fit_transform(X)[:, :4], StandardScaler().fit_transform(X))


def test_sample_weight_is_routed() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        model = Ridge().set_fit_request(sample_weight=True)
        pipeline = make_pipeline(scaler, model).fit(X, X[:, 0], sample_weight=WEIGHTS)
    assert pipeline[0].moments_ == en.Moments.from_data(X, weights=WEIGHTS)


def test_clone_is_not_fitted() -> None:
    scaler = StandardScaler(copy=False, with_std=False).fit(X)
    twin = clone(scaler)
    assert twin.get_params() == scaler.get_params()
    assert not hasattr(twin, "mean_")


@pytest.mark.parametrize("data", [FRAME, X])
def test_pickle_goes_on(data: Any) -> None:
    scaler = StandardScaler().fit(data)
    scaler.transform(data)
    written = pickle.dumps(scaler)
    assert scaler.moments_.to_bytes() in written  # the document, and nothing that was derived from it
    assert scaler.mean_.tobytes() not in written
    twin = pickle.loads(written)  # noqa: S301
    assert twin.moments_ == scaler.moments_
    assert_same_bits(twin.transform(data), scaler.transform(data))
    assert twin.partial_fit(data).moments_ == scaler.partial_fit(data).moments_


# ---- from and to scikit-learn


@pytest.fixture(
    params=[{}, {"with_mean": False}, {"with_std": False}, {"with_mean": False, "with_std": False}]
)
def theirs(request: pytest.FixtureRequest) -> Iterator[Any]:
    near_constant = FRAME.assign(near_constant=[1e10, 1e10, 1e10 + 2e-6])
    return Theirs(**request.param).set_output(transform="pandas").fit(near_constant)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_from_scikit_learn(theirs: Any, dtype: str) -> None:
    ours = StandardScaler.from_sklearn(theirs)
    x = pd.DataFrame(RNG.normal(5, 3, (100, 3)), columns=theirs.feature_names_in_, dtype=dtype)
    assert ours.get_params() == theirs.get_params()
    exact = dtype == "float64"  # in float32, scikit-learn's versions differ
    pd.testing.assert_frame_equal(ours.transform(x), theirs.transform(x), check_exact=exact)
    back = pd.DataFrame(theirs.inverse_transform(x))
    pd.testing.assert_frame_equal(pd.DataFrame(ours.inverse_transform(x)), back, check_exact=exact)
    for name in ("mean_", "var_", "scale_", "n_samples_seen_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    twin = pickle.loads(pickle.dumps(ours))  # noqa: S301
    pd.testing.assert_frame_equal(twin.transform(x), ours.transform(x), check_exact=True)


def test_a_converted_scaler_cannot_go_on(theirs: Any) -> None:
    ours = StandardScaler.from_sklearn(theirs)
    data = FRAME.assign(near_constant=1.0)
    fitted = StandardScaler().fit(data)
    for call in (
        lambda: ours.partial_fit(data),
        lambda: ours.forget(data),
        lambda: ours.merge(fitted),
        lambda: fitted.merge(ours),
        lambda: fitted.forget(ours),
    ):
        with pytest.raises(RuntimeError, match=r"converted from scikit-learn.*fit learns"):
            call()
    assert not hasattr(ours, "moments_")
    assert ours.fit(data).moments_ == fitted.moments_


def test_to_scikit_learn(theirs: Any) -> None:
    frame = FRAME.assign(x=[0.1, 0.2, 0.3])
    ours = StandardScaler(**theirs.get_params()).set_output(transform="pandas").fit(frame)
    back = ours.to_sklearn()
    assert type(back) is Theirs
    pd.testing.assert_frame_equal(back.transform(frame), ours.transform(frame), check_exact=True)
    if back.scale_ is not None:
        back.scale_[:] = 1  # its own
        assert ours.scale_.tolist() != [1, 1, 1]
    back.partial_fit(frame)
    assert np.max(back.n_samples_seen_) == 6
    again = StandardScaler.from_sklearn(ours.to_sklearn())
    pd.testing.assert_frame_equal(again.transform(frame), ours.transform(frame), check_exact=True)


# ---- errors


def test_infinities_are_refused_and_nothing_changes() -> None:
    scaler = StandardScaler().fit(FRAME)
    bad = FRAME.assign(income=[1, np.inf, np.inf])
    before = dict(vars(scaler))
    for call in (scaler.fit, scaler.partial_fit):
        with pytest.raises(ValueError, match="got 2 infinities in feature 'income'"):
            call(bad)
        assert vars(scaler) == before
    with pytest.raises(ValueError, match="infinit"):
        scaler.transform(bad)
    with pytest.raises(ValueError, match="infinities in feature 'income'"):
        scaler.merge(en.Moments.from_data(bad))
    assert vars(scaler) == before
    with pytest.raises(ValueError, match="got 1 infinities in feature 1"):
        StandardScaler().fit([[1, np.inf]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda s: s.fit([1, 2]), ValueError, "Expected 2D array"),
        (lambda s: s.fit([["a", "b"]]), ValueError, "numeric"),
        (lambda s: s.fit(FRAME[:0]), ValueError, "no sample"),
        (lambda s: s.fit(np.array([[1]], np.longdouble)), TypeError, "float128"),
        (lambda s: s.fit(X, sample_weight=-np.ones(300)), ValueError, "non-negative"),
        (lambda s: s.fit(X, sample_weight=[1]), ValueError, "sample_weight"),
        (lambda s: s.set_params(copy="no").fit(X), ValueError, "copy"),
        (lambda s: s.partial_fit(X[:, :3]), ValueError, "3 features"),
        (lambda s: s.partial_fit(X, sample_weight=WEIGHTS), ValueError, "unweighted"),
        (lambda s: s.forget(X + 1), ValueError, "never added: in feature 0"),
        (lambda s: s.forget(X), ValueError, "no sample"),
        (lambda s: s.forget(X[:, :3]), ValueError, "3 features"),
        (lambda s: s.merge(StandardScaler().fit(X[:, :3])), ValueError, "shapes"),
        (lambda s: s.merge(StandardScaler()), NotFittedError, "not fitted"),
        (lambda s: s.merge(Theirs().fit(X)), TypeError, "got sklearn"),
        (lambda s: s.merge(en.Moments.from_data(X, axis=None)), ValueError, r"got \(\)"),
        (lambda s: s.transform(X[:, :3]), ValueError, "3 features"),
        (lambda s: s.inverse_transform(X[:, :3]), ValueError, r"expected 4 features.*\(300, 3\)"),
        (lambda s: setattr(s, "mean_", 0), AttributeError, "mean_"),
    ],
)
def test_errors_say_what_came_and_change_nothing(call: Any, error: Any, message: str) -> None:
    scaler = StandardScaler().fit(X)
    state = scaler.moments_
    with pytest.raises(error, match=message):
        call(scaler)
    assert scaler.moments_ == state
    assert scaler.n_features_in_ == 4


def test_readings_cannot_be_changed() -> None:
    for scaler in (StandardScaler().fit(X), StandardScaler.from_sklearn(Theirs().fit(X))):
        with pytest.raises(ValueError, match="read-only"):
            scaler.mean_[0] = 0


def test_before_fit() -> None:
    scaler = StandardScaler()
    for name in ("mean_", "var_", "scale_", "n_samples_seen_", "moments_", "n_features_in_"):
        assert not hasattr(scaler, name)
    for call in (scaler.transform, scaler.inverse_transform, scaler.forget):
        with pytest.raises(NotFittedError):
            call(X)
    with pytest.raises(NotFittedError):
        scaler.to_sklearn()
    with pytest.raises(TypeError, match=r"expected sklearn.*got exactnorm.sklearn.StandardScaler"):
        StandardScaler.from_sklearn(scaler)


def test_to_exactnorm() -> None:
    x = np.random.default_rng(0).normal(5, 2, size=(50, 3)).astype(np.float32)
    scaler = StandardScaler().fit(x)
    layer = scaler.to_exactnorm()
    assert layer.moments == scaler.moments_
    np.testing.assert_array_equal(layer(x), scaler.transform(x))
    with pytest.raises(ValueError, match="with_mean"):
        StandardScaler(with_mean=False).fit(x).to_exactnorm()


def test_weights_too_large_for_float64() -> None:
    scaler = StandardScaler().fit(np.ones((100, 2)), sample_weight=np.full(100, 1e307))
    assert scaler.n_samples_seen_ == np.inf
    assert scaler.mean_.tolist() == [1.0, 1.0]
