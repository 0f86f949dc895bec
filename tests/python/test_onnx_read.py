"""from_onnx: layers whose results are those of the graph, bit for bit; and what is no layer."""

from __future__ import annotations

import json
from typing import Any

import exactnorm as en
import hypothesis.extra.numpy as hnp
import numpy as np
import onnx
import pytest
from exactnorm.onnx import embed, from_onnx, to_onnx
from hypothesis import given as drawn
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from support import NDArray, assert_same_bits
from support_onnx import adapted, given, parsed, run, sample

AXES = [-1, None, (1,), (1, 3), (0, 2)]


def configuration(layer: en.Normalization) -> dict[str, Any]:
    config = layer.get_config()
    del config["mean"], config["variance"]
    return config


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize(
    ("dtype", "result"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float64", "float32"),
        ("int64", "float32"),
        ("uint8", "float16"),
        ("bfloat16", "bfloat16"),
        ("float64", "float16"),
    ],
)
def test_round_trip(dtype: str, result: str, axis: Any, inverted: bool) -> None:
    x = sample(dtype, (5, 3, 4, 6))
    x[..., 0] = x[0, 0, 0, 0]
    for policy in ("epsilon", "unit"):
        layer = adapted(x, axis=axis, dtype=result, invert=inverted, constant_policy=policy, name="some")
        back = from_onnx(to_onnx(layer, dtype))
        assert configuration(back) == configuration(layer)
        assert back.built
        assert_same_bits(back(x), layer(x))
        assert_same_bits(back.inverse(x), layer.inverse(x))


def test_mean_and_variance_are_those_of_the_layer() -> None:
    x = sample("float32", (500, 40))
    for options in ({}, {"epsilon": 100.0}, {"nan_policy": "omit"}):
        layer = adapted(x, **options)
        back = from_onnx(to_onnx(layer))
        assert_same_bits(back.mean, layer.mean)
        assert_same_bits(back.variance, layer.variance)
    squares = np.square(np.sqrt(layer.variance))
    assert (squares != layer.variance).any()  # so it came from the metadata


def test_constant_features_stay_constant() -> None:
    layer = adapted(np.array([[3.0, 1.0, 2.0], [3.0, 2.0, 4.1]]), constant_policy="unit")
    back = from_onnx(to_onnx(layer))
    assert back.variance[0, 0] == 0
    assert_same_bits(back.variance, layer.variance)


def test_from_a_model_that_goes_on() -> None:
    model = parsed("net (float[N, 3] x) => (float16[N, 3] y) { h = Cast <to = 10> (x) y = Neg(h) }")
    x = sample("uint8", (9, 3))
    for options in ({}, {"axis": None}, {"invert": True}):
        layer = adapted(x, **options)
        back = from_onnx(embed(layer, model, dtype="uint8"))
        assert configuration(back) == configuration(layer)
        assert_same_bits(back(x), layer(x))


def test_which_input() -> None:
    model = parsed("net (float[N, 2] a, float[N, 2] b) => (float[N, 2] y) { y = Add(a, b) }")
    both = embed(given(1.0, 4.0, (None, 2)), embed(given(2.0, 9.0, (None, 2)), model, "a"), "b")
    assert from_onnx(both, "a").mean.tolist() == [[2, 2]]
    assert from_onnx(both, "b").mean.tolist() == [[1, 1]]
    with pytest.raises(ValueError, match="the model has 2 inputs, name one of them: 'a', 'b'"):
        from_onnx(both)


# ---- models of others


def check(model: Any, x: NDArray) -> en.Normalization:
    """The layer that was read gives the bits of the graph."""
    layer = from_onnx(model)
    assert_same_bits(layer(x), run(model, x))
    return layer


def test_of_sklearn_in_float64() -> None:
    """As skl2onnx 1.20 writes it."""
    model = parsed(
        """sk (double[?, 3] X) => (double[?, 3] variable)
        <double[3] m = {4.795171926200354, 5.006815375250136, 4.983111169875442},
         double[3] d = {2.175375070446093, 2.006651475704478, 1.909366892982858}>
        { c = Sub(X, m) variable = Div(c, d) }"""
    )
    layer = check(model, sample("float64", (100, 3)))
    assert layer.axis == (1,)
    assert layer.get_config()["dtype"] == "float64"


def scaler(offset: Any, scale: Any, elem_type: int = TensorProto.FLOAT) -> Any:
    x = helper.make_tensor_value_info("X", elem_type, [None, 3])
    y = helper.make_tensor_value_info("variable", TensorProto.FLOAT, [None, 3])
    numbers = {k: v for k, v in (("offset", offset), ("scale", scale)) if v is not None}
    node = helper.make_node("Scaler", ["X"], ["variable"], domain="ai.onnx.ml", **numbers)
    imports = [helper.make_opsetid("ai.onnx.ml", 1), helper.make_opsetid("", 18)]
    return helper.make_model(helper.make_graph([node], "sk", [x], [y]), opset_imports=imports, ir_version=8)


def assert_within_2_ulp(model: Any, x: NDArray) -> None:
    mine, graphs = from_onnx(model)(x), run(model, x)
    assert (np.abs(mine.view("i4") - graphs.view("i4")) <= 2).all()
    assert (mine != graphs).any()


def test_of_sklearn_in_float32() -> None:
    model = scaler([4.795, 5.00625, -4.983], [0.4597, 0.49834263, 523.7])
    assert_within_2_ulp(model, sample("float32", (10_000, 3)))
    exact = scaler([1.0, 2.0, 3.0], [0.5, 4.0, 1.0])
    check(exact, sample("float32", (100, 3)))
    assert from_onnx(scaler([1.0], [0.5])).axis == ()


def test_of_keras_on_tensorflow() -> None:
    """As tf2onnx writes it, once the weights are constants."""
    model = parsed(
        """tf (float[unk__8, 3] x) => (float[unk__9, 3] y)
        <float[1, 3] m = {4.79, 5.006, 4.98}, float[1, 3] recip = {0.4596908, 0.49834266, 0.5237338}>
        { s = Sub(x, m) y = Mul(s, recip) }""",
        opset=15,
    )
    assert_within_2_ulp(model, sample("float32", (10_000, 3)))


def test_of_keras_on_torch() -> None:
    """With Casts that do nothing, and constants as nodes."""
    model = parsed(
        """main (float[batch, 3] x) => (float[d, 3] y) {
          a = Cast <to = 1> (x)  b = Cast <to = 1> (a)
          m = Constant <value = float[1, 3] {4.7951717, 5.0068145, 4.9831114}> ()
          s = Sub(b, m)  t = Cast <to = 1> (s)
          d = Constant <value = float[1, 3] {2.1753752, 2.0066512, 1.9093671}> ()
          y = Div(t, d) }""",
        opset=20,
        ir_version=9,
    )
    check(model, sample("float32", (100, 3)))


def test_of_torch_with_weights_left() -> None:
    """What torch.onnx leaves of large weights."""
    model = parsed(
        """main (float[batch, 3] x) => (float[batch, 3] y)
        <float[3] mean = {1, 2, 3}, float[3] var = {4, 0, 0.3}, float least = {1e-7}> {
          s = Sqrt(var)  c = Clip(s, least)  l = Identity(least)  d = Max(c, l)
          i = Identity(x)  n = Sub(i, mean)  y = Div(n, d) }"""
    )
    layer = check(model, sample("float32", (100, 3)))
    assert layer.variance[0, 1] == np.float32(1e-7) ** 2


@pytest.mark.parametrize(
    ("mean", "divisor", "axis"),
    [
        ("float[3, 1, 1] m = {1, 2, 3}", "float[3, 1, 1] d = {4, 5, 6}", (1,)),
        ("float[3, 1, 1] m = {1, 2, 3}", "float d = {255}", (1,)),
        ("float m = {0}", "float d = {255}", ()),
        ("float[1] m = {1}", "float[1, 1, 1, 1] d = {255}", ()),
        ("float[2] m = {1, 2}", "float[3, 1, 1] d = {4, 5, 6}", (1, 3)),
    ],
)
@pytest.mark.parametrize("operators", [("Sub", "Div"), ("Mul", "Add")])
def test_axes_are_where_the_constants_vary(mean: str, divisor: str, axis: Any, operators: Any) -> None:
    a, b = ("m", "d") if operators[0] == "Sub" else ("d", "m")
    body = f"{{ t = {operators[0]}(x, {a}) y = {operators[1]}(t, {b}) }}"
    model = parsed(f"net (float[N, 3, H, 2] x) => (float[N, 3, H, 2] y) <{mean}, {divisor}> {body}")
    layer = check(model, sample("float32", (5, 3, 4, 2)))
    assert layer.axis == axis
    assert layer.invert == (operators[0] == "Mul")


def test_operands_that_commute() -> None:
    model = parsed(
        """net (float[N, 2] x) => (float[N, 2] y) <float[2] m = {1, 2}, float[2] d = {3, 0.7}>
        { t = Mul(d, x) y = Add(m, t) }"""
    )
    check(model, sample("float32", (100, 2)))


def constants_model(mean: NDArray, divisor: NDArray) -> Any:
    code = helper.np_dtype_to_tensor_dtype(divisor.dtype)
    x, y = (helper.make_tensor_value_info(n, code, ["N", divisor.size]) for n in "xy")
    nodes = [helper.make_node("Sub", ["x", "m"], ["t"]), helper.make_node("Div", ["t", "d"], ["y"])]
    constants = [numpy_helper.from_array(mean, "m"), numpy_helper.from_array(divisor, "d")]
    return helper.make_model(helper.make_graph(nodes, "net", [x], [y], constants), ir_version=8)


def divisors(layer: en.Normalization, dtype: str) -> NDArray:
    return numpy_helper.to_array(to_onnx(layer, dtype).graph.initializer[1])


@drawn(hnp.arrays("f4", 4, elements=st.floats(2.0**-149, np.inf, width=32)))
def test_every_float32_divisor_has_a_variance(divisor: NDArray) -> None:
    """The least and the greatest too, whose squares float32 does not have."""
    layer = from_onnx(constants_model(np.zeros(4, "f4"), divisor))
    assert_same_bits(divisors(layer, "float32")[0], divisor)


@drawn(hnp.arrays("f8", 4, elements=st.floats(1e-150, 1e150)))
def test_float64_divisors_have_a_variance(divisor: NDArray) -> None:
    layer = from_onnx(constants_model(np.zeros(4), divisor))
    assert_same_bits(divisors(layer, "float64")[0], divisor)


def test_extreme_divisors_do_not_warn() -> None:
    model = constants_model(np.zeros(3, "f4"), np.array([1e30, 1e-30, 1], "f4"))
    check(model, np.array([[3e30, 3e-30, 3]], "f4"))


def test_a_divisor_of_zero() -> None:
    model = constants_model(np.zeros(2, "f4"), np.array([0, 0.3], "f4"))
    assert from_onnx(model).get_config()["epsilon"] == 0
    with np.errstate(all="ignore"):
        check(model, np.array([[1, 1], [-1, 0], [0, 2]], "f4"))


@pytest.mark.parametrize(
    "divisor",
    [
        np.array([1, np.nan], "f4"),
        np.array([1, -2], "f4"),
        np.array([1, -0.0], "f4"),
        np.array([1, 1e-200]),
        np.array([1, 1e200]),
        np.array([0, 1e-30], "f4"),
    ],
)
def test_divisors_that_no_variance_gives(divisor: NDArray) -> None:
    with pytest.raises(ValueError, match=r"no variance gives the divisor .* of feature \(1,\)"):
        from_onnx(constants_model(np.zeros(2, divisor.dtype), divisor))


def test_learned_nan_cannot_be_given() -> None:
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer = adapted([[1.0, 1.0], [2.0, np.nan]])
    with pytest.raises(ValueError, match=r"no variance gives the divisor nan of feature \(1,\)"):
        from_onnx(to_onnx(layer))


# ---- the graph is what counts


def test_a_graph_that_was_changed() -> None:
    model = to_onnx(adapted(sample("float32", (9, 3))))
    changed = numpy_helper.from_array(np.array([[1, 2, 0.3]], "f4"), model.graph.initializer[1].name)
    model.graph.initializer[1].CopyFrom(changed)
    layer = check(model, sample("float32", (9, 3)))
    assert layer.variance[0, 1] == 4


def with_metadata(change: Any) -> Any:
    model = to_onnx(adapted(sample("float32", (9, 3))))
    entry = model.metadata_props[0]
    about = json.loads(entry.value)
    entry.value = change(about) or json.dumps(about)
    return model


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda about: "{", "metadata 'exactnorm:x' are damaged"),
        (lambda about: "[]", "metadata 'exactnorm:x' are damaged"),
        (lambda about: about.pop("config") and None, "metadata 'exactnorm:x' are damaged"),
        (lambda about: about["config"].update(colour=1), "metadata 'exactnorm:x' are damaged"),
        (lambda about: about["config"].update(epsilon=-1), "metadata 'exactnorm:x' are damaged"),
        (lambda about: about.update(variance=["x"] * 3), "metadata 'exactnorm:x' are damaged"),
        (lambda about: about.update(variance=["1"]), "metadata have 1 variances for 3 features"),
        (lambda about: about["config"].update(axis=None), r"vary along other axes than \[\]"),
        (lambda about: about["config"].update(axis=5), "axis 5"),
    ],
)
def test_damaged_metadata(change: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        from_onnx(with_metadata(change))


# ---- no normalization


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("y = Neg(x)", "found Neg$"),
        ("t = Neg(x) y = Exp(t)", "found Neg → Exp$"),
        ("t = Sub(x, m) y = Exp(t)", "found Sub → Exp$"),
        ("t = Div(x, d) y = Sub(t, m)", "found Div → Sub$"),
        ("t = Cast <to = 11> (x) u = Cast <to = 1> (t) y = Sub(u, m)", "found Cast → Cast → Sub$"),
        ("t = Sub(x, m) u = Div(x, d) y = Add(t, u)", "found no operator that alone reads it$"),
        ("t = Sub(m, x) y = Div(t, d)", "expected Sub and Div by constants"),
        ("t = Sub(x, m) y = Div(t, t)", "expected Sub and Div.*found Sub$"),
        ("t = Sub(x, m) e = Exp(d) y = Div(t, e)", "expected Sub and Div by constants"),
        ("t = Sub(x, m) y = Mul(t, n)", "expected factors from"),
        ("t = Sub(x, m) y = Mul(t, huge)", "expected factors from"),
    ],
)
def test_what_was_found(body: str, found: str) -> None:
    constants = "float[3] m = {1, 2, 3}, float[3] d = {4, 5, 6}, float n = {-1}, float huge = {3e38}"
    model = parsed(f"net (float[N, 3] x) => (float[N, 3] y) <{constants}> {{ {body} }}")
    with pytest.raises(ValueError, match=found):
        from_onnx(model)


def test_operators_of_other_domains() -> None:
    model = parsed("net (float[N, 3] x) => (float[N, 3] y) <float m = {1}> { t = Sub(x, m) y = Div(t, m) }")
    model.graph.node[0].domain = "com.example"
    with pytest.raises(ValueError, match=r"found com\.example\.Sub → Div"):
        from_onnx(model)


def test_broadcasting_of_old() -> None:
    model = parsed(
        "net (float[N, 3] x) => (float[N, 3] y) <float[3] m = {1, 2, 3}> { t = Sub(x, m) y = Div(t, m) }"
    )
    for node in model.graph.node:
        node.attribute.append(helper.make_attribute("broadcast", 1))
    with pytest.raises(ValueError, match="found Sub → Div"):
        from_onnx(model)


def test_bounds_of_old() -> None:
    model = parsed(
        """net (float[N, 3] x) => (float[N, 3] y) <float[3] m = {1, 2, 3}>
        { c = Clip <min = 2.0> (m) t = Sub(x, m) y = Div(t, c) }"""
    )
    with pytest.raises(ValueError, match="expected Sub and Div by constants"):
        from_onnx(model)


@pytest.mark.parametrize(
    ("given_type", "body", "match"),
    [
        ("int64", "c = Cast <to = 1> (x) t = Sub(c, m) y = Div(t, m)", "in float32, but .* in float64"),
        ("double", "c = Cast <to = 1> (x) t = Sub(c, m) y = Div(t, m)", "in float32, but .* in float64"),
        ("string", "c = Cast <to = 1> (x) t = Sub(c, m) y = Div(t, m)", "no Normalization takes string"),
    ],
)
def test_arithmetic_in_another_type(given_type: str, body: str, match: str) -> None:
    model = parsed(f"net ({given_type}[N, 2] x) => (float[N, 2] y) <float[2] m = {{1, 2}}> {{ {body} }}")
    with pytest.raises(ValueError, match=match):
        from_onnx(model)


def test_arithmetic_in_float16() -> None:
    with pytest.raises(ValueError, match=r"computes in float16, but .* computes in float32"):
        from_onnx(constants_model(np.zeros(2, "f2"), np.ones(2, "f2")))


def test_arithmetic_in_integers() -> None:
    with pytest.raises(ValueError, match="no Normalization takes int32 and returns int32"):
        from_onnx(constants_model(np.zeros(2, "i4"), np.ones(2, "i4")))


def test_scalers_that_are_none() -> None:
    with pytest.raises(ValueError, match=r"Scaler of offset and scale, found \['offset'\]"):
        from_onnx(scaler([1.0], None))
    with pytest.raises(ValueError, match="expected factors from"):
        from_onnx(scaler([1.0], [0.0]))
    with pytest.raises(ValueError, match=r"computes in float32, but .* computes in float64"):
        from_onnx(scaler([1.0], [2.0], TensorProto.DOUBLE))


@pytest.mark.parametrize(
    ("shape", "constants"),
    [
        ("N, 3", "float[2] m = {1, 2}, float[2] d = {1, 2}"),
        ("N, 1", "float[2] m = {1, 2}, float[2] d = {1, 2}"),
        ("N, 3", "float[1, 1, 1] m = {1}, float d = {2}"),
    ],
)
def test_constants_that_do_not_fit_the_input(shape: str, constants: str) -> None:
    model = parsed(
        f"net (float[{shape}] x) => (float[A, B] y) <{constants}> {{ t = Sub(x, m) y = Div(t, d) }}"
    )
    with pytest.raises(ValueError, match=r"mean of shape .* do not fit an input of shape \('N', \d\)"):
        from_onnx(model)


def test_constants_that_do_not_fit_each_other() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) and divisor of shape \(2,\) do not fit each other"):
        from_onnx(constants_model(np.zeros(3, "f4"), np.ones(2, "f4")))


def test_an_input_without_a_shape() -> None:
    model = constants_model(np.zeros(2, "f4"), np.ones(2, "f4"))
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ValueError, match="input 'x' has no shape"):
        from_onnx(model)


def test_external_data() -> None:
    model = constants_model(np.zeros(2, "f4"), np.ones(2, "f4"))
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    with pytest.raises(ValueError, match="the values of 'm' are in a file beside the model"):
        from_onnx(model)


def test_no_model() -> None:
    with pytest.raises(TypeError, match=r"expected an onnx\.ModelProto, as onnx\.load returns, got a str"):
        from_onnx("model.onnx")
