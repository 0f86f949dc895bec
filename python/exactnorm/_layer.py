"""What a layer is and knows: its arguments, its statistics, its documents."""

from __future__ import annotations

import os
from typing import Any, Literal, Self, SupportsIndex

import numpy as np
import numpy.typing as npt

from exactnorm import _core, _html
from exactnorm._arguments import Axis, Policy, given_values, ints_of
from exactnorm._moments import Moments
from exactnorm._plot import plot_features

_SHOWN = ("axis", "dtype", "nan_policy", "inf_policy", "constant_policy", "epsilon", "invert")


class Layer:
    """The part of `exactnorm.Normalization` that neither learns nor applies."""

    _impl: _core.Normalization

    def __init__(
        self,
        axis: Axis = -1,
        mean: npt.ArrayLike | None = None,
        variance: npt.ArrayLike | None = None,
        invert: bool = False,
        epsilon: float = 1e-7,
        dtype: str | npt.DTypeLike = "float32",
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
        constant_policy: Literal["epsilon", "unit", "raise"] = "epsilon",
        name: str | None = None,
    ) -> None:
        self._impl = _core.Normalization(
            axis=None if axis is None else ints_of(axis),
            axis_is_list=not (axis is None or isinstance(axis, SupportsIndex)),
            mean=given_values(mean, "mean"),
            variance=given_values(variance, "variance"),
            invert=bool(invert),
            epsilon=float(epsilon),
            dtype=dtype if isinstance(dtype, str) else np.dtype(dtype).name,
            nan_policy=nan_policy,
            inf_policy=inf_policy,
            constant_policy=constant_policy,
            name=name or "",
        )

    @classmethod
    def _of(cls, core: _core.Normalization) -> Self:
        layer = object.__new__(cls)
        layer._impl = core
        return layer

    @property
    def axis(self) -> tuple[int, ...]:
        """The axes to keep, as they were given; () for None, as in Keras."""
        return tuple(self._impl.axis)

    @property
    def invert(self) -> bool:
        """Whether calls go back."""
        return bool(self._impl.options()["invert"])

    @property
    def name(self) -> str | None:
        """The layer's name, if it has one."""
        return self._impl.options()["name"] or None

    @property
    def names(self) -> tuple[str, ...] | None:
        """The learned features' names in C order, if they have any."""
        return tuple(self._impl.names) or None

    @property
    def built(self) -> bool:
        """Whether rank and kept extents are fixed."""
        return self._impl.built

    @property
    def is_adapted(self) -> bool:
        """Whether the layer has been fit to data: by `adapt`, `merge_state`, or before it was saved."""
        return self._impl.is_adapted

    @property
    def count(self) -> int:
        """How many elements a feature has had, of all kinds; as in Keras 2.7. See also ``moments.count``."""
        return self._impl.count

    @property
    def mean(self) -> npt.NDArray[Any]:
        """The mean that calls use, in the shape that broadcasts; float32, or float64 if dtype is.

        RuntimeError before the layer is built.
        """
        return self._statistics()[0]

    @property
    def variance(self) -> npt.NDArray[Any]:
        """The variance that calls use; see `mean`."""
        return self._statistics()[1]

    def _statistics(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """Mean, variance and divisor."""
        return self._impl.statistics(self._impl.dtype == "float64")

    @property
    def moments(self) -> Moments:
        """A copy of what has been learned.

        RuntimeError before the layer is built, and if mean and variance were given.
        """
        return Moments._of(self._impl.moments())

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that `from_config` takes to make the same layer, not adapted.

        Examples
        --------
        >>> import exactnorm as en
        >>> layer = en.Normalization.from_config(en.Normalization(axis=(1, 2)).get_config())
        >>> layer.axis
        (1, 2)
        """
        config: dict[str, Any] = self._impl.options()
        axis, is_list = config["axis"], config.pop("axis_is_list")
        config["axis"] = axis if axis is None or is_list else axis[0]
        for key in ("mean", "variance"):
            config[key] = None if config[key] is None else config[key].tolist()
        config["name"] = config["name"] or None
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Make a layer of the arguments that `get_config` has returned."""
        return cls(**config)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write configuration and state as a JSON document, which `exactnorm.load` reads.

        A loaded layer gives the same bits and can go on learning. The file is replaced at once.

        Raises
        ------
        OSError
            If the file cannot be written; it is as it was.
        """
        self._impl.save(os.fsencode(path))

    def to_bytes(self) -> bytes:
        """Return the same as a CBOR document, which `exactnorm.from_bytes` reads."""
        return self._impl.to_bytes()

    def __copy__(self) -> Self:
        return self._of(self._impl.copy())

    def __deepcopy__(self, memo: object) -> Self:
        return self._of(self._impl.copy())

    def __reduce__(self) -> tuple[Any, ...]:
        return self._from_document, (self.to_bytes(),)

    @classmethod
    def _from_document(cls, document: bytes) -> Self:
        """Unpickle."""
        core = _core.from_bytes(document)
        if not isinstance(core, _core.Normalization):
            raise _core.StateError("expected the state of a Normalization, got that of Moments")
        return cls._of(core)

    def __repr__(self) -> str:
        return f"<{self._summary()}>"

    def _repr_html_(self) -> str:
        config = self.get_config()
        settings = {key: config[key] for key in _SHOWN if config[key] is not None}
        name = f" {config['name']}" if config["name"] else ""
        moments = self.moments if self.built and config["mean"] is None else None
        statistics = (self.mean, self.variance) if self.built else None
        return _html.layer_html(f"Normalization{name}: {self._state()}", settings, statistics, moments)

    def plot(self, ax: Any = None) -> Any:
        """Draw mean ± standard deviation of each feature, as calls use them. Needs matplotlib.

        What is drawn, the parameter, the result and errors are those of `Moments.plot`; RuntimeError before
        the layer is built.
        """
        with np.errstate(invalid="ignore"):
            std = np.sqrt(self.variance)
        moments = self.moments if self._impl.options()["mean"] is None else None
        return plot_features(list(_html.layer_labels(self.mean, moments)), self.mean, std, ax)

    def _summary(self) -> str:
        config, default = self.get_config(), Layer().get_config()
        arguments = ", ".join(f"{key}={value!r}" for key, value in config.items() if value != default[key])
        return f"Normalization({arguments}): {self._state()}"

    def _state(self) -> str:
        if self._impl.options()["mean"] is not None:
            return "given mean and variance"
        if not self.built:
            return "not built"
        learned = _html.moments_summary(self.moments)
        return f"{'adapted' if self.is_adapted else 'not adapted'}, {learned}"
