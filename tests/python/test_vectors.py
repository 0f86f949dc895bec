"""The vectors that reference/ has written, through the Python interface."""

from __future__ import annotations

import contextlib
import warnings
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from support import DTYPES, array_of, assert_same_bits, from_hex, vectors

import reference as ref


def ids(case: dict[str, Any]) -> str:
    return str(case["name"])


def axis_of(case: dict[str, Any]) -> tuple[int, ...] | None:
    return None if case["axis"] is None else tuple(case["axis"])


def learn(case: dict[str, Any]) -> en.Moments:
    x = array_of(case["x"])
    if case.get("valid") is not None:
        x = np.ma.MaskedArray(x, mask=~array_of(case["valid"]))
    where, weights = array_of(case.get("where")), array_of(case.get("weights"))
    return en.Moments.from_data(x, axis_of(case), weights, where, case.get("names"))


@pytest.mark.parametrize("case", vectors("moments.json"), ids=ids)
def test_moments(case: dict[str, Any], target: str) -> None:
    if "error" in case:
        with pytest.raises(ValueError, match=r"."):
            learn(case)
        return
    m = learn(case)
    assert m.shape == tuple(case["shape"])
    counts = {"count": m.count, "nan": m.nan_count, "null": m.null_count}
    counts |= {"posinf": m.posinf_count, "neginf": m.neginf_count}
    for key, value in counts.items():
        assert value.ravel().tolist() == [feature[key] for feature in case["features"]]
    assert m.digest == case["digest"]
    for reading in case["readings"]:
        dtype, ddof = reading["dtype"], reading["ddof"]
        policies = {key: reading[key] for key in ("nan_policy", "inf_policy")}
        for what in ("mean", "variance", "std"):
            options = policies if what == "mean" else policies | {"ddof": ddof}
            warned = contextlib.nullcontext()
            if reading["empty"] and (what != "mean" or ddof == 0):
                warned = pytest.warns(RuntimeWarning, match=f"no value to read the {what} from")
            elif what == "mean":
                warned = warnings.catch_warnings(action="ignore")  # this case lists the variance's
            with warned:
                actual = getattr(m, what)(dtype, **options)
            assert_same_bits(actual, from_hex(dtype, reading[what], m.shape))


@pytest.mark.parametrize("case", [c for c in vectors("moments.json") if "json" in c], ids=ids)
def test_moments_document(case: dict[str, Any], tmp_path: Any) -> None:
    path = tmp_path / "state.json"
    learn(case).save(path)
    assert path.read_bytes() == case["json"].encode()
    assert en.load(path) == learn(case)


@pytest.mark.parametrize("case", vectors("algebra.json"), ids=ids)
def test_algebra(case: dict[str, Any]) -> None:
    a, b = (en.from_bytes(case[key].encode()) for key in ("a", "b"))
    before = a.to_bytes(), b.to_bytes()
    combine = en.Moments.__add__ if case["op"] == "merge" else en.Moments.__sub__
    in_place = en.Moments.__iadd__ if case["op"] == "merge" else en.Moments.__isub__
    if "refused" in case:
        for operation in (combine, in_place):
            with pytest.raises(ValueError, match=r"."):
                operation(a, b)
            assert (a.to_bytes(), b.to_bytes()) == before
        return
    expected = en.from_bytes(case["result"].encode())
    assert combine(a, b).to_bytes() == expected.to_bytes()
    assert (a.to_bytes(), b.to_bytes()) == before
    a = in_place(a, b)
    assert a == expected


def layer_of(case: dict[str, Any]) -> en.Normalization:
    x = array_of(case["x"])
    options: dict[str, Any] = {"axis": axis_of(case), "dtype": case["out"]}
    options |= {"epsilon": float(from_hex("float64", [case["epsilon"]])[0])}
    options |= {key: case[key] for key in ("constant_policy", "nan_policy", "inf_policy") if key in case}
    if "state" in case:
        layer = en.Normalization(**options)
        layer.build(x.shape)
        layer.adapt(en.from_bytes(case["state"].encode()))
        return layer
    rank = x.ndim
    kept = sorted(axis % rank for axis in options["axis"] or ())
    shape = tuple(x.shape[axis] for axis in kept)
    given = {key: from_hex("float64", case[key], shape) for key in ("mean", "variance")}
    layer = en.Normalization(**options, **given)
    layer.build(x.shape)
    return layer


@pytest.mark.parametrize("case", vectors("apply.json"), ids=ids)
@pytest.mark.filterwarnings("ignore:mean and variance are not finite:RuntimeWarning")
def test_apply(case: dict[str, Any], target: str) -> None:
    if "error" in case:
        with pytest.raises(ValueError, match=r"."):
            layer_of(case)
        return
    if "state" in case:
        policies = {key: case[key] for key in ("nan_policy", "inf_policy")}
        if ref.from_json(case["state"]).empty_features(**policies):
            with pytest.raises(
                ValueError, match="no value to learn from"
            ):  # of a layer; a Normalizer reads NaN
                layer_of(case)
            return
    narrow = case["out"] != "float64"
    overflows = case["overflows_float32" if narrow else "overflows_float64"]
    with (
        pytest.warns(RuntimeWarning, match="variance is too large") if overflows else contextlib.nullcontext()
    ):
        layer = layer_of(case)
    x = array_of(case["x"])
    expected = from_hex(case["out"], case["forward"], x.shape)
    assert_same_bits(layer(x), expected)
    assert_same_bits(layer.inverse(x), from_hex(case["out"], case["inverse"], x.shape))
    dtype = "float64" if case["out"] == "float64" else "float32"
    assert_same_bits(layer.mean.ravel(), from_hex(dtype, case[f"mean_{dtype}"]))
    out = np.empty(x.shape, DTYPES[case["out"]])
    assert layer(x, out=out) is out
    assert_same_bits(out, expected)


@pytest.mark.parametrize("case", vectors("documents.json"), ids=ids)
def test_documents(case: dict[str, Any], tmp_path: Any) -> None:
    document = bytes.fromhex(case["document"]) if case["encoding"] == "cbor" else case["document"].encode()
    path = tmp_path / "state"
    path.write_bytes(document)
    if "error" in case:
        with pytest.raises(en.StateError, match=r"."):
            en.from_bytes(document)
        with pytest.raises(en.StateError, match=r"state"):
            en.load(path)
        return
    for loaded in (en.from_bytes(document), en.load(path)):
        assert loaded.to_bytes().hex() == case["canonical"]["cbor"]
        loaded.save(path)
        assert path.read_bytes() == case["canonical"]["json"].encode()
