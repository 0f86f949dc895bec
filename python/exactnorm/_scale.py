"""The numbers that a layer computes with, and in which type: what everything that exports a layer needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from exactnorm._normalization import Normalization

NDArray = npt.NDArray[Any]

NARROW_INPUTS = {"float16", "bfloat16", "float32", "bool", "int8", "int16", "uint8", "uint16"}
INPUTS = NARROW_INPUTS | {"float64", "int32", "int64", "uint32", "uint64"}
OUTPUTS = {"float16", "bfloat16", "float32", "float64"}


class Scale(NamedTuple):
    """The numbers of a layer, in the type that it computes in and the shape that broadcasts."""

    mean: NDArray
    variance: NDArray
    divisor: NDArray


def layer_of(layer: Any) -> Normalization:
    """Return a layer that calls do something with; frameworks' layers say what they are by to_exactnorm()."""
    convert = getattr(layer, "to_exactnorm", None)
    plain = layer if isinstance(layer, Normalization) or convert is None else convert()
    if not isinstance(plain, Normalization):
        raise TypeError(
            "expected an exactnorm.Normalization, or a layer whose method to_exactnorm() returns one, "
            f"got a {type(plain).__name__}"
        )
    if not plain.built:
        raise RuntimeError("the layer is not built, so its rank is unknown: call build or adapt first")
    if not plain.is_adapted and plain.get_config()["mean"] is None:
        mean, variance, _ = plain._impl.statistics(True)
        if not mean.any() and (variance == 1).all():
            raise RuntimeError("the layer is not adapted: it would return its input")
    return plain


def computing_type(given: str, result: str) -> str:
    """Return the type that a layer computes in, as docs/contract.md has it."""
    return "float32" if given in NARROW_INPUTS and result != "float64" else "float64"


def scale_of(layer: Normalization, dtype: str) -> Scale:
    """Return what a built layer computes with, at float32 or float64."""
    return Scale(*layer._impl.statistics(dtype == "float64"))
