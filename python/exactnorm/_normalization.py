"""The layer: Keras's Normalization, without Keras, exact."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._apply import apply
from exactnorm._arguments import at_least_one
from exactnorm._frames import transform_frame
from exactnorm._inputs import Source
from exactnorm._layer import Layer
from exactnorm._learn import feed
from exactnorm._moments import Moments
from exactnorm._warn import warn


def _source(data: Any, use_sample_weight: bool) -> Source | Moments:
    return data if isinstance(data, Moments) else Source(data, use_sample_weight=use_sample_weight)


class Normalization(Layer):
    """Learn the mean and variance of every feature and apply ``(x - mean) / sqrt(variance)``.

    It does what ``tf.keras.layers.Normalization`` does, with the same arguments, and needs no framework.
    What it has learned is exact (see `Moments`): it does not depend on the order, the batches or the
    machine, it can be merged with that of other layers, and data can be forgotten.

    Calls use the statistics of the last `finalize_state`, with which `adapt`, `merge_state` and `forget`
    end. Before that a call returns its input, with one warning.

    Parameters
    ----------
    axis : int, tuple of int or None, default -1
        The axes to keep: each of their indices has a mean and variance of its own. None: one for all values.
    mean, variance : array_like of float, optional
        Given instead of learned, both or none; they broadcast to the kept axes.
    invert : bool, default False
        Calls return ``x * sqrt(variance) + mean`` instead.
    epsilon : float, default 1e-7
        The least divisor: ``max(sqrt(variance), epsilon)``.
    dtype : {"float32", "float16", "bfloat16", "float64"}
        Of the results. Statistics are float32 at least.
    nan_policy, inf_policy : {"propagate", "omit", "raise"}
        What NaN and infinities among the learned values mean; see `Moments.mean`. Propagating warns.
    constant_policy : {"epsilon", "unit", "raise"}
        What a feature of variance 0 is divided by: epsilon; 1, as scikit-learn does (epsilon is not used
        then at all); nothing, an error.
    name : str, optional
        For messages.

    Raises
    ------
    ValueError
        If only one of mean and variance is given, for a variance that is negative or NaN, and for unknown
        policies and dtypes.

    Examples
    --------
    >>> import exactnorm as en
    >>> layer = en.Normalization(axis=None)
    >>> layer.adapt([1.0, 2.0, 3.0, 4.0, 5.0])
    >>> layer([1.0, 2.0, 3.0])
    array([-1.4142135 , -0.70710677,  0.        ], dtype=float32)

    >>> layer = en.Normalization()
    >>> layer.adapt([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]])
    >>> layer([[0.0, 7.0, 4.0]])
    array([[-1., -1., -1.]], dtype=float32)

    >>> layer = en.Normalization(mean=3.0, variance=2.0)
    >>> layer([[1.0], [2.0], [3.0]])
    array([[-1.4142135 ],
           [-0.70710677],
           [ 0.        ]], dtype=float32)
    """

    def adapt(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        use_sample_weight: bool = False,
        threads: int | None = None,
    ) -> None:
        """Forget everything, learn data, and use that.

        Parameters
        ----------
        data : Moments, array, table, dict, or iterable of batches
            Moments that have been learned elsewhere, or data as for `Moments.from_data`. Of an iterable, an
            element that is one row (rank 1, where the layer keeps an axis) or one number is a batch of one.
        batch_size : int, optional
            For Keras's sake: the result does not depend on it. With steps, how many rows of an array make a
            step.
        steps : int, optional
            How many batches to take. Needed if the data are endless. Of an array, steps × batch_size rows
            are taken, or all without a batch_size.
        use_sample_weight : bool, default False
            Use the weights of (x, y, sample_weight), which are ignored otherwise.
        threads : int, optional
            As for `Moments.from_data`.

        Raises
        ------
        ValueError
            If mean and variance were given; for data without values, a feature without values, data of
            another shape than the layer was built for, and endless data without steps. The layer is as it
            was, as it is after any error and after Ctrl-C.
        TypeError
            For data that are not numbers or booleans.

        Examples
        --------
        >>> import exactnorm as en
        >>> layer = en.Normalization(axis=None)
        >>> layer.adapt([0, 2])
        >>> layer([0, 1, 2])
        array([-1.,  0.,  1.], dtype=float32)
        >>> layer.adapt(batch for batch in ([-1.0], [1.0]))
        >>> layer([0, 1, 2])
        array([0., 1., 2.], dtype=float32)
        """
        batch_size = at_least_one(batch_size, "batch_size")
        steps = at_least_one(steps, "steps")
        if not isinstance(data, Moments):
            data = Source(data, use_sample_weight=use_sample_weight, steps=steps, batch_size=batch_size)
        self._adapt(data, threads)

    def _adapt(self, source: Source | Moments, threads: int | None) -> None:
        adaptation = _core.Adaptation(self._impl)
        if isinstance(source, Moments):
            adaptation.merge(source._impl)
        else:
            feed(adaptation, self._impl, source, threads=threads)
        adaptation.commit()
        if isinstance(source, Source):
            warn(source.complaints, UserWarning)
        self._warn()

    def compile(
        self, run_eagerly: bool | None = None, steps_per_execution: SupportsIndex | None = None
    ) -> None:
        """Do nothing: there is nothing to configure. The arguments are checked as Keras 2.7 does.

        Parameters
        ----------
        run_eagerly : bool, optional
        steps_per_execution : int, optional
            At least 1.

        Raises
        ------
        TypeError
            If run_eagerly is not a bool, or steps_per_execution no integer.
        ValueError
            If steps_per_execution is less than 1.
        """
        if run_eagerly is not None and not isinstance(run_eagerly, (bool, np.bool_)):
            raise TypeError(f"expected run_eagerly to be a bool or None, got {run_eagerly!r}")
        at_least_one(steps_per_execution, "steps_per_execution")

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Fix the rank and the extents of the kept axes.

        Parameters
        ----------
        input_shape : sequence of int or None
            None for an unknown extent, on reduced axes only.

        Raises
        ------
        ValueError
            For axes that the shape lacks, an unknown kept extent, mean and variance that do not broadcast,
            and a shape other than the layer was built for.
        """
        self._impl.build([-1 if extent is None else operator.index(extent) for extent in input_shape])
        self._warn()

    def update_state(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Learn data on top of what is known; calls see it after `finalize_state`.

        Parameters
        ----------
        data, use_sample_weight, threads
            As for `adapt`.

        Raises
        ------
        RuntimeError
            If the layer is not built.
        ValueError, TypeError
            As `adapt`.
        """
        self._update_state(_source(data, use_sample_weight), threads)

    def _update_state(self, source: Source | Moments, threads: int | None) -> None:
        self._impl.update_state(self._learned(source, threads))

    def finalize_state(self) -> None:
        """Make calls use what has been learned. It does not change `is_adapted`, as in Keras 2.7.

        Raises
        ------
        ValueError
            For a feature without any value, and for what a policy refuses. The layer is as it was.
        """
        self._impl.finalize_state()
        self._warn()

    def reset_state(self) -> None:
        """Forget what was learned; calls keep their statistics until `finalize_state`, as in Keras 2.7."""
        self._impl.reset_state()

    def merge_state(self, layers: Iterable[Normalization] | Normalization) -> None:
        """Add what other layers have learned, and use all of it.

        Raises
        ------
        ValueError
            For layers that keep other axes or shapes, have other names, or were given mean and variance.
        RuntimeError
            For a layer that is not built.

        Examples
        --------
        >>> import exactnorm as en
        >>> a, b = en.Normalization(), en.Normalization()
        >>> a.adapt([[1.0], [2.0]])
        >>> b.adapt([[6.0]])
        >>> a.merge_state([b])
        >>> a.mean
        array([[3.]], dtype=float32)
        """
        others = [layers] if isinstance(layers, Normalization) else list(layers)
        for other in others:
            if not isinstance(other, Normalization):
                raise TypeError(f"expected layers, got a {type(other).__name__}")
        self._impl.merge_state([other._impl for other in others])
        self._warn()

    def forget(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Take away data that this layer has learned, and use the rest.

        Parameters
        ----------
        data, use_sample_weight, threads
            As for `adapt`.

        Raises
        ------
        ValueError
            Naming the feature, if the data were provably not learned, or if nothing would be left of it.
        RuntimeError
            If the layer is not built.

        Examples
        --------
        >>> import exactnorm as en
        >>> layer = en.Normalization()
        >>> layer.adapt([[1.0], [2.0], [6.0]])
        >>> layer.forget([[6.0]])
        >>> layer.mean
        array([[1.5]], dtype=float32)
        """
        self._forget(_source(data, use_sample_weight), threads)

    def _forget(self, source: Source | Moments, threads: int | None) -> None:
        self._impl.forget(self._learned(source, threads))
        self._warn()

    def _learned(self, source: Source | Moments, threads: int | None) -> _core.Moments:
        """Learn data aside, for a layer that is built; Moments are what they are."""
        if not self._impl.built:
            raise RuntimeError("the layer is not built: call build, adapt or the layer first")
        if isinstance(source, Moments):
            return source._impl
        adaptation = _core.Adaptation(self._impl)
        feed(adaptation, self._impl, source, names=self._impl.names, threads=threads)
        return adaptation.moments()

    def __call__(
        self, x: Any, out: npt.NDArray[Any] | None = None, *, threads: int | None = None
    ) -> npt.NDArray[Any]:
        """Normalize, or with invert=True take back.

        Parameters
        ----------
        x : array, table or dict
            Of the rank the layer was built for, and its kept extents. A table's columns are matched by name.
        out : ndarray, optional
            Where to write; of the result's shape and dtype. It may be x itself.
        threads : int, optional
            As for `Moments.from_data`.

        Returns
        -------
        ndarray of dtype `dtype`
            out, if that was given. A null gives NaN.

        Raises
        ------
        ValueError
            For another shape than the layer was built for (the message has both), and for an out that does
            not fit.
        TypeError
            For data that are not numbers or booleans.
        """
        if threads is None and (result := self._impl.try_call(x, out, False, warn)) is not None:
            return result
        return self._apply(x, out, threads, opposite=False)

    def inverse(
        self, x: Any, out: npt.NDArray[Any] | None = None, *, threads: int | None = None
    ) -> npt.NDArray[Any]:
        """Do the opposite of a call: ``mean + x * divisor``, or with invert=True normalize.

        Parameters, result and errors are those of a call.

        Examples
        --------
        >>> import exactnorm as en
        >>> layer = en.Normalization(mean=3.0, variance=4.0)
        >>> layer.inverse(layer([[7.0]]))
        array([[7.]], dtype=float32)
        """
        if threads is None and (result := self._impl.try_call(x, out, True, warn)) is not None:
            return result
        return self._apply(x, out, threads, opposite=True)

    def transform_frame(
        self,
        frame: Any,
        columns: Iterable[Hashable] | None = None,
        *,
        inverse: bool = False,
        threads: int | None = None,
    ) -> Any:
        """Normalize columns of a frame, and return a frame of the same kind.

        Columns keep their places; other columns, and pandas' index, are as they were. Nulls stay null, and
        NaN stays NaN. The results have the layer's `dtype`, and a nullable or Arrow-backed column of pandas
        stays one; vectors (columns of fixed-size lists) stay vectors.

        A polars LazyFrame gives a LazyFrame and a pyarrow RecordBatchReader another: each batch is
        normalized when the result is read, by the layer as it is now. A duckdb relation is run once, now;
        the new one has its rows, on the same connection. In a dict, arrays and lists become numpy arrays
        (masked if they were), and columns of pandas, polars and pyarrow stay of their kind.

        Parameters
        ----------
        frame : frame of polars, pandas, pyarrow or duckdb, or dict of named arrays
            It is not changed.
        columns : iterable of column labels, optional
            Which to normalize. A layer that has learned names finds its features by them; the default is all
            that it has learned. A layer without names takes these columns in this order as its features; the
            default is all columns of numbers (not of booleans).
        inverse : bool, default False
            Do the opposite of a call, as the method `inverse`.
        threads : int, optional
            As for `Moments.from_data`.

        Returns
        -------
        frame of the same kind

        Raises
        ------
        ValueError
            Naming the columns that the frame lacks or the layer has not learned; if the columns are more or
            fewer features than the layer has; and if such a frame has no columns of the layer's dtype.
        TypeError
            For what is no frame, and for columns to normalize that are not numbers or booleans.

        Examples
        --------
        >>> import exactnorm as en
        >>> layer = en.Normalization()
        >>> layer.adapt({"age": [20, 40], "income": [1.0, 3.0]})
        >>> layer.transform_frame({"name": ["Ada"], "income": [5.0], "age": [30]})
        {'name': ['Ada'], 'income': array([3.], dtype=float32), 'age': array([0.], dtype=float32)}
        >>> layer.transform_frame({"income": [3.0]}, columns=["income"], inverse=True)
        {'income': array([5.], dtype=float32)}
        """
        result = transform_frame(self._impl, frame, columns, opposite=inverse, threads=threads)
        self._warn()
        return result

    def _apply(
        self, x: Any, out: npt.NDArray[Any] | None, threads: int | None, *, opposite: bool
    ) -> npt.NDArray[Any]:
        result = apply(self._impl, x, out, opposite=opposite, threads=threads)
        self._warn()
        return result

    def _warn(self) -> None:
        messages = self._impl.take_warnings()
        if messages:
            warn(messages, RuntimeWarning)
