"""From a graph to a layer."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from exactnorm._normalization import Normalization
from exactnorm._onnx.graphs import Values, dtype_named, dtype_of, model_input, shape_of
from exactnorm._onnx.scale import INPUTS, OUTPUTS, NDArray, computing_type, metadata_key, scale_of

PAIRS = (("Sub", "Div"), ("Mul", "Add"))


class Found(NamedTuple):
    """The normalization at an input of a graph."""

    computing: str
    result: str
    invert: bool
    mean: NDArray
    divisor: NDArray


class Metadata(NamedTuple):
    """What `exactnorm.onnx.to_onnx` has said of the layer."""

    config: dict[str, Any]
    variance: NDArray


def from_onnx(model: Any, input_name: str | None = None) -> Normalization:
    """Read the normalization that a model begins with.

    It may come from `to_onnx` or `embed`, or from elsewhere: subtract a constant, then divide by one;
    multiply by a constant, then add one (invert=True); or the Scaler operator, as scikit-learn's converters
    write it. What the model does afterwards does not matter.

    Parameters
    ----------
    model : onnx.ModelProto
        A normalization, or a model that begins with one.
    input_name : str, optional
        Needed if the model has several inputs.

    Returns
    -------
    Normalization
        Built, with given mean and variance. For inputs of the model's dtype its results are those of the
        graph, bit for bit; those of a Scaler, which multiplies by a reciprocal, may be 3 ulp off. The
        variance is that of the layer that was exported, or the square of the divisor.

    Raises
    ------
    ValueError
        Saying what was found: other operators, operands that are not constant, arithmetic in another
        type than a layer's, a divisor that no variance has; and for an input without a shape.
    TypeError
        For what is no model.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.onnx import from_onnx, to_onnx
    >>> layer = en.Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> back = from_onnx(to_onnx(layer))
    >>> back.mean, back.variance
    (array([[ 2., 20.]], dtype=float32), array([[  1., 100.]], dtype=float32))
    """
    info = model_input(model, input_name)
    if not info.type.tensor_type.HasField("shape"):
        raise ValueError(f"the model's input {info.name!r} has no shape, so the layer's rank is unknown")
    metadata = _metadata(model, info.name)
    found = _find(Values(model.graph), info, metadata)
    given = dtype_of(info)
    if given not in INPUTS or found.result not in OUTPUTS:
        raise ValueError(f"no Normalization takes {given} and returns {found.result}")
    expected = computing_type(given, found.result)
    if found.computing != expected:
        raise ValueError(
            f"the graph computes in {found.computing}, but a Normalization that takes {given} and returns "
            f"{found.result} computes in {expected}"
        )
    return _build(found, shape_of(info), metadata)


def _metadata(model: Any, input_name: str) -> Metadata | None:
    for entry in model.metadata_props:
        if entry.key == metadata_key(input_name):
            try:
                about = json.loads(entry.value)
                Normalization.from_config(about["config"])
                return Metadata(about["config"], np.array([float(number) for number in about["variance"]]))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"the model's metadata {entry.key!r} are damaged: {error!r}") from error
    return None


def _find(values: Values, info: Any, metadata: Metadata | None) -> Found:
    steps = list(values.chain(info.name))
    shown = " → ".join(node.op_type for _, node in steps[:4]) or "nothing"
    computing = dtype_of(info)
    if steps and steps[0][1].op_type == "Cast":
        computing = _cast_to(steps.pop(0)[1])
    if steps and (steps[0][1].domain, steps[0][1].op_type) == ("ai.onnx.ml", "Scaler"):
        return _scaler(steps[0][1])
    pair = tuple(node.op_type for _, node in steps[:2])
    constants = [values.operand(value, node) for value, node in steps[:2]] if pair in PAIRS else []
    if not constants:
        raise ValueError(
            f"expected Sub and Div, Mul and Add, or Scaler at the model's input {info.name!r}, found {shown}"
        )
    first, second = constants
    if first is None or second is None:
        raise ValueError(f"expected {pair[0]} and {pair[1]} by constants at the model's input {info.name!r}")
    result = computing
    if len(steps) > 2 and steps[2][1].op_type == "Cast":
        node = steps[2][1]
        # A Cast on the way into a model is the model's, unless the metadata know that it is the layer's.
        if node.output[0] in values.outputs if metadata is None else metadata.config["dtype"] != computing:
            result = _cast_to(node)
    if pair == ("Sub", "Div"):
        return Found(computing, result, False, first, second)
    return Found(computing, result, True, second, first)


def _cast_to(node: Any) -> str:
    return dtype_named(next(attribute.i for attribute in node.attribute if attribute.name == "to"))


def _scaler(node: Any) -> Found:
    """Read a Scaler, which computes in float32, whatever it takes."""
    numbers = {a.name: np.array(helper.get_attribute_value(a), "float32") for a in node.attribute}
    if not {"offset", "scale"} <= numbers.keys() or not (numbers["scale"] > 0).all():
        raise ValueError("expected a Scaler of offsets and positive scales")
    return Found("float32", "float32", False, numbers["offset"], 1 / numbers["scale"])


def _build(
    found: Found, input_shape: tuple[int | str | None, ...], metadata: Metadata | None
) -> Normalization:
    rank = len(input_shape)
    shapes = f"mean of shape {found.mean.shape} and divisor of shape {found.divisor.shape}"
    try:
        extents = np.broadcast_shapes(found.mean.shape, found.divisor.shape, (1,) * rank)
    except ValueError:
        raise ValueError(f"{shapes} do not fit each other") from None
    if len(extents) != rank or any(
        n != 1 and isinstance(given, int) and given != n
        for n, given in zip(extents, input_shape, strict=True)
    ):
        raise ValueError(f"{shapes} do not fit an input of shape {input_shape}")
    axis: Any = [axis for axis, n in enumerate(extents) if n != 1] or None
    options = {"axis": axis} if metadata is None else dict(metadata.config)
    options |= {"invert": found.invert, "dtype": found.result}
    plain = Normalization(axis=options["axis"])
    plain._impl.build(extents)
    kept = plain._impl.axes
    features = [extents[axis] for axis in kept]
    if math.prod(features) != math.prod(extents):
        raise ValueError(f"{shapes} do not fit the axis {options['axis']} that the metadata have")
    mean, divisor = (
        np.broadcast_to(constant, extents).reshape(features) for constant in (found.mean, found.divisor)
    )
    variance = None if metadata is None else metadata.variance
    if variance is not None and variance.size != divisor.size:
        raise ValueError(f"the metadata have {variance.size} variances for {divisor.size} features")
    shape = [n if axis in kept else -1 for axis, n in enumerate(extents)]
    return _with_divisor(options, shape, mean, divisor, variance)


def _with_divisor(
    options: dict[str, Any], shape: list[int], mean: NDArray, divisor: NDArray, variance: NDArray | None
) -> Normalization:
    """Return a built layer that divides by these numbers.

    The root of a square is the number again, in binary arithmetic, if the square is neither too large nor too
    small. The policy 'unit' squares float32 numbers in float64, where none is; but it has no divisor 0.
    """
    impossible = np.isnan(divisor) | np.signbit(divisor)
    if not impossible.any():
        with np.errstate(over="ignore", under="ignore"):
            square = np.square(divisor, dtype="float64")
        candidates = [square] if variance is None else [variance.reshape(divisor.shape), square]
        policies = ({}, {"constant_policy": "unit"}, {"constant_policy": "epsilon", "epsilon": 0.0})
        for policy, candidate in itertools.product(policies, candidates):
            layer = Normalization(**{**options, **policy, "mean": mean, "variance": candidate})
            layer._impl.build(shape)
            actual = scale_of(layer, divisor.dtype.name).divisor.reshape(divisor.shape)
            impossible = actual != divisor
            if not impossible.any():
                layer._warn()
                return layer
    feature = tuple(map(int, np.argwhere(impossible)[0]))
    raise ValueError(f"no variance gives the divisor {divisor[feature]} of feature {feature}")
