"""The reference against what others know: numpy, statistics, and numbers worked out by hand."""

from __future__ import annotations

import contextlib
import doctest
import json
import math
import statistics
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "reference"))

import make_vectors  # noqa: E402

import reference as ref  # noqa: E402
from reference import INF, NAN, Array, Moments, Normalizer, decode  # noqa: E402

NUMPY = {name: np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name) for name in ref.DTYPES}


def from_bits(dtype: str, bits: Any) -> np.ndarray[Any, Any]:
    return np.array(bits, f"uint{ref.width(dtype)}").view(NUMPY[dtype])


def floats(bits: list[int], dtype: str = "float64") -> list[float]:
    return [float(v) for v in from_bits(dtype, bits)]


# Axes


def test_kept_axes() -> None:
    assert ref.kept_axes(None, 3) == ref.kept_axes((), 0) == ()
    assert ref.kept_axes(-1, 3) == (2,)
    assert ref.kept_axes([2, -3], 3) == (0, 2)
    for axis in (3, -4, [0, 0], [-1, 2]):
        with pytest.raises(ValueError, match="axis"):
            ref.kept_axes(axis, 3)
    with pytest.raises(ValueError, match="axis"):
        ref.kept_axes(-1, 0)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (2, 0), (1, 2), (0, 1, 2)])
def test_axes_as_numpy_reduces(axis: Any) -> None:
    x = np.arange(24.0).reshape(2, 3, 4) ** 2
    reduced = tuple(a for a in range(3) if a not in ref.kept_axes(axis, 3))
    m = Moments.from_data(x, axis)
    assert m.shape == x.mean(reduced).shape
    np.testing.assert_allclose(floats(m.mean("float64")), x.mean(reduced).ravel(), rtol=1e-15)
    np.testing.assert_allclose(floats(m.variance("float64")), x.var(reduced).ravel(), rtol=1e-14)
    np.testing.assert_allclose(floats(m.std("float64")), x.std(reduced).ravel(), rtol=1e-14)


def test_layout_and_byte_order_of_input_do_not_matter() -> None:
    x = np.arange(12, dtype="int32").reshape(3, 4)
    expected = Moments.from_data(x)
    for same in (np.asfortranarray(x), x[::-1], x.astype(">i4"), np.repeat(x, 2, 0)[::2]):
        assert Moments.from_data(same) == expected


# Moments


def test_a_state_by_hand() -> None:
    x = np.array([[1.0, 0.5, NAN], [2.0, 0.25, INF], [4.0, 0.125, 3.0]], "float32")
    m = Moments.from_data(x, valid=np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool))
    one, half, kinds = m.features
    assert one == ref.Feature(count=3, sum=Fraction(7), sumsq=Fraction(21), weight=Fraction(3))
    assert (half.count, half.null, half.sum, half.sumsq) == (2, 1, Fraction(5, 8), Fraction(17, 64))
    assert kinds.counts == [1, 1, 0, 0, 1]
    assert m.exact_mean()[:2] == [Fraction(7, 3), Fraction(5, 16)]
    assert m.exact_variance()[:2] == [Fraction(14, 9), Fraction(9, 256)]
    assert m.exact_variance(1)[:2] == [Fraction(7, 3), Fraction(9, 128)]
    assert floats(m.std("float64"))[1] == 0.1875


@pytest.mark.parametrize("dtype", ref.DTYPES)
@given(data=st.data())
def test_readings_as_statistics_computes_them(dtype: str, data: st.DataObject) -> None:
    patterns = st.integers(0, (1 << ref.width(dtype)) - 1)
    bits = data.draw(
        st.lists(patterns.filter(lambda b: isinstance(decode(dtype, b), Fraction)), min_size=2, max_size=9)
    )
    values = [Fraction(decode(dtype, b)) for b in bits]
    m = Moments.from_data(Array(dtype, (len(bits),), bits), None)
    assert m.exact_mean() == [statistics.mean(values)]
    assert m.exact_variance() == [statistics.pvariance(values)]
    assert m.exact_variance(1) == [statistics.variance(values)]
    assert (m.exact_variance() == [0]) == (len(set(values)) == 1)


@pytest.mark.parametrize(
    ("column", "nan_policy", "inf_policy", "mean", "variance"),
    [
        ([1, NAN, 3], "propagate", "propagate", NAN, NAN),
        ([1, NAN, 3], "omit", "raise", 2, 1),
        ([1, NAN, INF], "propagate", "omit", NAN, NAN),
        ([1, INF, 3], "raise", "propagate", INF, NAN),
        ([1, -INF, 3], "omit", "propagate", -INF, NAN),
        ([INF, -INF, 3], "omit", "propagate", NAN, NAN),
        ([INF, -INF, 3], "propagate", "omit", 3, 0),
        ([NAN, INF, 3], "omit", "propagate", INF, NAN),
        ([INF], "omit", "propagate", INF, NAN),
        ([NAN], "omit", "omit", NAN, NAN),
        ([], "propagate", "propagate", NAN, NAN),
        ([1, NAN], "raise", "omit", None, None),
        ([1, INF], "omit", "raise", None, None),
    ],
)
def test_policies(column: list[float], nan_policy: str, inf_policy: str, mean: Any, variance: Any) -> None:
    m = Moments.from_data(np.array(column, "float64"), None)
    policies = {"nan_policy": nan_policy, "inf_policy": inf_policy}
    if mean is None:
        with pytest.raises(ValueError, match=r"features \[0\]"):
            m.mean("float64", **policies)
        return
    np.testing.assert_equal(floats(m.mean("float64", **policies)), [mean])
    np.testing.assert_equal(floats(m.variance("float64", 0, **policies)), [variance])
    np.testing.assert_equal(floats(m.std("float64", 0, **policies)), [variance])


def test_empty_features_are_those_whose_nan_comes_from_too_few_values() -> None:
    x = np.array([[1.0, NAN, 1.0, INF], [2.0, NAN, NAN, 1.0]])
    m = Moments.from_data(x)
    assert m.empty_features() == m.empty_features(ddof=1) == []
    omit = {"nan_policy": "omit", "inf_policy": "omit"}
    assert (m.empty_features(0, **omit), m.empty_features(1, **omit)) == ([1], [1, 2, 3])
    assert m.empty_features(2, **omit) == [0, 1, 2, 3]


numbers = st.floats(width=32) | st.sampled_from([0.0, -0.0, INF, -INF, NAN, 1e-45, 3e38])


@given(st.lists(st.tuples(numbers, numbers), max_size=12), st.randoms(), st.integers(0, 12))
def test_order_and_batches_do_not_matter_and_subtract_undoes_merge(rows: Any, random: Any, cut: int) -> None:
    def learn(part: Any) -> Moments:
        return Moments.from_data(np.array(part, "float32").reshape(-1, 2))

    whole, a, b = learn(rows), learn(rows[:cut]), learn(rows[cut:])
    assert a + b == b + a == whole
    assert whole - b == a
    assert whole - whole == Moments.empty((2,))
    random.shuffle(rows)
    assert ref.to_json(learn(rows)) == ref.to_json(whole)


@given(st.lists(st.tuples(numbers, st.integers(0, 5)), min_size=1, max_size=8))
def test_weights_are_repetitions(pairs: list[tuple[float, int]]) -> None:
    x, w = np.array([v for v, _ in pairs]), np.array([k for _, k in pairs], "uint8")
    weighted, repeated = Moments.from_data(x, None, weights=w), Moments.from_data(np.repeat(x, w), None)
    np.testing.assert_equal(weighted.exact_mean(), repeated.exact_mean())
    np.testing.assert_equal(weighted.exact_variance(), repeated.exact_variance())
    assert weighted == Moments.from_data(x[w > 0], None, weights=w[w > 0].astype("float16"))
    assert weighted.features[0].count == sum(k > 0 and math.isfinite(v) for v, k in pairs)


def test_where_and_weights_take_a_leading_prefix() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    where = np.array([[True, False, True], [False, False, True]])
    assert Moments.from_data(x, where=where) == Moments.from_data(x[where])
    assert Moments.from_data(x, where=where[:, 0]) == Moments.from_data(x[:1])
    for wrong in (where.T, where[:, :, None], np.ones(4, bool), np.ones((1, 3), bool)):
        with pytest.raises(ValueError, match="leading prefix"):
            Moments.from_data(x, where=wrong)
    for bad in (-1.0, NAN, INF):
        with pytest.raises(ValueError, match="weights"):
            Moments.from_data(x, weights=np.array([1.0, bad]))


def test_what_does_not_belong_together_is_refused() -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    m, weighted = Moments.from_data(x, names=["a", "b"]), Moments.from_data(x, weights=np.ones(2))
    bare = Moments.from_data(x)
    for other, why in (
        (Moments.from_data(x, None), "shapes"),
        (Moments.from_data(x, names=["b", "a"]), "names"),
        (weighted, "weighted"),
    ):
        with pytest.raises(ValueError, match=why):
            m + other
        with pytest.raises(ValueError, match=why):
            m - other
    assert (m + bare).names == (bare + m).names == m.names
    assert m != bare
    assert m.digest == bare.digest != weighted.digest
    for other, why in ((bare + bare, "count"), (Moments.from_data(x[::-1] * 9), "sums")):
        with pytest.raises(ValueError, match=why):
            bare - other
    with pytest.raises(ValueError, match="ddof"):
        weighted.variance("float64", 1)
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="names"):
            Moments.from_data(x, names=names)
    with pytest.raises(TypeError, match="complex128"):
        Moments.from_data(x.astype(complex))


# Apply


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint16", "int32", "int64", "uint64", "bool"]
)
@pytest.mark.parametrize("out", ["float32", "float64"])
def test_apply_is_what_numpy_computes(dtype: str, out: str) -> None:
    rng = np.random.default_rng(7)
    x = (
        from_bits(dtype, rng.integers(0, 1 << ref.width(dtype), (64, 2), "uint64", endpoint=False))
        if dtype != "bool"
        else rng.random((64, 2)) < 0.5
    )
    t = np.dtype(
        "float32"
        if dtype in ("float16", "float32", "int8", "uint16", "bool") and out == "float32"
        else "float64"
    )
    assert ref.compute_type(dtype, out) == t.name
    mean, variance, epsilon = np.array([0.1, 50.0]), np.array([1e-20, 7.0]), 1e-7
    norm = Normalizer([Fraction(v) for v in mean], [Fraction(v) for v in variance])
    with np.errstate(all="ignore"):
        divisor = np.maximum(np.sqrt(variance.astype(t)), t.type(epsilon))
        forward = ((x.astype(t) - mean.astype(t)) / divisor).astype(out)
        inverse = (mean.astype(t) + x.astype(t) * divisor).astype(out)
    np.testing.assert_array_equal(from_bits(out, norm.apply(x, out=out).bits), forward.ravel())
    np.testing.assert_array_equal(from_bits(out, norm.apply(x, out=out, inverse=True).bits), inverse.ravel())


def test_divisors_by_hand() -> None:
    m = Moments.from_data(np.array([[5.0, 0.1, 1e200, NAN], [9.0, 0.1, -1e200, 1.0]]))
    options = {"policies": {"nan_policy": "omit"}}
    epsilon, unit = (
        Normalizer.from_moments(m, **options),
        Normalizer.from_moments(m, **options, constant_policy="unit"),
    )
    assert floats(epsilon.divisor("float64")) == [2.0, 1e-7, INF, 1e-7]
    assert floats(unit.divisor("float64")) == [2.0, 1.0, 1e200, 1.0]
    assert floats(epsilon.divisor("float32"), "float32")[1] == np.float32(1e-7)
    assert epsilon.overflows("float64") == epsilon.overflows("float32") == [2]
    with pytest.raises(ValueError, match=r"constant features \[1, 3\]"):
        Normalizer.from_moments(m, **options, constant_policy="raise")
    propagate = Normalizer.from_moments(m, {}, constant_policy="unit")
    assert math.isnan(floats(propagate.divisor("float64"))[3])


# Documents


def test_the_contract_shows_the_layout() -> None:
    contract = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    example = contract.split("```json\n")[1].split("```")[0]
    document = json.loads(example)
    assert ref.layout(document) == example
    shown = ref.layout(ref.seal(document))
    assert ref.to_json(ref.from_json(shown)) == shown


def test_exact_numbers_by_hand() -> None:
    for value, text in {
        Fraction(0): "0x0p+0", Fraction(1): "0x1p+0", Fraction(12): "0x3p+2", Fraction(-1, 2): "-0x1p-1",
        Fraction(1201, 8): "0x4b1p-3", Fraction(2) ** -1074: "0x1p-1074", Fraction(255): "0xffp+0",
    }.items():  # fmt: skip
        assert ref.as_text(value) == text
        assert ref.from_text(text, 1) == value
    for text, degree, fits in (
        ("0x1p-1074", 1, True),
        ("0x1p-1075", 1, False),
        ("0x1p-3222", 3, True),
        ("0x1p+1086", 1, True),
        ("0x1p+1087", 1, False),
        ("0x1" + "0" * 271 + "p+3", 1, False),
    ):
        with contextlib.nullcontext() if fits else pytest.raises(ref.StateError, match="out of range"):
            ref.from_text(text, degree)


def test_encodings_by_hand() -> None:
    m = Moments.from_data(np.array([1.0, 2.0, NAN]), None, names=["é"])
    feature = b"\xa7ecount\x02cnan\x01fneginf\x00dnull\x00fposinf\x00csumf0x3p+0esumsqf0x5p+0"
    digest = b"xxh3-128:" + xxhash.xxh3_128_hexdigest(b"\xa2hfeatures\x81" + feature + b"eshape\x80").encode()
    body = b"fdigest\x78\x29" + digest + b"hfeatures\x81" + feature + b"fformatiexactnorm"
    body += b"enames\x81b\xc3\xa9eshape\x80gversion\x01"
    checksum = b"xxh3-128:" + xxhash.xxh3_128_hexdigest(b"\xa6" + body).encode()
    assert m.digest.encode() == digest
    assert ref.to_cbor(m) == b"\xa7hchecksum\x78\x29" + checksum + body
    row = '{"count": 2, "nan": 1, "neginf": 0, "null": 0, "posinf": 0, "sum": "0x3p+0", "sumsq": "0x5p+0"}'
    assert ref.to_json(m).splitlines(keepends=True) == [
        '{"format": "exactnorm", "version": 1,\n',
        ' "shape": [], "names": ["é"],\n',
        ' "features": [\n',
        f"  {row}\n",
        " ],\n",
        f' "digest": "{digest.decode()}",\n',
        f' "checksum": "{checksum.decode()}"}}\n',
    ]


@given(
    st.lists(numbers, max_size=6),
    st.lists(st.text(st.characters(codec="utf-8")), min_size=2, max_size=2, unique=True),
)
def test_documents_round_trip(values: list[float], names: list[str]) -> None:
    m = Moments.from_data(np.array([values, values[::-1]]).T.reshape(-1, 2), names=names)
    assert ref.from_json(ref.to_json(m)) == ref.from_json(ref.to_json(m).encode()) == m
    assert ref.from_cbor(ref.to_cbor(m)) == m


@given(st.data())
def test_no_damage_passes(data: st.DataObject) -> None:
    """Any byte of either encoding changed: refused, or (white space, escapes) the same state."""
    m = Moments.from_data(np.array([[0.1, 2.0], [3.0, NAN]]), names=["a", "b"])
    for document, load in ((ref.to_json(m).encode(), ref.from_json), (ref.to_cbor(m), ref.from_cbor)):
        at = data.draw(st.integers(0, len(document) - 1))
        damaged = document[:at] + bytes([document[at] ^ data.draw(st.integers(1, 255))]) + document[at + 1 :]
        with contextlib.suppress(ref.StateError):
            assert load(damaged) == m


# What is built on it


def test_example_in_the_docstring() -> None:
    assert doctest.testmod(ref).failed == 0


def test_vectors_are_up_to_date() -> None:
    for file, text in make_vectors.vectors().items():
        assert (ROOT / "vectors" / file).read_text(encoding="utf-8") == text, (
            f"run reference/make_vectors.py: {file}"
        )
