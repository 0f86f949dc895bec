"""Moments: what has been learned about some features."""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType
from typing import Any, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm import _core, _html
from exactnorm._arguments import Axis, Names, Policy, ints_of, names_of, threads_of
from exactnorm._arrays import Dense, companion
from exactnorm._inputs import Source
from exactnorm._learn import add, learn
from exactnorm._plot import plot_features
from exactnorm._sparse import Sparse
from exactnorm._state import State
from exactnorm._warn import warn

_MOST_NAMED = 20
_KINDS = ("finite", "nan", "null", "posinf", "neginf")


class Moments(State):
    """The exact sums of x and of x² of each feature, and how many values of each kind there were.

    Two Moments of the same values are equal, whatever the order, the batches and the machines. They add up,
    and one can be taken away from another. Every number read from them is the exact one, rounded once.

    Methods may be called from several threads: each sees the object before or after a change, never between.

    Parameters
    ----------
    shape : int or tuple of int, default ()
        The shape of the features: ``(16,)`` for the columns of a table, ``()`` for a single feature.
    names : sequence of str, optional
        One name for each feature, in C order; distinct.

    Raises
    ------
    ValueError
        For a negative extent, and for names that are not distinct or not one for each feature.

    See Also
    --------
    Moments.from_data : Moments of data.
    Normalization : A layer that learns Moments and normalizes with them.

    Examples
    --------
    >>> import exactnorm as en
    >>> january = en.Moments.from_data([[1.0, 10.0], [3.0, 30.0]])
    >>> february = en.Moments.from_data([[5.0, 20.0]])
    >>> both = january + february
    >>> both.mean()
    array([ 3., 20.])
    >>> both - january == february
    True
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]  # it changes

    _core_type = _core.Moments
    _impl: _core.Moments

    def __init__(self, shape: SupportsIndex | Iterable[SupportsIndex] = (), names: Names = None) -> None:
        self._impl = _core.Moments(ints_of(shape), names_of(names))

    @classmethod
    def from_data(
        cls,
        data: Any,
        axis: Axis | EllipsisType = ...,
        weights: npt.ArrayLike | None = None,
        where: npt.ArrayLike | None = None,
        names: Names = None,
        threads: int | None = None,
        *,
        use_sample_weight: bool = False,
    ) -> Self:
        """Moments of data, which are read once.

        Parameters
        ----------
        data : array, table, dict, or iterable of these
            An array of numbers or booleans: numpy (masked, too: a masked element is a null), DLPack, nested
            lists. A table: anything with Arrow's PyCapsule interface (pyarrow, polars, duckdb), a pandas
            DataFrame, or a dict of named arrays of shape (rows,) or (rows, k). An iterable or generator of
            such batches; of a batch (x, y) or (x, y, sample_weight), x counts.
        axis : int, tuple of int or None, optional
            The axes to keep, a feature for each of their indices; None keeps none: one feature of all
            values. The default is the last axis, but one feature for 1-d data. A table's features are its
            columns.
        weights : array_like, optional
            Non-negative finite numbers of data's shape, or of a leading part of it, such as (rows,). A value
            of weight k counts k times; of weight 0, not at all.
        where : array_like of bool, optional
            Of data's shape, or of a leading part of it. False: as if absent.
        names : sequence of str, optional
            The features' names, if the data are no table; of a table, its columns in the order wanted.
        threads : int, optional
            Default: the environment's ``EXACTNORM_NUM_THREADS``, else the CPUs this process may use. The
            result does not depend on it.
        use_sample_weight : bool, default False
            Take the weights from batches (x, y, sample_weight).

        Returns
        -------
        Moments

        Raises
        ------
        ValueError
            For shapes, names or weights that do not fit, and for an iterable without any batch.
        TypeError
            For data that are not numbers or booleans; the message names the dtype and the column.

        Examples
        --------
        >>> import numpy as np
        >>> import exactnorm as en
        >>> images = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
        >>> en.Moments.from_data(images).mean()
        array([10.5, 11.5, 12.5])
        >>> en.Moments.from_data(images, axis=None).count
        array(24)
        >>> en.Moments.from_data({"age": [31, 57], "income": [2.5, np.nan]}).nan_count
        array([0, 1])
        """
        source = Source(data, weights=weights, where=where, use_sample_weight=use_sample_weight)
        return cls._of(learn(source, axis=axis, names=names_of(names), threads=threads))

    def update(
        self,
        data: Any,
        axis: Axis | EllipsisType = ...,
        weights: npt.ArrayLike | None = None,
        where: npt.ArrayLike | None = None,
        threads: int | None = None,
        *,
        use_sample_weight: bool = False,
    ) -> None:
        """Add data: all, or nothing if there is an error or an interrupt.

        The parameters are those of `from_data`. By default the last axes are kept, as many as `shape` has; a
        table's columns are matched with `names`.

        Raises
        ------
        ValueError
            For other feature shapes or columns, weights or where that do not fit, and weighted data into an
            unweighted object or the reverse.
        TypeError
            For data that are not numbers or booleans; the message names the dtype and the column.

        Examples
        --------
        >>> import exactnorm as en
        >>> m = en.Moments(shape=2)
        >>> for batch in ([[1, 2], [3, 4]], [[5, 6]]):
        ...     m.update(batch)
        >>> m.count
        array([3, 3])
        """
        if (
            axis is ...
            and weights is None
            and where is None
            and threads is None
            and not use_sample_weight
            and self._impl.try_update(data)
        ):
            return
        source = Source(data, weights=weights, where=where, use_sample_weight=use_sample_weight)
        batch = source.peek() if source.stream is None else None
        if batch is not None and isinstance(batch.x, Dense) and batch.x.fits_at_once:
            add(self._impl, batch, axis=axis, threads=threads)
        else:
            learned = learn(
                source, axis=axis, shape=self._impl.shape, names=self._impl.names, threads=threads
            )
            self._impl.merge(learned)

    def update_sparse(self, x: Any, weights: npt.ArrayLike | None = None, threads: int | None = None) -> None:
        """Add a sparse matrix, in the time that its stored values take.

        Values that are not stored are zeros, and count: the state is that of an update with ``x.toarray()``.

        Parameters
        ----------
        x : sparse matrix or array of shape (rows, features)
            Of scipy.sparse, in any format; CSC is read where it is, others are converted to it.
        weights : array_like of shape (rows,), optional
            Non-negative finite numbers. A row of weight k counts k times; of weight 0, not at all.
        threads : int, optional
            As for `from_data`.

        Raises
        ------
        ValueError
            For another number of features, weights that do not fit, and weighted data into an unweighted
            object or the reverse. The object is as it was.
        TypeError
            For what is no sparse matrix of numbers or booleans.

        Examples
        --------
        >>> import exactnorm as en
        >>> import scipy.sparse
        >>> m = en.Moments(shape=3)
        >>> m.update_sparse(scipy.sparse.csr_array([[0, 0, 2], [4, 0, 0]]))
        >>> m.mean()
        array([2., 0., 1.])
        >>> m.count
        array([2, 2, 2])
        """
        learned = _core.Moments(self._impl.shape, [])
        Sparse.of(x).add_to(learned, companion(weights, "weights"), threads_of(threads))
        self._impl.merge(learned)

    def __iadd__(self, other: Moments) -> Self:
        """Add what other has learned. ValueError if shapes, names or weighting differ."""
        if not isinstance(other, Moments):
            return NotImplemented
        self._impl.merge(other._impl)
        return self

    def __isub__(self, other: Moments) -> Self:
        """Take away what other has learned. ValueError naming the feature if it provably was no part."""
        if not isinstance(other, Moments):
            return NotImplemented
        self._impl.subtract(other._impl)
        return self

    def __add__(self, other: Moments) -> Self:
        """Add up, in a new object."""
        if not isinstance(other, Moments):
            return NotImplemented
        return self._of(self._impl.plus(other._impl))

    def __sub__(self, other: Moments) -> Self:
        """Take other away, in a new object."""
        if not isinstance(other, Moments):
            return NotImplemented
        return self._of(self._impl.minus(other._impl))

    def __eq__(self, other: object) -> bool:
        """Whether both have the same exact sums and counts of the same features, and the same names."""
        if not isinstance(other, Moments):
            return NotImplemented
        return self._impl.equals(other._impl)

    def mean(
        self,
        dtype: npt.DTypeLike = "float64",
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
    ) -> npt.NDArray[Any]:
        """Mean of each feature, rounded once to dtype.

        Parameters
        ----------
        dtype : {"float64", "float32"}
            What to round to. A float32 reading is not a float64 reading rounded again.
        nan_policy : {"propagate", "omit", "raise"}
            What a NaN among a feature's values means: the reading is NaN; it is left out; an error.
        inf_policy : {"propagate", "omit", "raise"}
            What infinities mean. They propagate as in a sum: the mean is infinite, or NaN if both signs
            came; the variance is NaN.

        Returns
        -------
        ndarray of shape `shape`
            NaN, with one RuntimeWarning, for features without any value to read.

        Raises
        ------
        ValueError
            For an unknown dtype or policy, and naming the features that "raise" refuses.

        Examples
        --------
        >>> import exactnorm as en
        >>> m = en.Moments.from_data([0.1, 0.2, float("nan")])
        >>> m.mean(nan_policy="omit")
        array(0.15)
        """
        return self._read("mean", dtype, nan_policy, inf_policy, 0)

    def variance(
        self,
        dtype: npt.DTypeLike = "float64",
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
        *,
        ddof: SupportsIndex = 0,
    ) -> npt.NDArray[Any]:
        """Variance of each feature, rounded once to dtype; 0 if and only if all values are equal.

        Parameters
        ----------
        dtype, nan_policy, inf_policy
            As for `mean`.
        ddof : int, default 0
            The divisor is n - ddof: 0 for the variance of these values, 1 to estimate that of what they were
            drawn from. Not for weighted data.

        Returns
        -------
        ndarray of shape `shape`
            NaN, with one RuntimeWarning, for features with n <= ddof values to read.

        Raises
        ------
        ValueError
            As `mean`, for a negative ddof, and for ddof > 0 on weighted data.

        Examples
        --------
        >>> import exactnorm as en
        >>> en.Moments.from_data([1, 2, 3]).variance(ddof=1)
        array(1.)
        """
        return self._read("variance", dtype, nan_policy, inf_policy, ddof)

    def std(
        self,
        dtype: npt.DTypeLike = "float64",
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
        *,
        ddof: SupportsIndex = 0,
    ) -> npt.NDArray[Any]:
        """Root of the exact variance of each feature, rounded once: the standard deviation.

        Parameters, returned shape, warnings and errors are those of `variance`.

        Examples
        --------
        >>> import exactnorm as en
        >>> en.Moments.from_data([[1, 5], [3, 5]]).std("float32")
        array([1., 0.], dtype=float32)
        """
        return self._read("std", dtype, nan_policy, inf_policy, ddof)

    def _read(
        self, what: str, dtype: npt.DTypeLike, nan_policy: str, inf_policy: str, ddof: SupportsIndex
    ) -> npt.NDArray[Any]:
        name = np.dtype(dtype).name
        if name not in ("float32", "float64"):
            raise ValueError(f"expected dtype float32 or float64, got {name}")
        values, empty = self._impl.read(what, name, nan_policy, inf_policy, ddof.__index__())
        if empty:
            listed = ", ".join(empty[:_MOST_NAMED]) + (", …" if len(empty) > _MOST_NAMED else "")
            warn([f"no value to read the {what} from, which is NaN: {listed}"], RuntimeWarning)
        return values

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Number of finite values of each feature."""
        return self._count("finite")

    @property
    def nan_count(self) -> npt.NDArray[np.int64]:
        """Number of NaNs of each feature."""
        return self._count("nan")

    @property
    def null_count(self) -> npt.NDArray[np.int64]:
        """Number of nulls of each feature: Arrow's nulls, pandas' NA, masked elements."""
        return self._count("null")

    @property
    def posinf_count(self) -> npt.NDArray[np.int64]:
        """Number of +inf of each feature."""
        return self._count("posinf")

    @property
    def neginf_count(self) -> npt.NDArray[np.int64]:
        """Number of -inf of each feature."""
        return self._count("neginf")

    def _count(self, kind: str) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = self._impl.counts()[_KINDS.index(kind), ...]
        return counts.astype(np.int64)  # a copy, and not C's long long, which numpy prints as another type

    def __repr__(self) -> str:
        return _html.moments_text(self)

    def _repr_html_(self) -> str:
        return _html.moments_html(self)

    def plot(self, ax: Any = None) -> Any:
        """Draw mean ± standard deviation of each feature, over its finite values. Needs matplotlib.

        A few features have a row each; more than 30 make a band, in their order. If one scale cannot show
        all of them, it is logarithmic but for what is near 0, and says so.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            What to draw on; the default is a new figure of pyplot, which is not shown.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        mean, std = (self._impl.read(what, "float64", "omit", "omit", 0)[0] for what in ("mean", "std"))
        return plot_features(_html.feature_labels(self), mean, std, ax)
