"""scikit-learn's StandardScaler, exact: the same parameters, attributes and methods, and merge and forget."""

# ruff: noqa: N803, N806 - scikit-learn calls data X

from __future__ import annotations

import copy as copies
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from exactnorm._extras import needs
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._scaler import Converted, Exact, check, empty_features, learn_frame, standardize
from exactnorm._tables import table_kind
from exactnorm._warn import warn

with needs("sklearn", "exactnorm.sklearn"):
    import sklearn.preprocessing
    from scipy.sparse import issparse
    from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
    from sklearn.utils.validation import (
        _check_sample_weight,
        _get_feature_names,
        check_array,
        check_is_fitted,
        validate_data,
    )

__all__ = ["StandardScaler"]

NDArray = npt.NDArray[Any]

_STATISTICS = ("mean_", "var_", "scale_", "n_samples_seen_")
_FLOATS = (np.float64, np.float32, np.float16)
_APPLIED = {"accept_sparse": "csr", "dtype": "numeric", "ensure_all_finite": "allow-nan"}
_NOT_EXACT = (
    "the scaler was converted from scikit-learn: it has statistics, but not the exact sums that partial_fit, "
    "merge, forget and moments_ need; fit learns them"
)


class StandardScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Subtract the mean of every feature and divide by its standard deviation: scikit-learn's scaler, exact.

    It takes the place of `sklearn.preprocessing.StandardScaler`. The statistics are those of exact sums,
    rounded once: neither order nor batches nor machines change a bit of them. Scalers fitted apart merge,
    and data can be taken away again.

    Float32 and float16 data keep their dtype, and are transformed in float32 with the mean and the standard
    deviation rounded once from the exact fractions to float32. All other data are transformed in float64 with
    `mean_` and `scale_`. The bits are those of ``exactnorm.Normalization(constant_policy="unit", dtype=…)``.

    Parameters
    ----------
    copy : bool, default True
        False: `transform` and `inverse_transform` write into a float array that is handed in, if they can.
    with_mean : bool, default True
        Subtract the mean. It must be False for sparse matrices.
    with_std : bool, default True
        Divide by the standard deviation.

    Attributes
    ----------
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features,)
        If the data had names.

    See Also
    --------
    exactnorm.Normalization : For data that are not tables.

    Examples
    --------
    >>> from exactnorm.sklearn import StandardScaler
    >>> data = [[0, 0], [0, 0], [1, 1], [1, 1]]
    >>> scaler = StandardScaler()
    >>> scaler.fit(data)
    StandardScaler()
    >>> scaler.mean_
    array([0.5, 0.5])
    >>> scaler.transform([[2, 2]])
    array([[3., 3.]])
    >>> scaler.partial_fit([[9, 9]]).forget([[9, 9]]).mean_
    array([0.5, 0.5])
    """

    _parameter_constraints: dict[str, list[str]] = {  # noqa: RUF012 - where scikit-learn looks for it
        "copy": ["boolean"],
        "with_mean": ["boolean"],
        "with_std": ["boolean"],
    }

    _state: Exact | Converted

    def __init__(self, *, copy: bool = True, with_mean: bool = True, with_std: bool = True) -> None:
        self.copy = copy
        self.with_mean = with_mean
        self.with_std = with_std

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: ARG002
        """Learn the data, and nothing else.

        Parameters
        ----------
        X : array-like, data frame or sparse matrix of shape (n_samples, n_features)
            Numbers, read where they are. NaN and nulls are left out.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional
            Not negative.

        Returns
        -------
        StandardScaler
            Itself.

        Raises
        ------
        ValueError
            For infinities, negative weights, data that are not of two dimensions, and sparse data
            unless with_mean is False. The scaler is as it was.
        """
        with self._all_or_nothing():
            self._use(self._learned(X, sample_weight, reset=True))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: ARG002
        """Learn data on top of what is known.

        The parameters and errors are those of `fit`.

        Raises
        ------
        ValueError
            For other features than were learned, and for weights if there were none before or the reverse.
        RuntimeError
            If the scaler was converted from scikit-learn.
        """
        with self._all_or_nothing():
            known = self._known()
            learned = self._learned(X, sample_weight, reset=known is None)
            self._use(learned if known is None else known + learned)
        return self

    def merge(self, others: StandardScaler | Moments | Iterable[StandardScaler | Moments]) -> Self:
        """Add what other scalers have learned. This one need not be fitted.

        Parameters
        ----------
        others : StandardScaler, Moments, or iterable of these

        Returns
        -------
        StandardScaler
            Itself.

        Raises
        ------
        ValueError
            For other features or feature names, and if some had weights and some had none.
        RuntimeError
            If one of them was converted from scikit-learn.

        Examples
        --------
        >>> from exactnorm.sklearn import StandardScaler
        >>> monday, tuesday = StandardScaler().fit([[1.0], [2.0]]), StandardScaler().fit([[6.0]])
        >>> monday.merge(tuesday).mean_
        array([3.])
        """
        total = self._known()
        for other in others if isinstance(others, Iterable) else [others]:
            moments = _exact(other)
            total = moments.copy() if total is None else total + moments
        if total is not None:
            self._use(total)
        return self

    def forget(self, X: Any, sample_weight: Any = None) -> Self:
        """Take away what was learned.

        Parameters
        ----------
        X : array-like, data frame, sparse matrix, StandardScaler or Moments
            Data as for `fit`, or what has learned them.
        sample_weight : array-like of shape (n_samples,), optional
            Those the data were learned with.

        Returns
        -------
        StandardScaler
            Itself.

        Raises
        ------
        ValueError
            Naming the feature, if the data were provably not learned, and if nothing would be left. The
            scaler is as it was.
        RuntimeError
            If the scaler was converted from scikit-learn.
        """
        known = _exact(self)
        is_learned = isinstance(X, (StandardScaler, Moments))
        self._use(known - (_exact(X) if is_learned else self._learned(X, sample_weight, reset=False)))
        return self

    def transform(self, X: Any, copy: bool | None = None) -> Any:
        """Subtract the mean and divide by the standard deviation, as far as the parameters say.

        Parameters
        ----------
        X : array-like, data frame or sparse matrix of shape (n_samples, n_features)
        copy : bool, optional
            Instead of the parameter of that name.

        Returns
        -------
        ndarray, CSR matrix, or what `set_output` asked for
            float32 or float16 if X is, else float64. NaN stays NaN.

        Raises
        ------
        ValueError
            For infinities, other features than were learned, and sparse data unless with_mean is False.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **_APPLIED)
        return self._apply(X, copy, inverse=False)

    def inverse_transform(self, X: Any, copy: bool | None = None) -> Any:
        """Multiply by the standard deviation and add the mean, as far as the parameters say.

        Parameters, result and errors are those of `transform`.

        Examples
        --------
        >>> from exactnorm.sklearn import StandardScaler
        >>> scaler = StandardScaler().fit([[1.0], [3.0]])
        >>> scaler.inverse_transform(scaler.transform([[7.0]]))
        array([[7.]])
        """
        check_is_fitted(self)
        X = check_array(X, estimator=self, **_APPLIED)
        if X.shape[1] != self.n_features_in_:
            raise ValueError(f"expected {self.n_features_in_} features, got an X of shape {X.shape}")
        return self._apply(X, copy, inverse=True)

    @classmethod
    def from_sklearn(cls, fitted: sklearn.preprocessing.StandardScaler) -> Self:
        """Convert a fitted scaler of scikit-learn.

        The result transforms dense float64 data as that does, bit for bit. What scikit-learn has learned is
        rounded, so there is nothing exact to go on from: `partial_fit`, `merge` and `forget` raise
        RuntimeError and `moments_` is absent, until `fit` learns anew.

        Examples
        --------
        >>> import sklearn.preprocessing
        >>> from exactnorm.sklearn import StandardScaler
        >>> theirs = sklearn.preprocessing.StandardScaler().fit([[1.0], [3.0]])
        >>> StandardScaler.from_sklearn(theirs).transform([[7.0]])
        array([[5.]])
        """
        if not isinstance(fitted, sklearn.preprocessing.StandardScaler):
            raise TypeError(f"expected sklearn.preprocessing.StandardScaler, got {_kind(fitted)}")
        check_is_fitted(fitted)
        scaler = cls()
        attributes = copies.deepcopy(vars(fitted))
        statistics = [attributes.pop(name) for name in _STATISTICS]
        scaler.__dict__.update(attributes)
        scaler._state = Converted(*statistics)
        return scaler

    def to_sklearn(self) -> sklearn.preprocessing.StandardScaler:
        """Return a fitted scaler of scikit-learn with the same parameters and statistics.

        Examples
        --------
        >>> from exactnorm.sklearn import StandardScaler
        >>> StandardScaler().fit([[1.0], [3.0]]).to_sklearn().transform([[7.0]])
        array([[5.]])
        """
        check_is_fitted(self)
        scaler = sklearn.preprocessing.StandardScaler()
        vars(scaler).update(copies.deepcopy({k: v for k, v in vars(self).items() if k != "_state"}))
        for name in _STATISTICS:
            setattr(scaler, name, copies.deepcopy(getattr(self, name)))
        return scaler

    def to_exactnorm(self) -> Normalization:
        """Return a layer that transforms float32 data as this scaler does, with what it has learned.

        Raises
        ------
        ValueError
            With with_mean or with_std off, and for a scaler that comes from scikit-learn.

        Examples
        --------
        >>> from exactnorm.sklearn import StandardScaler
        >>> StandardScaler().fit([[1.0], [3.0]]).to_exactnorm()([[7.0]])
        array([[5.]], dtype=float32)
        """
        check_is_fitted(self)
        if not (self.with_mean and self.with_std):
            raise ValueError("a layer always centers and scales: expected with_mean and with_std")
        layer = Normalization(nan_policy="omit", constant_policy="unit")
        layer.adapt(_exact(self))
        return layer

    @property
    def mean_(self) -> NDArray | None:
        """Mean of the values that are not NaN; None if neither with_mean nor with_std."""
        return self._read("mean") if self.with_mean or self.with_std else None

    @property
    def var_(self) -> NDArray | None:
        """Population variance of the values that are not NaN; None if not with_std."""
        return self._read("variance") if self.with_std else None

    @property
    def scale_(self) -> NDArray | None:
        """Standard deviation, or 1 where it is 0: where all values are equal. None if not with_std."""
        return self._read("std") if self.with_std else None

    @property
    def n_samples_seen_(self) -> Any:
        """Number of values that were not NaN, or the sum of their weights.

        One number if it is the same for all features, else an array of shape (n_features,).
        """
        check_is_fitted(self)
        return self._state.n_samples_seen

    @property
    def moments_(self) -> Moments:
        """A copy of the exact sums that were learned."""
        check_is_fitted(self)
        if isinstance(self._state, Converted):
            raise AttributeError(_NOT_EXACT)
        return self._state.moments.copy()

    def _read(self, what: str) -> NDArray:
        check_is_fitted(self)
        return self._state.read(what, np.dtype(np.float64))

    def _known(self) -> Moments | None:
        """Return what has been learned, None if nothing has."""
        return _exact(self) if self.__sklearn_is_fitted__() else None

    def _learned(self, X: Any, sample_weight: Any, *, reset: bool) -> Moments:
        """Learn data aside, which are read once: infinities are found in what was learned."""
        how = {"accept_sparse": ("csr", "csc"), "dtype": "numeric", "ensure_all_finite": False}
        is_frame = _get_feature_names(X) is not None and table_kind(X) is not None
        X = validate_data(self, X, reset=reset, **({"skip_check_array": True} if is_frame else how))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        names = list(getattr(self, "feature_names_in_", ()))
        moments = Moments(self.n_features_in_, names)
        if not (is_frame and names and learn_frame(moments, X, sample_weight)):
            X = check_array(X, estimator=self, **how) if is_frame else X
            if issparse(X):
                self._refuse_to_center()
                moments.update_sparse(X, weights=sample_weight)
            else:
                moments.update(X, weights=sample_weight)
        check(moments)
        return moments

    def _use(self, moments: Moments) -> None:
        check(moments)
        warn(empty_features(moments), RuntimeWarning)
        self.n_features_in_ = moments.shape[0]
        if moments.names is not None:
            self.feature_names_in_ = np.array(moments.names, object)
        self._state = Exact(moments)

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = dict(vars(self))
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _refuse_to_center(self) -> None:
        if self.with_mean:
            raise ValueError("a sparse matrix cannot be centered: pass with_mean=False")

    def _apply(self, X: Any, copy: bool | None, *, inverse: bool) -> Any:
        in_place = not (self.copy if copy is None else copy)
        dtype = np.dtype(X.dtype if X.dtype in _FLOATS else np.float64)
        if issparse(X):
            self._refuse_to_center()
            X = X.astype(dtype, copy=not (in_place and X.data.flags.writeable))
            if self.with_std:
                scale = self._state.read("std", dtype)[X.indices]
                (np.multiply if inverse else np.divide)(X.data, scale, out=X.data)
            return X
        in_place = in_place and X.dtype == dtype and X.flags.writeable
        out = X if in_place else np.empty_like(X, dtype)
        return standardize(
            self._state, X, out, with_mean=self.with_mean, with_std=self.with_std, inverse=inverse
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = not self.with_mean
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _exact(source: object) -> Moments:
    """Return what a scaler, or Moments, have learned."""
    if isinstance(source, Moments):
        if len(source.shape) != 1:
            raise ValueError(f"expected Moments of shape (n_features,), got {source.shape}")
        return source
    if not isinstance(source, StandardScaler):
        raise TypeError(f"expected exactnorm.sklearn.StandardScaler or Moments, got {_kind(source)}")
    check_is_fitted(source)
    if isinstance(source._state, Converted):
        raise RuntimeError(_NOT_EXACT)
    return source._state.moments


def _kind(x: object) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"
