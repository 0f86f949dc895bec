"""From a graph to a layer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from onnx import helper

from exactnorm._normalization import Normalization
from exactnorm._onnx.graphs import Values, dtype_named, dtype_of, model_input, operator_of, shape_of
from exactnorm._onnx.metadata import metadata_key
from exactnorm._scale import INPUTS, OUTPUTS, NDArray, computing_type, scale_of

SCALER = "ai.onnx.ml.Scaler"


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
    multiply by a constant, then add one (invert=True); or what tf2onnx and scikit-learn's converter write,
    subtract and multiply by the reciprocal. What the model does afterwards does not matter.

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
        graph, bit for bit; of a graph that multiplies by a reciprocal they are at most 2 ulp off. The
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
                config = Normalization.from_config(about["config"]).get_config()
                return Metadata(config, np.array([float(number) for number in about["variance"]]))
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"the model's metadata {entry.key!r} are damaged: {error!r}") from error
    return None


class Step(NamedTuple):
    """A node that follows on another, and the type that it results in."""

    operator: str
    value: str
    node: Any
    dtype: str


def _steps(values: Values, info: Any) -> Iterator[Step]:
    dtype = dtype_of(info)
    for value, node in values.chain(info.name):
        operator, before = operator_of(node), dtype
        if operator == "Cast":
            dtype = dtype_named(next(a.i for a in node.attribute if a.name == "to"))
        elif operator == SCALER:
            dtype = "float32"
        if operator != "Cast" or dtype != before:  # Keras exports Casts that do nothing
            yield Step(operator, value, node, dtype)


def _find(values: Values, info: Any, metadata: Metadata | None) -> Found:
    steps = list(itertools.islice(_steps(values, info), 4))
    shown = " → ".join(step.operator for step in steps) or "no operator that alone reads it"
    if steps and steps[0].operator == "Cast":
        del steps[0]
    if steps and steps[0].operator == SCALER:
        numbers = {a.name: np.array(helper.get_attribute_value(a), "f4") for a in steps[0].node.attribute}
        if not {"offset", "scale"} <= numbers.keys():
            raise ValueError(f"expected a Scaler of offset and scale, found {sorted(numbers)}")
        return Found("float32", "float32", False, numbers["offset"], _reciprocal(numbers["scale"]))
    pair = [step.operator for step in steps[:2]]
    # Before opset 7 attributes said how to broadcast.
    if pair not in (["Sub", "Div"], ["Sub", "Mul"], ["Mul", "Add"]) or any(
        step.node.attribute for step in steps[:2]
    ):
        raise ValueError(
            "expected Sub and Div, Sub and Mul, Mul and Add, or Scaler at the model's input "
            f"{info.name!r}, found {shown}"
        )
    first, second = (values.operand(step.value, step.node) for step in steps[:2])
    if first is None or second is None:
        raise ValueError(f"expected {' and '.join(pair)} by constants at the model's input {info.name!r}")
    computing = result = steps[1].dtype
    if len(steps) > 2 and steps[2].operator == "Cast":
        # On the way into a model it is the model's Cast, unless the metadata know that it is the layer's.
        is_last = steps[2].node.output[0] in values.outputs
        if is_last if metadata is None else metadata.config["dtype"] != computing:
            result = steps[2].dtype
    if pair == ["Mul", "Add"]:
        return Found(computing, result, True, second, first)
    return Found(computing, result, False, first, second if pair[1] == "Div" else _reciprocal(second))


def _reciprocal(scale: NDArray) -> NDArray:
    """Return the divisor for a factor; both must have all their bits."""
    least = np.finfo(scale.dtype).tiny
    if not ((least <= scale) & (scale <= 1 / least)).all():
        raise ValueError(f"expected factors from {least} to {1 / least}, got {scale.min()} to {scale.max()}")
    return np.asarray(1 / scale)


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
    mean, divisor = (
        _along(np.broadcast_to(constant, extents), kept) for constant in (found.mean, found.divisor)
    )
    variance = None if metadata is None else metadata.variance
    if variance is not None and variance.size != divisor.size:
        raise ValueError(f"the metadata have {variance.size} variances for {divisor.size} features")
    shape = [n if axis in kept else -1 for axis, n in enumerate(extents)]
    return _with_divisor(options, shape, mean, divisor, variance)


def _along(constant: NDArray, kept: list[int]) -> NDArray:
    """Return a constant without the axes on which it only repeats itself."""
    features = constant[tuple(slice(None) if axis in kept else slice(1) for axis in range(constant.ndim))]
    if not np.array_equal(np.broadcast_to(features, constant.shape), constant, equal_nan=True):
        raise ValueError(f"the constants vary along other axes than {kept}, which the metadata have")
    return features.reshape([constant.shape[axis] for axis in kept])


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
        known = square if variance is None else variance.reshape(divisor.shape)
        policies: Any = ({}, {"constant_policy": "unit"}, {"constant_policy": "epsilon", "epsilon": 0.0})
        for policy in policies:
            impossible = np.zeros_like(impossible)
            for _ in range(2):
                given = np.where(impossible, square, known)
                layer = Normalization(**{**options, **policy, "mean": mean, "variance": given})
                layer._impl.build(shape)
                impossible = scale_of(layer, divisor.dtype.name).divisor.reshape(divisor.shape) != divisor
                if not impossible.any():
                    layer._impl.take_warnings()  # of a variance too large, which does no harm here
                    return layer
    feature = tuple(map(int, np.argwhere(impossible)[0]))
    raise ValueError(f"no variance gives the divisor {divisor[feature]} of feature {feature}")
