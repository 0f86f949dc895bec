"""What a layer computes with, in which type, and what a model says of it."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import exactnorm
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
        mean, variance = plain._impl.statistics(True)
        if not mean.any() and (variance == 1).all():
            raise RuntimeError("the layer is not adapted: the model would return its input")
    return plain


def computing_type(given: str, result: str) -> str:
    """Return the type that a layer computes in, as docs/contract.md has it."""
    return "float32" if given in NARROW_INPUTS and result != "float64" else "float64"


def scale_of(layer: Normalization, dtype: str) -> Scale:
    """Return what a built layer computes with, at float32 or float64."""
    mean, variance = layer._impl.statistics(dtype == "float64")
    config = layer.get_config()
    if config["constant_policy"] == "unit":
        # Rounded from the exact variance, which only the core knows.
        divisor = _stored_divisors(layer, dtype).reshape(variance.shape)
    else:
        root, least = np.sqrt(variance), np.dtype(dtype).type(config["epsilon"])
        divisor = np.where(root < least, least, root)  # NaN stays
    return Scale(mean, variance, divisor)


def _stored_divisors(layer: Normalization, dtype: str) -> NDArray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.json"
        layer.save(path)
        readings = json.loads(path.read_text(encoding="utf-8"))["readings"]
    return np.array(readings["divisor"], "f8") if dtype == "float64" else _float32(readings["divisor32"])


def _float32(texts: list[str]) -> NDArray:
    """Read float32 numbers as they were written: by way of float64 some would be rounded twice."""
    wide = np.array(texts, "f8")
    numbers = wide.astype("f4")
    for side in (np.float32(0), np.finfo("f4").max):
        others = np.nextafter(numbers, side)
        ties = np.isfinite(numbers) & (numbers.astype("f8") + others == 2 * wide)
        for i in np.flatnonzero(ties):  # float64 does not see on which side of the middle the text is
            apart = [abs(Fraction(float(number)) - Fraction(texts[i])) for number in (numbers[i], others[i])]
            if apart[1] < apart[0]:
                numbers[i] = others[i]
    return numbers


def metadata_key(input_name: str) -> str:
    """Return the key under which a model keeps what it knows of the layer at this input."""
    return f"exactnorm:{input_name}"


def metadata_of(layer: Normalization, scale: Scale) -> str:
    """Return what the graph does not show, as JSON."""
    try:
        version = exactnorm.__version__
    except PackageNotFoundError:  # frozen applications carry no metadata
        version = "unknown"
    config = layer.get_config()
    learned = config.pop("mean") is None
    del config["variance"]
    about = {
        "version": version,
        "config": config,
        "names": layer.names,
        "digest": layer.moments.digest if learned else None,
        "variance": [repr(float(v)) for v in scale.variance.ravel()],  # not rounded again
    }
    return json.dumps(about, ensure_ascii=False)
