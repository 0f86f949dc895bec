"""What a layer knows beside its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]
Shape = tuple[int | None, ...]


class State:
    """The learner and the flags of a layer; an object of its own, so that no framework tracks its parts.

    Attributes
    ----------
    learner : Normalization
        Learns, checks and warns. Its readings lag behind the weights after loading, and are not used then.
    config : dict
        The learner's.
    epsilon : float or None
        As it was given; None is the framework's, at the time of the call.
    is_adapted : bool
        As `exactnorm.Normalization.is_adapted`; the learner's own is lost in loading.
    built_shape : tuple of int or None
        What the layer was built for: kept extents, and None for the others.
    given : tuple of ndarray or None
        The given mean, and the given variance or its divisor, in the shape that broadcasts.
    shown : list of ndarray or None
        What the weights held when they last were the learner's; None if they never have been.
    has_warned : bool
        Whether the user knows that calls are the identity.
    """

    built_shape: Shape = ()
    given: tuple[NDArray, NDArray] | None = None
    is_adapted = False
    has_warned = False
    shown: list[NDArray] | None = None

    def __init__(self, learner: Normalization, epsilon: float | None) -> None:
        self.learner = learner
        self.config = learner.get_config()
        self.epsilon = epsilon

    @property
    def is_given(self) -> bool:
        """Whether mean and variance are arguments."""
        return self.config["mean"] is not None

    @property
    def is_unit(self) -> bool:
        """Whether the divisor is a weight too, since it does not follow from the rounded variance."""
        return bool(self.config["constant_policy"] == "unit")

    @property
    def broadcast_shape(self) -> tuple[int, ...]:
        """The built shape, with 1 for the reduced axes."""
        return tuple(1 if extent is None else extent for extent in self.built_shape)

    @property
    def learned_shape(self) -> Shape:
        """The shape that the learner is built for."""
        kept = self.learner._impl.axes
        return tuple(extent if i in kept else None for i, extent in enumerate(self.learner.mean.shape))

    def build(self, shape: Shape) -> None:
        """Build the learner, or check that the shape fits."""
        self.learner.build(shape)
        self.built_shape = self.learned_shape
        if self.is_given:
            mean, variance, divisor = self.learner._statistics()
            self.given = mean, divisor if self.is_unit else variance

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of a call's result; ValueError with both shapes if the input does not fit.

        Extents may be unknown: None, or a framework's symbol. Plain Python, which torch can trace.
        """
        built = self.built_shape
        if not shape and built == (None,):
            return (1,)
        fits = len(shape) == len(built) and all(
            kept is None or extent is None or not isinstance(extent, int) or kept == extent
            for kept, extent in zip(built, shape, strict=True)
        )
        if not fits:
            self.learner.build([extent if isinstance(extent, int) else None for extent in shape])
        return shape

    def readings(self) -> list[NDArray]:
        """Return what the float weights are to hold, in the shape of the features."""
        shape = [extent for extent in self.built_shape if extent is not None]
        mean, variance, divisor = (reading.reshape(shape) for reading in self.learner._statistics())
        return [mean, variance, divisor] if self.is_unit else [mean, variance]

    def take(self, moments: Moments) -> None:
        """Go on from moments, without reading them: the weights hold what was read."""
        learner = self.like(self.config)
        learner.update_state(moments)
        self.learner = learner

    def relearned(self, config: dict[str, Any]) -> Normalization:
        """Return a layer of that configuration that has learned, and reads, what this one's learner has."""
        layer = self.like(config)
        core, moments = layer._impl, self.learner._impl.moments()
        if self.is_adapted:
            adaptation = _core.Adaptation(core)
            adaptation.merge(moments)
            adaptation.commit()
        else:
            core.update_state(moments)
            core.finalize_state()
        core.take_warnings()  # the user has had them
        return layer

    def like(self, config: dict[str, Any]) -> Normalization:
        """Return a layer of that configuration, built as this one is."""
        layer = Normalization.from_config(config)
        layer._impl.build([-1 if extent is None else extent for extent in self.built_shape])
        layer._impl.take_warnings()  # the user has had them
        return layer

    def overflowing(self, values: Sequence[NDArray], dtype: npt.DTypeLike) -> str:
        """Name the features whose statistics are finite, but not in a narrower dtype; "" for none."""
        with np.errstate(over="ignore"):
            lost = [np.isfinite(v) & ~np.isfinite(v.astype(dtype)) for v in values]
        features = np.flatnonzero(np.logical_or.reduce(lost))
        names = self.learner.names
        said = [f"feature {i}" if names is None else f"{names[i]!r} (feature {i})" for i in features[:5]]
        more = f" and {len(features) - 5} more" if len(features) > 5 else ""
        return ", ".join(said) + more


def same_numbers(a: NDArray, b: NDArray) -> bool:
    """Whether two arrays are equal, where NaN equals NaN."""
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")
