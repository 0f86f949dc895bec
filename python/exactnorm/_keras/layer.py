"""A Keras layer around an exactnorm.Normalization: that learns and checks, the layer applies its weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm._arguments import at_least_one
from exactnorm._inputs import Source
from exactnorm._keras.inputs import progress_of, refuse_no_numbers, refuse_uneven, source_of
from exactnorm._keras.state import Shape, same_numbers
from exactnorm._keras.weights import WeightedLayer
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._warn import late

_NUMBERS = (int, float, complex, list, tuple)
_ARRAYS = (*_NUMBERS, str, np.generic, np.ndarray)


class ExactLayer(WeightedLayer):
    """The part of a layer that is the same for Keras 3 and tf_keras; the framework's Layer comes after it."""

    # ---- what the framework's class provides

    _ops: Any
    """The module of the framework's functions: add, cast, convert_to_tensor, divide, less, …"""

    def _tensor(self, inputs: Any) -> Any:
        """Return inputs as a tensor of the compute dtype."""
        raise NotImplementedError

    @staticmethod
    def _is_symbolic(x: Any) -> bool:
        """Whether a tensor has no numbers, since a graph is being made."""
        raise NotImplementedError

    @staticmethod
    def _mask_of(x: Any) -> Any:
        """Return the Keras mask of a tensor, or None."""
        return getattr(x, "_keras_mask", None)

    @staticmethod
    def _progress_bar(target: int | None) -> Any:
        raise NotImplementedError

    # ---- learning

    @property
    def is_adapted(self) -> bool:
        """Whether the layer has been fit to data: by `adapt`, `merge_state`, or before it was saved."""
        return self._state.is_adapted

    @property
    def moments(self) -> Moments:
        """A copy of what has been learned.

        RuntimeError before the layer is built, if mean and variance were given, and after the weights were
        set from outside.
        """
        self._require_its_weights("read the moments of")
        return self._state.learner.moments

    def adapt(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        use_sample_weight: bool = False,
        mask: npt.ArrayLike | None = None,
        verbose: int = 0,
        threads: int | None = None,
    ) -> None:
        """Forget everything, learn data, and use that.

        Models that have the layer use it at once, compiled or not; what has frozen the statistics does not:
        an export, and on the JAX and torch backends a mapped tf.data.Dataset.

        Parameters
        ----------
        data : Moments, array, tensor, table, dict, or iterable of batches
            As for `exactnorm.Normalization.adapt`: among others a tf.data.Dataset, PyDataset, DataLoader or
            generator of batches x, (x, y) or (x, y, sample_weight). A Keras mask that comes with a tensor is
            respected.
        batch_size : int, optional
            For Keras 2.7's sake: the result does not depend on it. With steps, how many rows of an array
            make a step.
        steps : int, optional
            How many batches to take. Needed if the data are endless. Of an array, steps × batch_size rows
            are taken, or all without a batch_size.
        use_sample_weight : bool, default False
            Use the weights of (x, y, sample_weight), which are ignored otherwise.
        mask : array_like of bool, optional
            For an array: False where it is as if absent. Of its shape, or of a leading part of it: (rows,)
            or (batch, time).
        verbose : int, default 0
            1 shows a progress bar of the batches.
        threads : int, optional
            As for `exactnorm.Moments.from_data`.

        Raises
        ------
        ValueError
            If mean and variance were given; for data without values, a feature without values, data of
            another shape than the layer was built for, and endless data without steps. The layer is as it
            was, as it is after any error and after Ctrl-C.
        TypeError
            For data that are not numbers or booleans, and for ragged and sparse tensors.
        RuntimeError
            While a graph is made, as in tf.function: there are no numbers then.
        """
        batch_size = at_least_one(batch_size, "batch_size")
        steps = at_least_one(steps, "steps")
        source = self._source(data, mask, use_sample_weight, steps=steps, batch_size=batch_size)
        shown: AbstractContextManager[None] = nullcontext()
        if verbose and isinstance(source, Source):
            shown = progress_of(source, data, steps, self._progress_bar)
        with late():
            with shown:
                self._state.learner._adapt(source, threads)
            self._state.is_adapted = True
            self._show()

    def _source(self, data: Any, mask: Any, use_sample_weight: bool, **limits: Any) -> Source | Moments:
        if self._is_symbolic(data):
            raise RuntimeError(
                f"layer {self.name!r} learns numbers, and there are none while a graph is made: "
                "call this outside of tf.function and jit, and with no symbolic tensor"
            )
        return source_of(
            data, mask=mask, mask_of=self._mask_of, use_sample_weight=use_sample_weight, **limits
        )

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
        self._state.learner.compile(run_eagerly, steps_per_execution)

    def update_state(
        self,
        data: Any,
        *,
        use_sample_weight: bool = False,
        mask: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> None:
        """Learn data on top of what is known; calls see it after `finalize_state`.

        Parameters
        ----------
        data, use_sample_weight, mask, threads
            As for `adapt`.

        Raises
        ------
        RuntimeError
            If the layer is not built, or its weights were set from outside.
        ValueError, TypeError
            As `adapt`.
        """
        source = self._source(data, mask, use_sample_weight)
        self._require_its_weights("update the state of")
        self._state.learner._update_state(source, threads)
        self._show_count()

    def finalize_state(self) -> None:
        """Make calls use what has been learned. It does not change `is_adapted`, as in Keras 2.7.

        Weights that were set from outside stay.

        Raises
        ------
        ValueError
            For a feature without any value, and for what a policy refuses. The layer is as it was.
        """
        if self.built and not self._state.is_given and self._has_its_weights():
            with late():
                self._state.learner.finalize_state()
                self._show()

    def reset_state(self) -> None:
        """Forget what was learned; calls keep their statistics until `finalize_state`, as in Keras 2.7."""
        if self.built and not self._state.is_given:
            self._state.learner.reset_state()
            self._state.is_adapted = False
            self._show_count()

    def merge_state(self, layers: Iterable[Any] | Any) -> None:
        """Add what other layers have learned, and use all of it.

        Parameters
        ----------
        layers : layer or iterable of layers
            Of this class, or `exactnorm.Normalization`.

        Raises
        ------
        ValueError
            For layers that keep other axes or shapes, have other names, or were given mean and variance.
        RuntimeError
            For a layer that is not built, or whose weights were set from outside.
        """
        self._require_its_weights("merge into")
        single = isinstance(layers, (ExactLayer, Normalization))
        learners = [_learner(layer) for layer in ([layers] if single else layers)]
        with late():
            self._state.learner.merge_state(learners)
            if learners:
                self._state.is_adapted |= self._state.learner.is_adapted
                self._show()

    def forget(
        self,
        data: Any,
        *,
        use_sample_weight: bool = False,
        mask: npt.ArrayLike | None = None,
        threads: int | None = None,
    ) -> None:
        """Take away data that this layer has learned, and use the rest.

        Parameters
        ----------
        data, use_sample_weight, mask, threads
            As for `adapt`.

        Raises
        ------
        ValueError
            Naming the feature, if the data were provably not learned, or if nothing would be left of it.
        RuntimeError
            If the layer is not built, or its weights were set from outside.
        """
        source = self._source(data, mask, use_sample_weight)
        self._require_its_weights("forget data of")
        with late():
            self._state.learner._forget(source, threads)
            self._state.is_adapted &= self._state.learner.count > 0
            self._show()

    # ---- calls

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Normalize, or with invert=True take back.

        Parameters
        ----------
        inputs : array, tensor, or numbers in lists
            Of the rank the layer was built for, and its kept extents.

        Raises
        ------
        ValueError
            For another shape than the layer was built for (the message has both), and for several inputs.
        TypeError
            For what is no array of numbers or booleans, and for ragged and sparse tensors.
        """
        outputs = super().__call__(self._one_input(inputs), *args, **kwargs)
        if self._is_identity(outputs):
            self._state.has_warned = True
            Normalization(axis=None, name=self.name)(0.0)  # this warns that it is not adapted
        return outputs

    def _one_input(self, inputs: Any) -> Any:
        if isinstance(inputs, (list, tuple)) and not all(isinstance(x, _ARRAYS) for x in inputs):
            raise ValueError(
                f"a Normalization takes a single input, got a {type(inputs).__name__} of {len(inputs)}: "
                "stack them, or make a layer for each"
            )
        if isinstance(inputs, _NUMBERS):
            inputs = np.asarray(inputs)
        refuse_uneven(inputs)
        refuse_no_numbers(inputs)
        return inputs

    def _is_identity(self, outputs: Any) -> bool:
        """Whether to warn that the layer has learned nothing: once, where there are numbers."""
        state = self._state
        if state.has_warned or state.is_adapted or state.is_given or self._is_symbolic(outputs):
            return False
        mean, variance = self._values()[:2]
        return bool((mean == 0).all() and (variance == 1).all())

    def call(self, inputs: Any) -> Any:
        """Normalize, or with invert=True take back."""
        return self._apply(inputs, self.invert)

    def inverse(self, inputs: Any) -> Any:
        """Do the opposite of a call: ``mean + x * divisor``, or with invert=True normalize.

        Parameters, result and errors are those of a call, but for the symbolic tensors of a functional model:
        there, use a layer with invert=True.
        """
        if type(inputs).__name__ == "KerasTensor":
            raise TypeError("inverse is no part of a functional model: use a layer with invert=True there")
        inputs = self._tensor(self._one_input(inputs))
        if not self.built:
            self.build(inputs.shape)
        return self._apply(inputs, not self.invert)

    def _apply(self, inputs: Any, invert: bool) -> Any:
        inputs = self._tensor(inputs)
        self._state.output_shape(tuple(inputs.shape))
        mean, spread = (self._shaped(self._ops, weight) for weight in self._scale_weights())
        return self._scaled(self._ops, inputs, mean, spread, invert)

    def _shaped(self, ops: Any, weight: Any) -> Any:
        return ops.cast(ops.reshape(weight, self._state.broadcast_shape), self.compute_dtype)

    def _scaled(self, ops: Any, x: Any, mean: Any, spread: Any, invert: bool) -> Any:
        """Compute as Keras does, in its order of operations."""
        if self._state.is_unit:
            divisor = spread
        else:
            root = ops.sqrt(spread)
            epsilon = ops.convert_to_tensor(self._epsilon(), dtype=self.compute_dtype)
            divisor = ops.where(ops.less(root, epsilon), epsilon, root)  # Keras's maximum narrows on torch
        if invert:
            return ops.add(mean, ops.multiply(x, divisor))
        return ops.divide(ops.subtract(x, mean), divisor)

    def _epsilon(self) -> float:
        return self._default_epsilon() if self._state.epsilon is None else self._state.epsilon

    @property
    def mean(self) -> Any:
        """The mean that calls use, in the shape that broadcasts and the compute dtype; None before build."""
        return self._shaped(self._ops, self._scale_weights()[0]) if self.built else None

    @property
    def variance(self) -> Any:
        """The variance that calls use; see `mean`."""
        if not self.built:
            return None
        variance = self._state.learner.variance if self._state.is_given else self.adapt_variance
        return self._shaped(self._ops, variance)

    def to_exactnorm(self) -> Normalization:
        """Return an `exactnorm.Normalization`, with the same mean and variance, that has learned the same.

        It needs no framework, and has the compute dtype as its dtype. From float32 to float32 it gives the
        bits that this layer gives on TensorFlow. Where calls use something else than was learned (weights
        set from outside, or statistics that `finalize_state` is to replace), that is its given mean and
        variance.

        Raises
        ------
        RuntimeError
            If the layer is not built.
        ValueError
            If a variance that was set from outside is negative or NaN.

        Examples
        --------
        >>> from exactnorm.keras import Normalization
        >>> layer = Normalization()
        >>> layer.adapt([[1.0], [3.0]])
        >>> layer.to_exactnorm()([[7.0]])
        array([[5.]], dtype=float32)
        """
        state = self._state
        if not self.built:
            raise RuntimeError(f"layer {self.name!r} is not built: call build, adapt or the layer first")
        config = state.config | {"dtype": self.compute_dtype, "epsilon": self._epsilon()}
        if state.is_given:
            return state.like(config)
        mean, variance = self._values()[:2]
        if self._has_its_weights():
            plain = state.relearned(config)
            learned_mean, learned_variance, _ = (r.reshape(mean.shape) for r in plain._statistics())
            if same_numbers(learned_mean, mean) and same_numbers(learned_variance, variance):
                return plain
        return state.like(config | {"mean": mean, "variance": variance})

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> Shape:
        """Return the shape of the result: that of the input."""
        shape = tuple(input_shape)
        return self._state.output_shape(shape) if self.built else shape


def _learner(layer: Any) -> Normalization:
    if isinstance(layer, ExactLayer):
        layer._require_its_weights("merge")
        return layer._state.learner
    return layer
