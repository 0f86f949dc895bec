"""to_onnx: ONNX Runtime gives the layer's bits; what the graph has; what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import exactnorm as en
import numpy as np
import onnx
import pytest
from exactnorm.onnx import to_onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from support import DTYPES, assert_same_bits, finite_values
from support_onnx import adapted, given, operators, run, sample

import reference as ref

AXES = [-1, None, (1,), (1, 3), (0, 2)]


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("dtype", ref.DTYPES)
def test_bits_of_every_input_type(dtype: str, axis: Any, inverted: bool) -> None:
    """Computed in float32 or in float64, as the type asks for."""
    x = sample(dtype, (5, 3, 4, 6))
    for policy in ("epsilon", "unit"):
        layer = adapted(x, axis=axis, invert=inverted, constant_policy=policy)
        assert_same_bits(run(to_onnx(layer, dtype), x), layer(x))


@pytest.mark.parametrize("result", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "uint8"])
def test_bits_of_every_output_type(dtype: str, result: str) -> None:
    x = sample(dtype, (50, 4))
    for inverted in (False, True):
        layer = adapted(x, dtype=result, invert=inverted)
        assert_same_bits(run(to_onnx(layer, dtype), x), layer(x))


@pytest.mark.parametrize(
    ("dtype", "result", "scale"),
    [("float32", "float32", s) for s in (1e-30, 1e-15, 1e-6, 1e6, 1e15)]
    + [("float32", "float64", s) for s in (1e-30, 1e15)]
    + [("float64", "float32", s) for s in (1e-15, 1e-6, 1e6, 1e15)]
    + [("float64", "float64", s) for s in (1e-150, 1e-30, 1e30, 1e150)],
)
def test_bits_at_any_scale(dtype: str, result: str, scale: float) -> None:
    rng = np.random.default_rng(1)
    x = (scale * (rng.standard_normal((1000, 7)) + rng.uniform(-100, 100, 7))).astype(dtype)
    for options in ({}, {"epsilon": 0.0}, {"constant_policy": "unit"}, {"invert": True}):
        layer = adapted(x, dtype=result, **options)
        assert_same_bits(run(to_onnx(layer, dtype), x), layer(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_of_any_bits(dtype: str) -> None:
    """Values of every exponent, subnormal ones too."""
    x = finite_values(dtype, (4000, 3), 2)
    for inverted in (False, True):
        layer = given([0.0, 1.0, -1e-30], [4.0, 1e-20, 1e20], x.shape, dtype=dtype, invert=inverted)
        assert_same_bits(run(to_onnx(layer, dtype), x), layer(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_and_infinity(dtype: str) -> None:
    x = np.array([[np.nan, np.inf], [-np.inf, -0.0], [0.0, 1.0]], dtype)
    for inverted in (False, True):
        layer = given([1.0, 0.0], [4.0, np.inf], x.shape, dtype=dtype, invert=inverted)
        assert_same_bits(run(to_onnx(layer, dtype), x), layer(x))


def test_learned_nan_is_exported() -> None:
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer = adapted([[1.0, 1.0], [2.0, np.nan]])
    y = run(to_onnx(layer), np.ones((1, 2), "f4"))
    assert y[0, 0] == -1
    assert np.isnan(y[0, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_features(dtype: str) -> None:
    x = np.array([[3.0, 1.0], [3.0, 2.0]], dtype)
    divisors = {"epsilon": 1e-7, "unit": 1.0}
    for policy, divisor in divisors.items():
        model = to_onnx(adapted(x, constant_policy=policy, dtype=dtype), dtype)
        assert run(model, x + 1)[0, 0] == np.array(1, dtype) / np.array(divisor, dtype)


def test_unit_divisors_are_rounded_once() -> None:
    """They are those of the exact variance, where the root of the rounded variance is often another."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((9, 2000)).astype("float32")
    layer = adapted(x, constant_policy="unit")
    _, divisor = (onnx.numpy_helper.to_array(tensor) for tensor in to_onnx(layer).graph.initializer)
    assert_same_bits(divisor[0], layer.moments.std(dtype="float32"))
    assert (divisor != np.sqrt(layer.variance)).any()


def test_divisors_of_given_numbers_with_unit() -> None:
    """The root of this variance is nearer to the midpoint of two float32 numbers than float64 can tell."""
    midpoint = 1 + 2.0**-24
    variance = np.nextafter(midpoint**2, 2)
    layer = given([0.0], [variance], (None, 1), constant_policy="unit")
    _, divisor = (onnx.numpy_helper.to_array(tensor) for tensor in to_onnx(layer).graph.initializer)
    assert divisor.tolist() == [[1 + 2.0**-23]]
    assert_same_bits(run(to_onnx(layer), np.full((1, 1), 3, "f4")), layer(np.full((1, 1), 3, "f4")))


def test_a_divisor_whose_decimal_text_misleads_float64() -> None:
    """Documents have the shortest decimal; of this float32, float64 sees a tie and goes the other way."""
    divisor = np.array(0x15AE43FD, "u4").view("f4")
    assert np.float32(float("7.038531e-26")) != divisor == np.float32(7.0385307e-26)
    layer = given([0.0], [float(divisor) ** 2], (None, 1), constant_policy="unit")
    assert onnx.numpy_helper.to_array(to_onnx(layer).graph.initializer[1]) == divisor


@pytest.mark.parametrize(("result", "ulp"), [("float16", 2.0**-10), ("bfloat16", 2.0**-7)])
def test_wide_to_16_bits_is_rounded_twice_by_onnx_runtime(result: str, ulp: float) -> None:
    """Its Cast goes by way of float32: one ulp, as documented."""
    layer = given(0.0, 1.0, (None,), axis=None, dtype=result)
    ordinary = np.random.default_rng(4).standard_normal(100_000)
    x = np.append(ordinary, 1 + ulp / 2 + 2.0**-40)  # nearest to 1 + ulp, but float32 only sees a tie
    mine, theirs = layer(x), run(to_onnx(layer, "float64"), x)
    assert (mine[-1], theirs[-1]) == (1 + ulp, 1)
    assert np.abs(mine.view("i2").astype(int) - theirs.view("i2")).max() == 1


def test_numpy_evaluates_it_to_the_same_bits() -> None:
    x = sample("float32", (20, 3))
    layer = adapted(x)
    assert_same_bits(ReferenceEvaluator(to_onnx(layer)).run(None, {"x": x})[0], layer(x))


# ---- the graph


@pytest.mark.parametrize(
    ("dtype", "result", "expected"),
    [
        ("float32", "float32", ["Sub", "Div"]),
        ("float64", "float64", ["Sub", "Div"]),
        ("uint8", "float32", ["Cast", "Sub", "Div"]),
        ("float32", "float16", ["Sub", "Div", "Cast"]),
        ("int64", "float32", ["Cast", "Sub", "Div", "Cast"]),
        ("float32", "float64", ["Cast", "Sub", "Div"]),
    ],
)
def test_operators(dtype: str, result: str, expected: list[str]) -> None:
    assert operators(to_onnx(given(0.0, 1.0, (None, 2), dtype=result), dtype)) == expected


def test_inverse_multiplies_then_adds() -> None:
    assert operators(to_onnx(given(0.0, 1.0, (None, 2), invert=True))) == ["Mul", "Add"]


def dims(info: Any) -> list[Any]:
    return [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (-1, ["batch", "dim_1", "dim_2", 6]),
        (None, ["batch", "dim_1", "dim_2", "dim_3"]),
        ((1, 3), ["batch", 3, "dim_2", 6]),
        (0, [5, "dim_1", "dim_2", "dim_3"]),
    ],
)
def test_reduced_axes_are_dynamic(axis: Any, expected: list[Any]) -> None:
    model = to_onnx(adapted(sample("float32", (5, 3, 4, 6)), axis=axis), "float64")
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    for info in (model.graph.input[0], model.graph.output[0], *inferred.graph.value_info):
        assert dims(info) == expected
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.DOUBLE
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 3, 1), (700, 3, 2)])
def test_any_length_of_reduced_axes(shape: tuple[int, ...]) -> None:
    layer = adapted(sample("float32", (5, 3, 4)), axis=1)
    x = sample("float32", shape, seed=1)
    assert_same_bits(run(to_onnx(layer), x), layer(x))


@pytest.mark.parametrize("shape", [(8,), ()])
def test_few_dimensions(shape: tuple[int, ...]) -> None:
    layer = given(3.0, 2.0, shape, axis=None)
    x = np.full(shape, 7, "f4")
    assert_same_bits(run(to_onnx(layer), x), layer(x))


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset: int) -> None:
    x = sample("uint8", (20, 3))
    layer = adapted(x, dtype="float16")
    model = to_onnx(layer, "uint8", opset=opset)
    assert model.opset_import[0].version == opset
    assert_same_bits(run(model, x), layer(x))


def test_the_newest_opset_is_the_default() -> None:
    assert to_onnx(given(0.0, 1.0, (None, 2))).opset_import[0].version == onnx.defs.onnx_opset_version()


def test_names() -> None:
    model = to_onnx(given(0.0, 1.0, (None, 2)), "int64", input_name="x_mean", output_name="x_mean_cast")
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("x_mean", "x_mean_cast")
    assert run(model, np.array([[1, 2]])).tolist() == [[1, 2]]


def metadata(model: Any, key: str = "exactnorm:x") -> dict[str, Any]:
    (value,) = (entry.value for entry in model.metadata_props if entry.key == key)
    about: dict[str, Any] = json.loads(value)
    return about


def test_metadata() -> None:
    layer = adapted(
        {"age": [1.0, 2.0], "größe": [1.0, np.inf]}, inf_policy="omit", name="people", epsilon=0.1
    )
    about = metadata(to_onnx(layer, input_name="raw"), "exactnorm:raw")
    config = layer.get_config()
    del config["mean"], config["variance"]
    assert about["config"] == config
    assert about["names"] == ["age", "größe"]
    assert about["digest"] == layer.moments.digest
    assert about["variance"] == ["0.25", "0.0"]
    assert about["version"]
    assert to_onnx(layer).graph.name == "people"


def test_metadata_of_given_numbers() -> None:
    about = metadata(to_onnx(given(0.0, 1.0, (None, 2))))
    assert about["digest"] is None
    assert about["names"] is None


# ---- which layers


def test_layers_of_frameworks_say_what_they_are() -> None:
    class Wrapper:
        def to_exactnorm(self) -> en.Normalization:
            return given(1.0, 4.0, (None, 2))

    assert run(to_onnx(Wrapper()), np.array([[3, 5]], "f4")).tolist() == [[1, 2]]


def test_the_layer_is_as_it_was() -> None:
    layer = adapted(sample("float32", (5, 3)))
    before = layer.to_bytes()
    to_onnx(layer)
    assert layer.to_bytes() == before


def test_statistics_are_those_of_calls() -> None:
    """What update_state has learned is not seen before finalize_state."""
    for policy in ("epsilon", "unit"):
        layer = adapted([[1.0], [3.0]], constant_policy=policy)
        layer.update_state([[101.0]])
        x = np.array([[5.0]], "f4")
        assert run(to_onnx(layer), x) == layer(x) == 3
        layer.finalize_state()
        assert run(to_onnx(layer), x) == layer(x) != 3


def test_learned_without_adapt() -> None:
    layer = en.Normalization()
    layer.build((None, 1))
    layer.update_state([[1.0], [3.0]])
    layer.finalize_state()
    assert not layer.is_adapted
    assert run(to_onnx(layer), np.array([[5.0]], "f4")) == 3


def test_not_built() -> None:
    for layer in (en.Normalization(), en.Normalization(mean=1.0, variance=1.0)):
        with pytest.raises(RuntimeError, match="not built"):
            to_onnx(layer)


def test_not_adapted() -> None:
    layer = en.Normalization()
    layer.build((None, 3))
    with pytest.raises(RuntimeError, match="not adapted"):
        to_onnx(layer)
    layer.update_state(np.ones((2, 3)))
    with pytest.raises(RuntimeError, match="not adapted"):
        to_onnx(layer)


@pytest.mark.parametrize("thing", [None, 3, en.Moments(shape=(3,)), en.Normalization])
def test_no_layer(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"expected an exactnorm\.Normalization, .*got"):
        to_onnx(thing)


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "str", object, "float8_e4m3fn", None])
def test_unknown_dtype(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a dtype of bfloat16, bool, .* got"):
        to_onnx(given(0.0, 1.0, (None, 2)), dtype)


def test_dtypes_by_any_name() -> None:
    layer = given(0.0, 1.0, (None, 2))
    for dtype in ("int8", np.int8, np.dtype("int8")):
        assert to_onnx(layer, dtype).graph.input[0].type.tensor_type.elem_type == TensorProto.INT8
    bfloat16 = to_onnx(layer, DTYPES["bfloat16"])
    assert bfloat16.graph.input[0].type.tensor_type.elem_type == TensorProto.BFLOAT16


@pytest.mark.parametrize("opset", [0, 6, 99])
def test_unknown_opset(opset: int) -> None:
    with pytest.raises(ValueError, match=f"expected an opset from 7 to .* got {opset}"):
        to_onnx(given(0.0, 1.0, (None, 2)), opset=opset)


def test_bfloat16_needs_a_newer_opset() -> None:
    for layer, dtype in (
        (given(0.0, 1.0, (None, 2)), "bfloat16"),
        (given(0.0, 1.0, (None, 2), dtype="bfloat16"), "float32"),
    ):
        with pytest.raises(ValueError, match="bfloat16 needs opset 13"):
            to_onnx(layer, dtype, opset=12)


@pytest.mark.parametrize(("x", "y"), [("x", "x"), ("", "y"), ("x", "")])
def test_bad_names(x: str, y: str) -> None:
    with pytest.raises(ValueError, match="expected two different names"):
        to_onnx(given(0.0, 1.0, (None, 2)), input_name=x, output_name=y)


# ---- the module


def test_the_runtime_is_not_needed() -> None:
    code = "import exactnorm.onnx, sys; sys.exit('onnxruntime' in sys.modules or 'onnx' not in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


def test_the_error_without_onnx_names_the_extra() -> None:
    code = "import sys; sys.modules['onnx'] = None; import exactnorm; import exactnorm.onnx"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert "exactnorm.onnx needs onnx: pip install 'exactnorm[onnx]'" in result.stderr
