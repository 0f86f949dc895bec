"""A layer's arguments and weights, what ties the weights to the learner, and saving both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._arguments import Axis, Policy
from exactnorm._keras.state import NDArray, State, same_numbers
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._warn import late, warn

_Base: Any = object  # the framework's Layer comes after these classes


class WeightedLayer(_Base):
    """The weights mean, variance and count are what calls use.

    Beside them a learner knows the exact sums they were read from. Whoever writes other numbers into the
    weights (set_weights, a checkpoint) parts the two: the layer applies these weights, and has nothing to
    learn on top of.
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
        if self.compute_dtype not in ("float16", "bfloat16", "float32", "float64"):
            raise ValueError(
                "dtype must be float16, bfloat16, float32, float64 or a policy that computes in one of them, "
                f"got {self.compute_dtype}"
            )
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

    @staticmethod
    def _default_epsilon() -> float:
        raise NotImplementedError

    @staticmethod
    def _value(variable: Any) -> NDArray:
        """Return what a weight holds."""
        raise NotImplementedError

    @staticmethod
    def _count_dtype() -> str:
        return "int64"

    # ---- arguments

    @property
    def axis(self) -> tuple[int, ...]:
        """The axes to keep, as they were given; () for None, as in Keras."""
        return self._state.learner.axis

    @property
    def invert(self) -> bool:
        """Whether calls go back."""
        return bool(self._state.config["invert"])

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

    def build(self, input_shape: Sequence[int | None]) -> None:
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
        with late():
            self._state.build(tuple(input_shape))
            super().build(input_shape)
            if self._state.is_given and not was_built:
                self._warn_of_overflow()
        if was_built or self._state.is_given:
            return
        shape, dtype = self._state.learner.moments.shape, self._state.config["dtype"]
        self.adapt_mean = self._make_weight("mean", shape, dtype, "zeros")
        self.adapt_variance = self._make_weight("variance", shape, dtype, "ones")
        self.count = self._make_weight("count", (), self._count_dtype(), "zeros")
        if self._state.is_unit:
            self.adapt_divisor = self._make_weight("divisor", shape, dtype, "ones")
        ones = np.ones(shape, dtype)
        self._state.shown = [np.zeros_like(ones), ones, np.zeros(()), ones][: len(self._statistics())]

    def _make_weight(self, name: str, shape: tuple[int, ...], dtype: str, initializer: str) -> Any:
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False, autocast=False
        )

    def _scale_weights(self) -> tuple[Any, Any]:
        """Return mean, and variance or what calls divide by."""
        if self._state.given is not None:
            return self._state.given
        return self.adapt_mean, self.adapt_divisor if self._state.is_unit else self.adapt_variance

    def _statistics(self) -> list[Any]:
        """Return the weights, but for those that a derived class may add."""
        weights = [self.adapt_mean, self.adapt_variance, self.count]
        return [*weights, self.adapt_divisor] if self._state.is_unit else weights

    def _values(self) -> list[NDArray]:
        return [self._value(weight).copy() for weight in self._statistics()]  # numpy may share its memory

    def _show(self) -> None:
        """Make calls use what the learner has read."""
        if not self.built:
            self.build(self._state.learned_shape)
        mean, variance, _, *divisor = self._statistics()
        for weight, reading in zip((mean, variance, *divisor), self._state.readings(), strict=True):
            weight.assign(reading)
        self._show_count()
        self._warn_of_overflow()

    def _show_count(self) -> None:
        self.count.assign(min(self._state.learner.count, np.iinfo(self._count_dtype()).max))
        self._state.shown = self._values()

    def _warn_of_overflow(self) -> None:
        if self.compute_dtype != "float16":
            return
        mean, variance = self._state.learner.mean, self._state.learner.variance
        features = self._state.overflowing((mean.ravel(), variance.ravel()), np.float16)
        if features:
            message = (
                f"Normalization layer {self.name!r}: mean or variance is too large for float16, in which the "
                f"layer computes; its outputs are useless: {features}"
            )
            warn([message], RuntimeWarning)

    def _has_its_weights(self) -> bool:
        """Whether the weights are what the learner has put there, or 2.7's reset_state has left there."""
        shown = self._state.shown
        return shown is not None and all(
            same_numbers(*pair) for pair in zip(self._values(), shown, strict=True)
        )

    def _require_its_weights(self, what: str) -> None:
        if self.built and not self._state.is_given and not self._has_its_weights():
            raise RuntimeError(
                f"cannot {what} layer {self.name!r}: its weights were set from outside, and what data they "
                "come from is not known; adapt or reset_state begin anew"
            )

    # ---- saving

    def save_own_variables(self, store: Any) -> None:
        """Save the weights and the exact sums, for Keras."""
        for key, value in self._variables().items():
            store[key] = value
        if self._state.is_given or not self.built:
            return
        store["adapted"] = np.array(self._state.is_adapted, np.uint8)
        if self._has_its_weights():
            store["moments"] = np.frombuffer(self._state.learner.moments.to_bytes(), np.uint8)

    def load_own_variables(self, store: Any) -> None:
        """Load what `save_own_variables` has saved, or the weights of Keras's layer alone; for Keras.

        Raises
        ------
        ValueError
            For weights or sums of another layer. Nothing has changed then.
        """
        keys = set(store.keys())
        if "adapted" not in keys or not self.built:
            super().load_own_variables(store)
            return
        variables = {key: np.asarray(store[key]) for key in keys - {"adapted", "moments"}}
        found = {key: value.shape for key, value in variables.items()}
        expected = {key: value.shape for key, value in self._variables().items()}
        if found != expected:
            raise ValueError(f"layer {self.name!r} has weights of shapes {expected}, got {found}")
        moments = self._moments_in(store) if "moments" in keys else None
        super().load_own_variables(variables)
        self._state.is_adapted = bool(store["adapted"])
        if moments is not None:
            self._state.take(moments)
            self._state.shown = self._values()

    def _moments_in(self, store: Any) -> Moments:
        moments = Moments._from_document(np.asarray(store["moments"]).tobytes())
        shape = self._state.learner.moments.shape
        if moments.shape != shape:
            raise _core.StateError(
                f"layer {self.name!r} has features of shape {shape}, got sums of shape {moments.shape}"
            )
        return moments

    def _variables(self) -> dict[str, NDArray]:
        """Return what Keras saves of any layer, as arrays."""
        variables: dict[str, Any] = {}
        super().save_own_variables(variables)
        return {
            key: np.asarray(v if isinstance(v, (np.ndarray, np.generic)) else self._value(v))
            for key, v in variables.items()
        }
