"""What the tests of exactnorm.onnx need: running models, and models to be run."""

from __future__ import annotations

from typing import Any

import exactnorm as en
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, parser
from support import DTYPES, NDArray

ANY_LEVEL = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def session(model: Any, level: Any = ANY_LEVEL) -> onnxruntime.InferenceSession:
    """ONNX Runtime on a model that has passed the checker."""
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(model: Any, *inputs: NDArray, level: Any = ANY_LEVEL) -> NDArray:
    """The first output; that of bfloat16, which ONNX Runtime has no numpy type for, by way of float32."""
    is_bfloat16 = model.graph.output[0].type.tensor_type.elem_type == TensorProto.BFLOAT16
    at_work = session(widened(model) if is_bfloat16 else model, level)
    feeds = {}
    for info, x in zip(at_work.get_inputs(), inputs, strict=True):
        bits, code = (x.view("u2"), TensorProto.BFLOAT16) if x.dtype == DTYPES["bfloat16"] else (x, None)
        feeds[info.name] = (
            onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, code)
            if code
            else onnxruntime.OrtValue.ortvalue_from_numpy(bits)
        )
    (result,) = at_work.run_with_ort_values([at_work.get_outputs()[0].name], feeds)
    values: NDArray = result.numpy()
    return values.astype(DTYPES["bfloat16"]) if is_bfloat16 else values


def widened(model: Any) -> Any:
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    output = wide.graph.output[0]
    wide.graph.node.append(
        helper.make_node("Cast", [output.name], [f"{output.name}_wide"], to=TensorProto.FLOAT)
    )
    output.name += "_wide"
    output.type.tensor_type.elem_type = TensorProto.FLOAT
    return wide


def parsed(text: str, opset: int = 18, ir_version: int = 8) -> Any:
    """A model in ONNX's textual syntax."""
    return parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["" : {opset}]> {text}')


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def adapted(x: Any, **options: Any) -> en.Normalization:
    layer = en.Normalization(**options)
    layer.adapt(x)
    return layer


def given(mean: Any, variance: Any, shape: tuple[int | None, ...], **options: Any) -> en.Normalization:
    """A built layer of these numbers."""
    layer = en.Normalization(mean=mean, variance=variance, **options)
    layer.build(shape)
    return layer


def sample(dtype: str, shape: tuple[int, ...], seed: int = 0) -> NDArray:
    """Values of some hundred, of every feature's own scale, as this type has them."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape) * np.linspace(1, 40, shape[-1]) + 50
    return (x > 60).astype(bool) if dtype == "bool" else x.clip(0, 127).astype(DTYPES[dtype])
