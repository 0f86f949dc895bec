"""Looking at ONNX models, and renaming in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from exactnorm._scale import NDArray

# What exporters leave between a layer's weights and its arithmetic; each gives the same bits everywhere.
FOLDED = {"Clip", "Constant", "Identity", "Max", "Sqrt"}


def model_input(model: Any, name: str | None) -> Any:
    """Return the input of this name, or the only one; what has a default value is none."""
    if not isinstance(model, onnx.ModelProto):
        raise TypeError(f"expected an onnx.ModelProto, as onnx.load returns, got a {type(model).__name__}")
    defaults = {tensor.name for tensor in model.graph.initializer}
    inputs = {info.name: info for info in model.graph.input if info.name not in defaults}
    listed = ", ".join(map(repr, inputs)) or "none"
    if name is None and len(inputs) != 1:
        raise ValueError(f"the model has {len(inputs)} inputs, name one of them: {listed}")
    if name is not None and name not in inputs:
        raise ValueError(f"the model has no input {name!r}; its inputs are: {listed}")
    info = next(iter(inputs.values())) if name is None else inputs[name]
    if not info.type.HasField("tensor_type"):
        raise ValueError(f"the model's input {info.name!r} is no tensor")
    return info


def dtype_of(info: Any) -> str:
    """Return numpy's name of the type of a tensor's elements."""
    code = info.type.tensor_type.elem_type
    if code == TensorProto.UNDEFINED:
        raise ValueError(f"the model's input {info.name!r} has no element type")
    return dtype_named(code)


def dtype_named(code: int) -> str:
    """Return numpy's name of an ONNX type, or ONNX's of one that no layer takes."""
    name: str = TensorProto.DataType.Name(code).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def code_of(dtype: str) -> int:
    """Return the ONNX type of numpy's name."""
    name = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    return int(TensorProto.DataType.Value(name.upper()))


def operator_of(node: Any) -> str:
    """Return the name of a node's operator, behind its domain if that is not the standard one."""
    return str(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}")


def shape_of(info: Any) -> tuple[int | str | None, ...]:
    """Return the extents of a tensor; those that may vary are names or None."""
    dims = info.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in dims)


def names_in(graph: Any) -> Iterator[str]:
    """Yield every name of a value in a graph and the graphs in it."""
    for part in (graph.input, graph.output, graph.value_info, graph.initializer):
        yield from (thing.name for thing in part)
    for node in graph.node:
        yield from node.input
        yield from node.output
        for inner in _graphs_in(node):
            yield from names_in(inner)


def unused(name: str, taken: set[str]) -> str:
    """Return the name, or a longer one that is not taken; it is taken then."""
    number, result = 1, name
    while result in taken:
        number, result = number + 1, f"{name}_{number}"
    taken.add(result)
    return result


def rename(graph: Any, old: str, new: str) -> None:
    """Let everything that reads old read new, in the graphs within the nodes too."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        for inner in _graphs_in(node):
            if all(info.name != old for info in inner.input):  # otherwise it is another value there
                rename(inner, old, new)


def _graphs_in(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


class Values:
    """A graph by its values: who reads them, and which are constant."""

    def __init__(self, graph: Any) -> None:
        self.outputs = {info.name for info in graph.output}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {output: node for node in graph.node for output in node.output}
        self._readers: dict[str, list[Any]] = {}
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)

    def chain(self, value: str) -> Iterator[tuple[str, Any]]:
        """Yield what follows on a value one by one: the value read, and the only node that reads it."""
        while len(readers := self._readers.get(value, [])) == 1:
            node = readers[0]
            if node.op_type != "Identity":
                yield value, node
            value = node.output[0]

    def operand(self, value: str, node: Any) -> NDArray | None:
        """Return the constant with which a node of two inputs combines a value, if it is one."""
        first, second = node.input
        if first == value:
            return self._constant(second)
        return self._constant(first) if node.op_type in ("Add", "Mul") else None

    def _constant(self, name: str) -> NDArray | None:
        if name in self._initializers:
            tensor = self._initializers[name]
            if tensor.data_location == TensorProto.EXTERNAL:
                raise ValueError(f"the values of {name!r} are in a file beside the model: load them too")
            return np.asarray(numpy_helper.to_array(tensor))
        node = self._makers.get(name)
        if node is None or operator_of(node) not in FOLDED or (node.op_type == "Clip" and node.attribute):
            return None  # Clip had its bounds as attributes once, and the evaluator is of today
        inputs = {key: self._constant(key) for key in node.input if key}
        if any(value is None for value in inputs.values()):
            return None
        return np.asarray(ReferenceEvaluator(node).run(None, inputs)[0])
