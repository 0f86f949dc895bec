"""Cases of apply.json: normalizing, and its inverse."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import reference as ref
from cases.elements import (
    LARGEST,
    LEAST,
    POLICIES,
    Axis,
    Case,
    array,
    as_json,
    element,
    hexes,
    largest,
    mask,
    random_array,
)
from reference import FLOATS, INF, NAN, Array, Moments, Normalizer, encode, width


def given(
    name: str, why: str, x: Array, mean: Any, variance: Any, out: str = "float32", **options: Any
) -> Case:
    """Statistics given as float64 numbers: lists, or numbers for a single feature."""
    axis: Axis = options.pop("axis", None if isinstance(mean, float) else (-1,))
    m, v = array("float64", mean), array("float64", variance)
    case: Case = {"name": name, "why": why, "x": as_json(x), "axis": axis}
    case["mean"], case["variance"] = hexes("float64", m.bits), hexes("float64", v.bits)
    minus_zeros = tuple(i for i, b in enumerate(m.bits) if b == 1 << 63)
    return use(case, Normalizer(m.values(), v.values(), minus_zeros=minus_zeros, **options), x, axis, out)


def learned(name: str, why: str, x: Array, m: Moments, out: str = "float32", **options: Any) -> Case:
    """Statistics read from a state."""
    policies = {k: options.pop(k, "propagate") for k in ("nan_policy", "inf_policy")}
    case = {"name": name, "why": why, "x": as_json(x), "axis": (-1,), "state": ref.to_json(m), **policies}
    try:
        normalizer = Normalizer.from_moments(m, policies, **options)
    except ValueError:
        case |= {"epsilon": hexes("float64", [element("float64", 1e-7)])[0], "error": "refused"}
        return case | {"constant_policy": options.get("constant_policy", "epsilon"), "out": out}
    return use(case, normalizer, x, (-1,), out)


def use(case: Case, normalizer: Normalizer, x: Array, axis: Axis, out: str) -> Case:
    epsilon = hexes("float64", [encode("float64", normalizer.epsilon)])[0]
    case |= {"epsilon": epsilon, "constant_policy": normalizer.constant_policy, "out": out}
    for t in ("float32", "float64"):
        case[f"mean_{t}"] = hexes(t, normalizer.rounded_mean(t))
        case[f"divisor_{t}"] = hexes(t, normalizer.divisor(t))
        case[f"overflows_{t}"] = normalizer.overflows(t)
    case["compute_type"] = ref.compute_type(x.dtype, out)
    case["forward"] = hexes(out, normalizer.apply(x, axis, out).bits)
    return case | {"inverse": hexes(out, normalizer.apply(x, axis, out, inverse=True).bits)}


def every_dtype() -> Iterator[Case]:
    for dtype in ref.DTYPES:
        for out in FLOATS:
            name, why = f"{dtype} to {out}", f"computed in {ref.compute_type(dtype, out)}"
            yield given(name, why, random_array(name, dtype, (6, 2), -6, 8), [0.1, 100.0], [2.0, 0.3], out)
    for dtype in FLOATS:
        sign = 1 << (width(dtype) - 1)
        positive = [0, 1, largest(dtype), *(element(dtype, v) for v in (INF, NAN, 1.0))]
        x = Array(dtype, (12,), [b | s for b in positive for s in (0, sign)])
        for out in ("float32", "float64") if dtype != "float16" else FLOATS:
            to = f"{dtype} specials to {out}"
            yield given(to, "zeros, subnormals, infinities, NaN", x, 0.0, 1.0, out)
            yield given(f"{to}, mean 1", "x = mean gives +0", x, 1.0, 4.0, out)
            yield given(f"{to}, mean -0", "-0 - -0 is +0, -0 * 1 + -0 is -0", x, -0.0, 1.0, out)


def divisors() -> Iterator[Case]:
    wide = array("float64", [1.0, -1e300, 1e-300, 3.4e38, LEAST, 0.0, 1e15, NAN, -INF])
    narrow = array("float32", wide.values())
    for policy in ("epsilon", "unit"):
        for variance in (0.0, 1e-300, 1e-14, 2e-14, 1e-46, LEAST, 1e300, LARGEST, INF):
            for x in (wide, narrow):
                for out in ("float32", "float64"):
                    name = f"variance {variance}, {policy}, {x.dtype} to {out}"
                    why = "float32 underflows and overflows first"
                    yield given(name, why, x, 1.0, variance, out, constant_policy=policy)
    x = array("float32", [1e-3, 1e-7, -2.5, 1e30])
    for epsilon in (0.0, 1e-3, 1e-7, 1e-46, 1e-310, 1e300):
        name, why, e = f"epsilon {epsilon}", "rounded to the compute type first", Fraction(epsilon)
        yield given(name, why, x, 0.0, 1e-12, epsilon=e)
        yield given(f"{name}, constant", "the divisor is epsilon", x, 0.0, 0.0, epsilon=e)
        yield given(f"{name}, float64", "the divisor is epsilon", x, 0.0, 0.0, "float64", epsilon=e)
    # Just above the square of a middle between two floats; float32(variance) is below it.
    between = (1 + 5.5 * 2.0**-23) ** 2 + 2.0**-52
    yield given("sqrt(float32(variance))", "epsilon: the root of the rounded variance", x, 0.0, between)
    why = "unit: the root is rounded once"
    yield given("float32(sqrt(variance))", why, x, 0.0, between, constant_policy="unit")


def steps() -> Iterator[Case]:
    stamps = array("float64", [1.7e9, 1.7e9 + 1e-3, 1.7e9 - 1e-3])
    yield given("timestamps", "float64 inside: they survive a float32 output", stamps, 1.7e9, 1e-6)
    x = array("int64", [2**53 + 1, -(2**63), 2**63 - 1, 2**62 + 257, 0])
    yield given("int64 beyond 2**53", "rounded to float64 first, as numpy does", x, 2.0**53, 4.0, "float64")
    x = array("uint64", [2**64 - 1, 2**64 - 1025, 2**64 - 1024, 2**63 + 1024, 2**63 + 1025])
    yield given("uint64 beyond 2**63", "not by way of int64", x, 0.0, 1.0, "float64")
    values = [
        *(1 + i * 2.0**-11 for i in range(8)),
        65519.0,
        65520.0,
        -65520.0,
        2.0**-25,
        3 * 2.0**-26,
        2.0**-24,
    ]
    for out in ("float16", "bfloat16"):
        x = array("float32", values)
        yield given(f"output {out}, ties and limits", "rounded from the compute type", x, 0.0, 1.0, out)
    x = array(
        "float64", [1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-11, 1 + 2.0**-8 + 2.0**-40, 1 + 2.0**-24 + 2.0**-50]
    )
    for out in ("float16", "bfloat16", "float32"):
        yield given(f"float64 to {out}, near ties", "not by way of float32", x, 0.0, 1.0, out)
    x = array("float32", [1 + 2.0**-12, 1 - 2.0**-12, 3.0])
    yield given("the inverse is no fma", "x * x rounds before 1 is taken off", x, -1.0, (1 + 2.0**-12) ** 2)
    x = array("float32", [3e38, -3e38])
    yield given("overflow within", "x - mean is infinite, its quotient would not be", x, -3e38, 1e76)
    x = random_array("box", "float32", (2, 3, 2))
    yield given("axis 1 of (2, 3, 2)", "channels first", x, [0.0, 1.0, -1.0], [1.0, 4.0, 0.25], axis=[1])
    mean, variance = [0.0, 1.0, -1.0, 2.0], [1.0, 4.0, 0.25, 9.0]
    why = "features in the order of sorted axes"
    yield given("axes 2 and 0 of (2, 3, 2)", why, x, mean, variance, axis=[2, 0])
    yield given("no rows", "an empty result", Array("float32", (0, 2), []), [0.0, 1.0], [1.0, 1.0])
    yield given("rank 0", "one number", array("float64", 2.5), 0.5, 4.0)


def from_states() -> Iterator[Case]:
    data = random_array("learned", "float64", (12, 3))
    m = Moments.from_data(data)
    rows: dict[str, Sequence[Any]] = {}
    for dtype in ("float32", "float64"):
        x = Array(dtype, (4, 3), [element(dtype, v) for v in data.values()[:12]])
        for out in ("float16", "float32", "float64"):
            name = f"learned, {dtype} to {out}"
            yield learned(name, "readings are rounded once to the compute type", x, m, out)
            yield learned(f"{name}, unit", "and so is the root", x, m, out, constant_policy="unit")
    weighted = Moments.from_data(data, weights=array("float64", [i / 8 for i in range(12)]))
    yield learned("weighted", "readings of weighted data", x, weighted)
    why = "0.1 is no float, and yet known to be constant; a variance that overflows; one that underflows"
    m = Moments.from_data(array("float64", [[0.1, 1e200, 1.0, 1e-170], [0.1, -1e200, 1e25, 3e-170]]))
    x = array("float32", [[0.1, 1e38, 1.0, 0.0], [0.2, -1e38, 1e25, 1.0]])
    for policy in ("epsilon", "unit", "raise"):
        for out in ("float32", "float64"):
            yield learned(f"hard features, {policy}, {out}", why, x, m, out, constant_policy=policy)
    why = "a mean and variance that need more digits than float64 has: float32 is not rounded through it"
    odd = 1 + 2.0**-24
    m = Moments.from_data(array("float64", [[2 * odd], [odd], [2.0**-80]]))
    yield learned("readings near a tie", why, array("float32", [[1.0], [1 + 2.0**-23]]), m)
    rows = {
        "a NaN": [1.0, 2.0, NAN],
        "+inf": [1.0, INF, 2.0],
        "-inf": [-INF, 1.0, 5.0],
        "both": [INF, -INF, 1.0],
    }
    rows |= {"a NaN and +inf": [NAN, INF, 1.0], "constant but for a NaN": [5.0, 5.0, NAN]}
    m = Moments.from_data(array("float64", list(zip(*rows.values(), strict=True))), names=list(rows))
    x = array("float32", [[1.0] * 6, [INF] * 6, [NAN, 0.0, -1.0, 2.0, 5.0, -INF]])
    for nan_policy in (*POLICIES, "raise"):
        for inf_policy in (*POLICIES, "raise"):
            name = f"NaN {nan_policy}, infinity {inf_policy}"
            yield learned(
                name, "kinds are read by policy", x, m, nan_policy=nan_policy, inf_policy=inf_policy
            )
    why = "a NaN divisor, not 1, for a constant with a NaN"
    yield learned("kinds, unit", why, x, m, constant_policy="unit")
    yield learned("kinds, raise", "a variance that reads NaN is not 0", x, m, constant_policy="raise")
    only = Moments.from_data(array("float64", [5.0, NAN, 5.0]), None)
    only = Moments((1,), only.features)
    omit = {"nan_policy": "omit", "constant_policy": "raise"}
    yield learned(
        "omit, raise", "constant but for a NaN that is left out", array("float32", [[1.0]]), only, **omit
    )
    empty = Moments.from_data(array("float64", [[1.0, 2.0], [2.0, 3.0]]), valid=mask([[1, 0], [1, 0]]))
    for policy in ("epsilon", "unit", "raise"):
        x = array("float32", [[1.0, 1.0]])
        yield learned(f"an empty feature, {policy}", "its results are NaN", x, empty, constant_policy=policy)
