"""What a layer knows beside its weights."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from exactnorm._normalization import Normalization

Shape = tuple[int | None, ...]


class State:
    """The learner and the flags of a layer; an object of its own, so that no framework tracks its parts.

    Attributes
    ----------
    learner : Normalization
        Learns, checks and warns. Its own readings may lag behind the weights, after loading.
    epsilon : float or None
        As given; None is the framework's, at the time of the call.
    is_adapted : bool
        See `exactnorm.Normalization.is_adapted`.
    shown : list of ndarray or None
        What the weights held when the learner was last read into them; None if they are not the learner's.
    """

    def __init__(self, learner: Normalization, epsilon: float | None) -> None:
        self.learner = learner
        self.config = learner.get_config()
        self.epsilon = epsilon
        self.is_adapted = False
        self.shown: list[npt.NDArray[Any]] | None = None

    @property
    def is_given(self) -> bool:
        """Whether mean and variance are arguments."""
        return self.config["mean"] is not None

    @property
    def built_shape(self) -> Shape:
        """The shape that the learner was built for."""
        kept = self.learner._impl.axes
        return tuple(extent if i in kept else None for i, extent in enumerate(self.learner.mean.shape))

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of a call's result; ValueError with both shapes for what does not fit.

        Extents may be unknown: None, or a symbol of the framework's.
        """
        if not self.learner.built:
            return shape
        built = self.built_shape
        if not shape and len(built) == 1 and built[0] is None:
            return (1,)
        known = [extent if isinstance(extent, int) else -1 for extent in shape]
        if len(known) == len(built):
            known = [
                kept if kept is not None and extent < 0 else extent
                for kept, extent in zip(built, known, strict=True)
            ]
        self.learner._impl.prepare_call(known)
        return shape
