"""embed: a model that normalizes its input itself gives what it gives for normalized data."""

from __future__ import annotations

import json
from typing import Any

import exactnorm as en
import numpy as np
import onnx
import onnxruntime
import pytest
from exactnorm.onnx import embed
from onnx import TensorProto, helper
from support import NDArray, assert_same_bits
from support_onnx import adapted, given, operators, parsed, run, sample, session

W = "{1, -2, 0.5, 3, 0.25, -1, 7, 0.125, 2, -3, 5, 0.75}"
DENSE = f"""net (float[batch, 3] x) => (float[batch, 4] y)
  <float[3, 4] w = {W}, float[4] b = {{1, 2, 3, 4}}> {{ z = MatMul(x, w) y = Add(z, b) }}"""
MATMUL = f"net (float[N, 3] x) => (float[N, 4] y) <float[3, 4] w = {W}> {{ y = MatMul(x, w) }}"
SEQUENCE = f"""net (float[N, T, 3] x) => (float[N, T, 4] y)
  <float[3, 4] w = {W}, float[4] b = {{1, 2, 3, 4}}> {{ z = MatMul(x, w) y = Add(z, b) }}"""
CONV = f"net (float[N, 3, H, V] x) => (float[N, 4, H, V] y) <float[4, 3, 1, 1] w = {W}> {{ y = Conv(x, w) }}"


def layer3(**options: Any) -> en.Normalization:
    return given([1.0, 2.0, 3.0], [4.0, 0.3, 7.0], (None, 3), **options)


def inputs(model: Any) -> dict[str, list[Any]]:
    return {
        info.name: [dim.dim_value or dim.dim_param for dim in info.type.tensor_type.shape.dim]
        for info in model.graph.input
    }


@pytest.mark.parametrize("level", list(onnxruntime.GraphOptimizationLevel.__members__.values()))
@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize(
    ("text", "shape", "axis"),
    [
        (DENSE, (50, 3), -1),
        (DENSE, (50, 3), None),
        (MATMUL, (50, 3), -1),
        (MATMUL, (50, 3), None),  # ONNX Runtime would multiply the product by 1 / divisor
        (SEQUENCE, (20, 7, 3), None),
        (CONV, (4, 3, 5, 6), 1),
        (CONV, (4, 3, 5, 6), None),
    ],
)
def test_outputs_are_those_of_normalizing_first(
    text: str, shape: tuple[int, ...], axis: Any, inverted: bool, level: Any
) -> None:
    model, x = parsed(text), sample("float32", shape)
    layer = adapted(x, axis=axis, invert=inverted)
    assert_same_bits(run(embed(layer, model), x, level=level), run(model, layer(x), level=level))


def test_one_divisor_before_a_product_of_unknown_extents() -> None:
    """Documented: only without extended optimizations."""
    model, x = parsed(MATMUL.replace("float[N, 3] x", "float[N, M] x")), sample("float32", (50, 3))
    layer = adapted(x, axis=None)
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert_same_bits(run(embed(layer, model), x, level=level), run(model, layer(x), level=level))


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "float16", "bfloat16", "bool"])
def test_raw_data_of_another_type(dtype: str) -> None:
    model, x = parsed(DENSE), sample(dtype, (50, 3))
    layer = adapted(x)
    assert_same_bits(run(embed(layer, model, dtype=dtype), x), run(model, layer(x)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_models_of_another_type(dtype: str) -> None:
    name = {"float64": "double"}.get(dtype, dtype)
    model = parsed(f"net ({name}[N, 3] x) => ({name}[N, 3] y) {{ y = Identity(x) }}")
    x = sample("float32", (50, 3))
    layer = adapted(x, dtype=dtype)
    assert_same_bits(run(embed(layer, model, dtype="float32"), x), layer(x))


def test_the_model_is_not_changed() -> None:
    model = parsed(DENSE)
    before = model.SerializeToString(deterministic=True)
    embedded = embed(layer3(), model, dtype="uint8")
    embedded.graph.node[-1].op_type = "Sub"
    assert model.SerializeToString(deterministic=True) == before


def test_input_and_outputs_keep_their_names_and_shapes() -> None:
    embedded = embed(layer3(), parsed(DENSE))
    assert inputs(embedded) == {"x": ["batch", 3]}
    assert [output.name for output in embedded.graph.output] == ["y"]
    assert operators(embedded) == ["Sub", "Div", "MatMul", "Add"]


def test_names_do_not_clash() -> None:
    model = parsed(
        """net (float[N, 3] x) => (float[N, 3] x_normalized)
        <float[3] x_mean = {1, 2, 3}, float[3] x_divisor = {4, 5, 6}>
        { x_normalized_sub = Add(x, x_mean) x_mean_2 = Mul(x_normalized_sub, x_divisor)
          x_normalized = Sub(x_mean_2, x) }"""
    )
    x = sample("float32", (9, 3))
    assert_same_bits(run(embed(layer3(), model), x), run(model, layer3()(x)))


def test_names_do_not_clash_with_those_within_nodes() -> None:
    model = parsed(
        """net (float[N, 3] x, bool c) => (float[N, 3] y) {
          y = If (c) <
            then_branch = yes () => (float[N, 3] x_mean) { x_mean = Neg(x) },
            else_branch = no () => (float[N, 3] x_divisor) { x_divisor = Abs(x) }> }"""
    )
    x, c = sample("float32", (9, 3)), np.array(True)
    assert_same_bits(run(embed(layer3(), model, "x"), x, c), -layer3()(x))


def test_several_inputs() -> None:
    model = parsed("net (float[N, 2] a, float[N, 3] b) => (float[N, 5] y) { y = Concat <axis = 1> (a, b) }")
    of_a, of_b = given(1.0, 4.0, (None, 2)), layer3()
    both = embed(of_b, embed(of_a, model, "a", dtype="uint8"), "b")
    a, b = np.array([[7, 9]], "u1"), np.array([[4, 5, 6]], "f4")
    assert_same_bits(run(both, a, b), np.concatenate([of_a(a), of_b(b)], axis=1))
    assert {entry.key for entry in both.metadata_props} == {"exactnorm:a", "exactnorm:b"}


def test_graphs_within_nodes_read_the_normalized_value() -> None:
    model = parsed(
        """net (float[N, 3] x, bool c) => (float[N, 3] y) {
          y = If (c) <
            then_branch = yes () => (float[N, 3] t) { t = Neg(x) },
            else_branch = no () => (float[N, 3] e) {
              e = If (c) <then_branch = a () => (float[N, 3] f) { f = Abs(x) },
                          else_branch = b () => (float[N, 3] g) { g = Mul(x, x) }> } > }"""
    )
    x = sample("float32", (9, 3))
    embedded = embed(layer3(), model, "x")
    for c in (True, False):
        z = layer3()(x)
        assert_same_bits(run(embedded, x, np.array(c)), -z if c else z * z)


def test_another_value_of_the_same_name_within_a_node() -> None:
    """A body whose own input has the outer input's name: not good manners, but exporters do it."""
    body = parsed("body (float[3] x) => (float[3] s) { s = Neg(x) }").graph
    scan = helper.make_node("Scan", ["x"], ["y"], body=body, num_scan_inputs=1)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    model = helper.make_model(helper.make_graph([scan], "net", [x], [y]), ir_version=8)
    embedded = embed(layer3(), model)
    inner = embedded.graph.node[-1].attribute[0].g
    assert [list(inner.input[0].name), list(inner.node[0].input)] == [["x"], ["x"]]
    assert list(embedded.graph.node[-1].input) == ["x_normalized"]


@pytest.mark.parametrize(("opset", "ir_version"), [(7, 3), (8, 3), (9, 4), (13, 7), (18, 8), (21, 10)])
def test_older_models_keep_their_versions(opset: int, ir_version: int) -> None:
    text = "net (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }"
    model, x = parsed(text, opset, ir_version), sample("uint8", (9, 3))
    embedded = embed(layer3(), model, dtype="uint8")
    assert (embedded.ir_version, embedded.opset_import[0].version) == (ir_version, opset)
    assert_same_bits(run(embedded, x), -layer3()(x))


def test_models_without_standard_operators() -> None:
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    node = helper.make_node(
        "Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0, 1.0, 2.0], scale=[1.0, 2.0, 4.0]
    )
    model = helper.make_model(
        helper.make_graph([node], "net", [x], [y]),
        opset_imports=[helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    embedded = embed(layer3(), model)
    assert {entry.domain: entry.version for entry in embedded.opset_import} == {"ai.onnx.ml": 3, "": 18}
    data = sample("float32", (9, 3))
    expected = (layer3()(data) - np.arange(3, dtype="f4")) * np.array([1, 2, 4], "f4")
    assert_same_bits(run(embedded, data), expected)


def test_what_else_the_model_says_stays() -> None:
    model = parsed(DENSE)
    helper.set_model_props(model, {"author": "somebody"})
    model.producer_name, model.doc_string, model.graph.input[0].doc_string = "trainer", "a net", "raw"
    model.graph.value_info.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3]))
    embedded = embed(layer3(name="n"), model, dtype="int8")
    assert (embedded.producer_name, embedded.doc_string) == ("trainer", "a net")
    assert embedded.graph.input[0].doc_string == "raw"
    assert [info.name for info in embedded.graph.value_info] == ["x_normalized"]
    stored = {entry.key: entry.value for entry in embedded.metadata_props}
    assert stored["author"] == "somebody"
    assert json.loads(stored["exactnorm:x"])["config"]["name"] == "n"
    assert session(embedded).get_modelmeta().custom_metadata_map == stored


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("float[N, M] x", ["N", 3]),
        ("float[?, ?] x", ["", 3]),
        ("float[5, 3] x", [5, 3]),
        ("float x", []),  # a scalar has a shape; see below for none
    ],
)
def test_the_shape_of_the_input(declared: str, expected: list[Any]) -> None:
    model = parsed(f"net ({declared}) => (float[A, B] y) {{ y = Neg(x) }}")
    if not expected:
        with pytest.raises(ValueError, match=r"input 'x' has shape \(\), the layer takes \('batch', 3\)"):
            embed(layer3(), model)
        return
    assert inputs(embed(layer3(), model)) == {"x": [n or "" for n in expected]}


def test_an_input_without_a_shape_gets_one() -> None:
    model = parsed("net (float[A, B] x) => (float[A, B] y) { y = Neg(x) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    embedded = embed(layer3(), model)
    assert inputs(embedded) == {"x": ["batch", 3]}
    x = sample("float32", (9, 3))
    assert_same_bits(run(embedded, x), -layer3()(x))


def test_a_model_of_constants_that_are_inputs() -> None:
    """As all models were before IR version 4: what has a default is no input to choose."""
    model = parsed(
        "net (float[N, 3] x, float[3] w) => (float[N, 3] y) <float[3] w = {1, 2, 3}> { y = Mul(x, w) }"
    )
    assert len(model.graph.input) == 2
    x = sample("float32", (9, 3))
    assert_same_bits(run(embed(layer3(), model), x), layer3()(x) * np.array([1, 2, 3], "f4"))


def test_an_inverse_layer_takes_normalized_data() -> None:
    x: NDArray = sample("float32", (9, 3))
    layer = layer3(invert=True)
    assert_same_bits(run(embed(layer, parsed(DENSE)), x), run(parsed(DENSE), layer(x)))


# ---- errors


def refuse(match: str, layer: Any, model: Any, *arguments: Any, error: Any = ValueError, **more: Any) -> None:
    before = model.SerializeToString(deterministic=True) if isinstance(model, onnx.ModelProto) else None
    with pytest.raises(error, match=match):
        embed(layer, model, *arguments, **more)
    if before:
        assert model.SerializeToString(deterministic=True) == before


def test_unknown_and_ambiguous_inputs() -> None:
    refuse(r"the model has no input 'z'; its inputs are: 'x'", layer3(), parsed(DENSE), "z")
    two = parsed("net (float[N, 3] a, float[N, 3] b) => (float[N, 3] y) { y = Add(a, b) }")
    refuse("the model has 2 inputs, name one of them: 'a', 'b'", layer3(), two)
    none = parsed("net () => (float[1] y) <float[1] w = {1}> { y = Neg(w) }")
    refuse("the model has 0 inputs, name one of them: none", layer3(), none)


@pytest.mark.parametrize("shape", ["N, 4", "N", "N, 3, 3"])
def test_shapes_that_do_not_fit(shape: str) -> None:
    model = parsed(f"net (float[{shape}] x) => (float[{shape}] y) {{ y = Neg(x) }}")
    refuse(r"input 'x' has shape \('N'.*\), the layer takes \('batch', 3\)", layer3(), model)


def test_another_dtype() -> None:
    model = parsed("net (double[N, 3] x) => (double[N, 3] y) { y = Neg(x) }")
    match = "input 'x' is float64 and the layer's results are float32: the layer needs dtype='float64'"
    refuse(match, layer3(), model)
    refuse("expected a dtype of", layer3(), parsed(DENSE), dtype="complex64", error=TypeError)


def test_normalized_already() -> None:
    refuse("input 'x' has a normalization already", layer3(), embed(layer3(), parsed(DENSE)))


def test_an_input_that_is_returned() -> None:
    model = parsed("net (float[N, 3] x) => (float[N, 3] y, float[N, 3] x) { y = Neg(x) }")
    refuse("returns its input 'x' as it came", layer3(), model)


def test_too_old_a_model() -> None:
    model = parsed("net (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }", opset=6, ir_version=3)
    refuse("the model has opset 6, expected 7 or later", layer3(), model)
    model = parsed("net (float[N, 3] x) => (float[N, 3] y) { y = Neg(x) }", opset=12)
    refuse("bfloat16 needs opset 13", layer3(), model, dtype="bfloat16")


def test_no_tensor() -> None:
    info = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, None)
    graph = helper.make_graph([], "net", [info], [])
    refuse("input 'x' is no tensor", layer3(), helper.make_model(graph))


def test_no_element_type() -> None:
    model = parsed(DENSE)
    model.graph.input[0].type.tensor_type.ClearField("elem_type")
    refuse("input 'x' has no element type", layer3(), model)


def test_no_model() -> None:
    for thing in ("model.onnx", b"", parsed(DENSE).graph):
        refuse(r"expected an onnx\.ModelProto, as onnx\.load returns, got", layer3(), thing, error=TypeError)


def test_no_layer() -> None:
    refuse("expected an exactnorm", parsed(DENSE), layer3(), error=TypeError)
    refuse("not built", en.Normalization(), parsed(DENSE), error=RuntimeError)
