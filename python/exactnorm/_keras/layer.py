"""A Keras layer around an exactnorm.Normalization: that learns and checks, the weights are applied."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm._arguments import Axis, Policy
from exactnorm._keras.state import State
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]
_Base: Any = object  # the framework's Layer comes after this class


class ExactLayer(_Base):  # type: ignore[misc]
    """The part of a layer that is the same for Keras 3 and tf_keras; the framework's Layer comes after it.

    The weights mean, variance and count are what calls use. Beside them a learner knows the exact sums they
    were read from. Whoever writes other numbers into the weights (set_weights, a checkpoint) parts the two:
    the layer applies these weights, and has nothing to learn on top of.
    """

    count: Any = 0
    """How many elements a feature has had, of all kinds; a weight once the layer has weights."""

    def __init__(
        self,
        axis: Axis = -1,
        mean: npt.ArrayLike | None = None,
        variance: npt.ArrayLike | None = None,
        invert: bool = False,
        *,
        epsilon: float | None = None,
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
        constant_policy: Literal["epsilon", "unit", "raise"] = "epsilon",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        learner = Normalization(
            axis=axis,
            mean=mean,
            variance=variance,
            invert=invert,
            epsilon=self._default_epsilon() if epsilon is None else epsilon,
            dtype="float64" if self.variable_dtype == "float64" else "float32",
            nan_policy=nan_policy,
            inf_policy=inf_policy,
            constant_policy=constant_policy,
            name=self.name,
        )
        self._state = State(learner, epsilon)

    # ---- what the framework's class provides

    _ops: Any
    """The framework's functions: add, cast, divide, maximum, multiply, reshape, sqrt, subtract."""

    @staticmethod
    def _default_epsilon() -> float:
        raise NotImplementedError

    @staticmethod
    def _value(variable: Any) -> NDArray:
        """Return what a variable or an eager tensor holds."""
        raise NotImplementedError

    def _tensor(self, inputs: Any) -> Any:
        """Return inputs as a tensor of the compute dtype."""
        raise NotImplementedError

    # ---- arguments

    @property
    def axis(self) -> tuple[int, ...]:
        """The axes to keep, as they were given; () for None, as in Keras."""
        return self._state.learner.axis

    @property
    def invert(self) -> bool:
        """Whether calls go back."""
        return self._state.learner.invert

    @property
    def input_mean(self) -> Any:
        """The mean that was given, or None."""
        return self._state.config["mean"]

    @property
    def input_variance(self) -> Any:
        """The variance that was given, or None."""
        return self._state.config["variance"]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that `from_config` takes to make the same layer, not adapted."""
        config: dict[str, Any] = super().get_config()
        own = self._state.config
        names = ("axis", "mean", "variance", "invert", "nan_policy", "inf_policy", "constant_policy")
        return config | {name: own[name] for name in names} | {"epsilon": self._state.epsilon}

    # ---- weights

    def build(self, input_shape: Any) -> None:
        """Fix the rank and the extents of the kept axes, and make the weights.

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
        was_built = self.built
        self._state.learner.build(tuple(input_shape))
        super().build(input_shape)
        if was_built or self._state.is_given:
            return
        learner = self._state.learner
        shape = learner.moments.shape
        dtype = learner.mean.dtype.name
        self.adapt_mean = self._make_weight("mean", shape, dtype, "zeros")
        self.adapt_variance = self._make_weight("variance", shape, dtype, "ones")
        self.count = self._make_weight("count", (), self._count_dtype(), "zeros")
        self._state.shown = self._values()

    def _make_weight(self, name: str, shape: tuple[int, ...], dtype: str, initializer: str) -> Any:
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False, autocast=False
        )

    @staticmethod
    def _count_dtype() -> str:
        return "int64"

    def _values(self) -> list[NDArray]:
        return [self._value(weight) for weight in self.weights]

    def _show(self) -> None:
        """Make calls use what the learner has finalized."""
        state = self._state
        if not self.built:
            self.build(state.built_shape)
        shape = state.learner.moments.shape
        self.adapt_mean.assign(state.learner.mean.reshape(shape))
        self.adapt_variance.assign(state.learner.variance.reshape(shape))
        self._show_count()

    def _show_count(self) -> None:
        limit = np.iinfo(self._count_dtype()).max
        self.count.assign(min(self._state.learner.count, limit))
        self._state.shown = self._values()

    def _knows_its_weights(self) -> bool:
        shown = self._state.shown
        return shown is not None and all(
            np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
            for a, b in zip(self._values(), shown, strict=True)
        )

    def _require_known_weights(self, what: str) -> None:
        if self.built and not self._state.is_given and not self._knows_its_weights():
            raise RuntimeError(
                f"cannot {what} on layer {self.name!r}: its weights were set from outside, and what data they "
                "come from is not known. adapt or reset_state begin anew"
            )

    @property
    def mean(self) -> Any:
        """The mean that calls use, in the shape that broadcasts and the compute dtype; None before build."""
        return self._statistics()[0] if self.built else None

    @property
    def variance(self) -> Any:
        """The variance that calls use; see `mean`."""
        return self._statistics()[1] if self.built else None

    def _statistics(self) -> tuple[Any, Any]:
        if self._state.is_given:
            learner = self._state.learner
            return self._tensor(learner.mean), self._tensor(learner.variance)
        shape = self._state.learner.mean.shape
        return tuple(
            self._ops.cast(self._ops.reshape(weight, shape), self.compute_dtype)
            for weight in (self.adapt_mean, self.adapt_variance)
        )  # type: ignore[return-value]

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
        self._require_known_weights("read moments")
        return self._state.learner.moments

    def adapt(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        use_sample_weight: bool = False,
        threads: int | None = None,
    ) -> None:
        """Forget everything, learn data, and use that."""
        self._state.learner.adapt(
            data, batch_size, steps, use_sample_weight=use_sample_weight, threads=threads
        )
        self._state.is_adapted = True
        self._show()

    def compile(
        self, run_eagerly: bool | None = None, steps_per_execution: SupportsIndex | None = None
    ) -> None:
        """Do nothing: there is nothing to configure. The arguments are checked as Keras 2.7 does."""
        self._state.learner.compile(run_eagerly, steps_per_execution)

    def update_state(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Learn data on top of what is known; calls see it after `finalize_state`."""
        self._require_known_weights("update_state")
        self._state.learner.update_state(data, use_sample_weight=use_sample_weight, threads=threads)
        self._show_count()

    def finalize_state(self) -> None:
        """Make calls use what has been learned. It does not change `is_adapted`, as in Keras 2.7."""
        if self.built and not self._state.is_given and self._knows_its_weights():
            self._state.learner.finalize_state()
            self._show()

    def reset_state(self) -> None:
        """Forget what was learned; calls keep their statistics until `finalize_state`."""
        if self.built and not self._state.is_given:
            self._state.learner.reset_state()
            self._state.is_adapted = False
            self._show_count()

    def merge_state(self, layers: Iterable[Any] | Any) -> None:
        """Add what other layers have learned, and use all of it."""
        self._require_known_weights("merge_state")
        single = isinstance(layers, (ExactLayer, Normalization))
        others: list[Normalization] = []
        for other in [layers] if single else layers:
            if isinstance(other, ExactLayer):
                other._require_known_weights("merge_state")
                other = other._state.learner
            others.append(other)
        self._state.learner.merge_state(others)
        if self._state.learner.built:
            self._state.is_adapted |= self._state.learner.is_adapted
            self._show()

    def forget(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Take away data that this layer has learned, and use the rest."""
        self._require_known_weights("forget")
        self._state.learner.forget(data, use_sample_weight=use_sample_weight, threads=threads)
        self._state.is_adapted &= self._state.learner.count > 0
        self._show()

    # ---- calls

    def call(self, inputs: Any) -> Any:
        """Normalize, or with invert=True take back."""
        return self._apply(inputs, invert=self.invert)

    def inverse(self, inputs: Any) -> Any:
        """Do the opposite of a call: ``mean + x * divisor``, or with invert=True normalize."""
        return self._apply(inputs, invert=not self.invert)

    def _apply(self, inputs: Any, *, invert: bool) -> Any:
        x = self._tensor(inputs)
        self._output_shape(x.shape)
        mean, variance = self._statistics()
        ops = self._ops
        divisor = ops.maximum(ops.sqrt(variance), self._epsilon)
        if invert:
            return ops.add(mean, ops.multiply(x, divisor))
        return ops.divide(ops.subtract(x, mean), divisor)

    @property
    def _epsilon(self) -> float:
        return self._default_epsilon() if self._state.epsilon is None else self._state.epsilon

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of the result: that of the input."""
        return self._output_shape(input_shape)

    def _output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        return self._state.output_shape(tuple(input_shape))
