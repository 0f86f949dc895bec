"""What the exact layers of a functional model get, as tensors of its graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from exactnorm._keras.layer import ExactLayer


def is_graph(keras: Any, model: Any) -> bool:
    """Whether a model knows its layers' graph: a functional one, or a Sequential."""
    return isinstance(model, (keras.Sequential, getattr(keras, "Function", ()))) or bool(
        getattr(model, "_is_graph_network", False)
    )


def functional(model: Any) -> Any:
    """Return the functional model that a Sequential of Keras 3 has inside, or the model itself."""
    return getattr(model, "_functional", None) or model


def calls(keras: Any, model: Any) -> Iterator[tuple[ExactLayer, Any]]:
    """Go through the exact layers of a built model, and of models inside of it, each with what it gets."""
    graph = functional(model)
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for node in graph._nodes_by_depth[depth]:
            layer, tensors = _operation(node), _inputs(node)
            if isinstance(layer, ExactLayer):
                yield layer, tensors[0]
            elif is_graph(keras, layer):
                for inner, tensor in calls(keras, layer):
                    yield inner, _outside(keras, layer, tensor, tensors)


def _outside(keras: Any, model: Any, tensor: Any, at: list[Any]) -> Any:
    """Return what a tensor of an inner model is in the outer one, where that is called at these tensors."""
    for own, outer in zip(model.inputs, at, strict=True):
        if own is tensor:
            return outer
    return keras.Model(model.inputs, tensor)(at)


def sources(tensor: Any) -> list[Any]:
    """Return the tensors that a tensor is computed from, the inputs among them, and itself."""
    found: dict[int, Any] = {}
    left = [tensor]
    while left:
        tensor = left.pop()
        if id(tensor) not in found:
            found[id(tensor)] = tensor
            operation, index = tensor._keras_history[:2]
            left.extend(_inputs(operation._inbound_nodes[index]))
    return list(found.values())


def exact_layers_before(tensor: Any, layers: Collection[ExactLayer]) -> list[ExactLayer]:
    """Return those of these layers that a tensor is computed with."""
    found: list[ExactLayer] = []
    for source in sources(tensor):
        operation = source._keras_history[0]
        parts = operation._flatten_layers() if hasattr(operation, "_flatten_layers") else [operation]
        found.extend(part for part in parts if any(part is layer for layer in layers))
    return found


def _operation(node: Any) -> Any:
    return node.operation if hasattr(node, "operation") else node.layer


def _inputs(node: Any) -> list[Any]:
    return list(node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors)
