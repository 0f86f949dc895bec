"""From a layer to a graph, alone or in front of another."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from exactnorm._normalization import Normalization
from exactnorm._onnx.graphs import code_of, dtype_of, model_input, names_in, rename, shape_of, unused
from exactnorm._onnx.metadata import metadata_key, metadata_of
from exactnorm._scale import INPUTS, computing_type, layer_of, scale_of

OLDEST_OPSET = 7  # the first whose arithmetic broadcasts as numpy's does


class Part(NamedTuple):
    """The nodes and constants that do a layer's work, and what is to be said of it."""

    nodes: list[Any]
    constants: list[Any]
    metadata: str


def to_onnx(
    layer: Any,
    dtype: npt.DTypeLike = "float32",
    *,
    input_name: str = "x",
    output_name: str = "y",
    opset: int | None = None,
) -> Any:
    """Return a model that computes what a layer's call computes.

    The graph is Sub and Div, or Mul and Add with invert=True, in the type that the layer computes in
    for this input (float32 or float64, see docs/contract.md), between Casts where they are needed. Reduced
    axes have any length, kept axes that of the layer.

    Parameters
    ----------
    layer : Normalization
        Built, and adapted or with a given mean; or an object whose method `to_exactnorm` returns one.
    dtype : dtype, default "float32"
        Of the model's input: float16, bfloat16, float32, float64, bool or an integer type.
        The output has the layer's dtype.
    input_name, output_name : str
        What to call the model's input and output.
    opset : int, optional
        The version of the operators, 7 or later; default the newest that the installed onnx knows. A runtime
        may know older ones only.

    Returns
    -------
    onnx.ModelProto
        Checked by onnx.checker. Its metadata_props have, under "exactnorm:<input_name>", the layer's
        configuration, names and digest and the version of exactnorm, as JSON.

    Raises
    ------
    RuntimeError
        If the layer is not built, or neither adapted nor given a mean.
    TypeError
        For what is no layer, and for another dtype.
    ValueError
        For an unknown opset, and equal or empty names.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.onnx import to_onnx
    >>> layer = en.Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> model = to_onnx(layer)
    >>> [node.op_type for node in model.graph.node]
    ['Sub', 'Div']
    """
    layer = layer_of(layer)
    if not input_name or not output_name or input_name == output_name:
        raise ValueError(f"expected two different names, got {input_name!r} and {output_name!r}")
    newest = onnx.defs.onnx_opset_version()
    opset = newest if opset is None else opset
    if not OLDEST_OPSET <= opset <= newest:
        raise ValueError(f"expected an opset from {OLDEST_OPSET} to {newest}, got {opset}")
    given = _given(dtype)
    part = _part(layer, given, input_name, output_name, {input_name, output_name}, opset)
    shape = _shape(layer)
    graph = helper.make_graph(
        part.nodes,
        layer.name or "normalization",
        [helper.make_tensor_value_info(input_name, code_of(given), shape)],
        [helper.make_tensor_value_info(output_name, code_of(layer._impl.dtype), shape)],
    )
    imports = [helper.make_opsetid("", opset)]
    ir_version = helper.find_min_ir_version_for(imports)
    model = helper.make_model(graph, producer_name="exactnorm", opset_imports=imports, ir_version=ir_version)
    _complete(model, part, input_name)
    onnx.checker.check_model(model, full_check=True)
    return model


def embed(
    layer: Any, model: Any, input_name: str | None = None, *, dtype: npt.DTypeLike | None = None
) -> Any:
    """Return a copy of a model that normalizes one of its inputs itself.

    The input keeps its name and takes raw data. The outputs are those that the model gives for
    ``layer(raw)``. For several inputs, embed several times.

    Parameters
    ----------
    layer : Normalization
        As for `to_onnx`. Its dtype must be that of the model's input.
    model : onnx.ModelProto
        It is not changed.
    input_name : str, optional
        Needed if the model has several inputs.
    dtype : dtype, optional
        Of the raw data; default that of the model's input.

    Returns
    -------
    onnx.ModelProto
        Of the model's IR and opset versions, with metadata as those of `to_onnx` added.

    Raises
    ------
    RuntimeError, TypeError
        As `to_onnx`; TypeError for what is no model.
    ValueError
        If there is no such input, its dtype, rank or extents are not the layer's, the model returns it as it
        came, or it has a normalization already; and for a model of an opset before 7.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.onnx import embed
    >>> from onnx import parser
    >>> model = parser.parse_model('''<ir_version: 8, opset_import: ["" : 18]>
    ...     agraph (float[batch, 2] x) => (float[batch, 2] y) { y = Exp(x) }''')
    >>> layer = en.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])
    >>> layer.build((None, 2))
    >>> [node.op_type for node in embed(layer, model).graph.node]
    ['Sub', 'Div', 'Exp']
    """
    layer = layer_of(layer)
    info = model_input(model, input_name)
    name, expected = info.name, dtype_of(info)
    if any(entry.key == metadata_key(name) for entry in model.metadata_props):
        raise ValueError(f"the model's input {name!r} has a normalization already")
    if any(output.name == name for output in model.graph.output):
        raise ValueError(f"the model returns its input {name!r} as it came, so it cannot become another")
    if expected != layer._impl.dtype:
        raise ValueError(
            f"the model's input {name!r} is {expected} and the layer's results are {layer._impl.dtype}: "
            f"the layer needs dtype={expected!r}"
        )
    given = _given(expected if dtype is None else dtype)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    taken = set(names_in(graph))
    target = unused(f"{name}_normalized", taken)
    part = _part(layer, given, name, target, taken, _opset_of(result))
    raw = next(i for i in graph.input if i.name == name)
    _fit(raw, layer)
    _hide_scalar(part, shape_of(raw))
    normalized = onnx.ValueInfoProto()
    normalized.CopyFrom(raw)
    normalized.name = target
    raw.type.tensor_type.elem_type = code_of(given)
    rename(graph, name, target)
    _replace(graph.value_info, [normalized, *(i for i in graph.value_info if i.name != name)])
    _replace(graph.node, [*part.nodes, *graph.node])
    _complete(result, part, name)
    return result


def _given(dtype: npt.DTypeLike) -> str:
    name = str(dtype) if dtype is None or isinstance(dtype, str) else np.dtype(dtype).name
    if name not in INPUTS:
        raise TypeError(f"expected a dtype of {', '.join(sorted(INPUTS))}, got {name!r}")
    return name


def _shape(layer: Normalization) -> tuple[int | str, ...]:
    extents = layer._impl.statistics(False)[0].shape
    reduced = ("batch", *(f"dim_{axis}" for axis in range(1, len(extents))))
    return tuple(n if axis in layer._impl.axes else reduced[axis] for axis, n in enumerate(extents))


def _part(layer: Normalization, given: str, source: str, target: str, taken: set[str], opset: int) -> Part:
    """Return what computes target from source. Names in between are not in taken, to which they are added."""
    result = layer._impl.dtype
    if opset < 13 and "bfloat16" in (given, result):
        raise ValueError(f"bfloat16 needs opset 13 or later, got {opset}")
    computing = computing_type(given, result)
    scale = scale_of(layer, computing)
    mean, divisor = unused(f"{source}_mean", taken), unused(f"{source}_divisor", taken)
    steps = [("Mul", divisor), ("Add", mean)] if layer.invert else [("Sub", mean), ("Div", divisor)]
    if given != computing:
        steps.insert(0, ("Cast", computing))
    if computing != result:
        steps.append(("Cast", result))
    names = [unused(f"{target}_{operator.lower()}", taken) for operator, _ in steps[:-1]]
    nodes = []
    for (operator, operand), value in zip(steps, [*names, target], strict=True):
        if operator == "Cast":
            node = helper.make_node("Cast", [source], [value], name=value, to=code_of(operand))
        else:
            node = helper.make_node(operator, [source, operand], [value], name=value)
        nodes.append(node)
        source = value
    constants = [
        numpy_helper.from_array(scale.mean, mean),
        numpy_helper.from_array(scale.divisor, divisor),
    ]
    return Part(nodes, constants, metadata_of(layer, scale))


def _complete(model: Any, part: Part, input_name: str) -> None:
    """Add what does not depend on where the nodes are."""
    model.graph.initializer.extend(part.constants)
    if model.ir_version < 4:  # where every constant is an input as well
        model.graph.input.extend(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in part.constants
        )
    model.metadata_props.add(key=metadata_key(input_name), value=part.metadata)


def _hide_scalar(part: Part, shape: tuple[int | str | None, ...]) -> None:
    """Repeat a divisor that is one number, where the input's shape allows it.

    ONNX Runtime would multiply the result of a following MatMul by its reciprocal instead, to other bits.
    """
    divisor = part.constants[1]
    wide = {axis: n for axis, n in enumerate(shape) if isinstance(n, int) and n > 1}
    if math.prod(divisor.dims) == 1 and wide:
        axis, extent = wide.popitem()
        repeated = numpy_helper.to_array(divisor).repeat(extent, axis)
        divisor.CopyFrom(numpy_helper.from_array(repeated, divisor.name))


def _opset_of(model: Any) -> int:
    """Return the version of the standard operators; a model that uses none gets one."""
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            if entry.version < OLDEST_OPSET:
                raise ValueError(f"the model has opset {entry.version}, expected {OLDEST_OPSET} or later")
            return int(entry.version)
    newest = max(
        version
        for (domain, version), ir_version in helper.OP_SET_ID_VERSION_MAP.items()
        if domain == "ai.onnx" and ir_version <= model.ir_version
    )
    model.opset_import.append(helper.make_opsetid("", newest))
    return int(newest)


def _fit(info: Any, layer: Normalization) -> None:
    """Give an input's kept axes the layer's extents, unless it is of others."""
    wanted = _shape(layer)
    tensor = info.type.tensor_type
    if not tensor.HasField("shape"):
        tensor.CopyFrom(helper.make_tensor_type_proto(tensor.elem_type, wanted).tensor_type)
    shape = shape_of(info)
    if len(shape) != len(wanted) or any(
        isinstance(n, int) and isinstance(want, int) and n != want
        for n, want in zip(shape, wanted, strict=True)
    ):
        raise ValueError(f"the model's input {info.name!r} has shape {shape}, the layer takes {wanted}")
    for dim, want in zip(tensor.shape.dim, wanted, strict=True):
        if isinstance(want, int):
            dim.dim_value = want


def _replace(repeated: Any, messages: list[Any]) -> None:
    del repeated[:]
    repeated.extend(messages)
