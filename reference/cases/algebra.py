"""Cases of algebra.json: merge, subtract, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import reference as ref
from cases.elements import LEAST, Case, Number, array, mask, random_array
from reference import INF, MAX_COUNT, NAN, Feature, Moments


def merge(name: str, why: str, a: Moments, b: Moments, refused: str = "") -> Case:
    return case("merge", name, why, a, b, refused)


def subtract(name: str, why: str, a: Moments, b: Moments, refused: str = "") -> Case:
    return case("subtract", name, why, a, b, refused)


def case(op: str, name: str, why: str, a: Moments, b: Moments, refused: str = "") -> Case:
    result: Case = {"name": f"{op}: {name}", "why": why, "op": op, "a": ref.to_json(a), "b": ref.to_json(b)}
    try:
        out = a + b if op == "merge" else a - b
    except ValueError:
        assert refused, name
        return result | {"refused": refused}
    assert not refused, name
    return result | {"result": ref.to_json(out)}


def one(count: int, total: Number = 0, squares: Number = 0, *, weight: Any = None, **kinds: int) -> Moments:
    """A state of one feature with these counts and sums."""
    w = Fraction(count if weight is None else weight)
    feature = Feature(count, sum=Fraction(total), sumsq=Fraction(squares), weight=w, **kinds)
    return Moments((), (feature,), weight is not None)


def data(name: str, rows: int, **options: Any) -> Moments:
    return Moments.from_data(random_array(name, "float64", (rows, 2), -30, 30), **options)


NAMES = ["age", "income"]
A, B, NONE = data("a", 9), data("b", 5), Moments.empty((2,))
NAMED = data("a", 9, names=NAMES)
WEIGHTED_A = data("wa", 5, weights=array("float64", [0.1, 2.0, 3.0, 0.0, 1e300]))
WEIGHTED_B = data("wb", 5, weights=array("uint8", [1, 2, 3, 4, 5]))
WIDE = Moments.from_data(array("float64", [[1e300, NAN], [-LEAST, INF], [1.0, -INF], [2.0, 7.0]]))
SMALL = Moments.from_data(array("float64", [[LEAST, 1.0], [3.0, NAN]]), valid=mask([[1, 1], [0, 1]]))


def merges() -> Iterator[Case]:
    for name, a, b in (("two states", A, B), ("far scales and kinds", WIDE, SMALL), ("itself", A, A)):
        yield merge(name, "sums and counts add", a, b)
        yield merge(f"{name}, the other way", "the same result", b, a)
    yield merge("weighted", "so do sums of weights", WEIGHTED_A, WEIGHTED_B)
    a, b = one(1, 2**300, 2**600), one(1, -(2**300), 2**600)
    yield merge("cancelling sums", "the sum is 0x0p+0", a, b)
    yield merge("an empty one into data", "nothing changes", A, NONE)
    yield merge("data into an empty one", "becomes the data", NONE, A)
    yield merge("two empty ones", "empty", NONE, NONE)
    neither = "an empty state is neither weighted nor not"
    yield merge("an empty one into weighted data", neither, WEIGHTED_A, NONE)
    yield merge("weighted data into an empty one", neither, NONE, WEIGHTED_A)
    yield merge("no features", "nothing to add", Moments.empty((0,)), Moments.empty((0,)))
    yield merge("equal names", "they stay", NAMED, data("b", 5, names=NAMES))
    yield merge("names on the left", "they stay", NAMED, B)
    yield merge("names on the right", "they stay", B, NAMED)
    yield merge("up to the largest count", "2**63 - 1 is allowed", one(2**62), one(2**62 - 1))


def subtractions() -> Iterator[Case]:
    for name, a, b in (("two states", A, B), ("far scales and kinds", WIDE, SMALL), ("itself", A, A)):
        yield subtract(name, "undoes the merge", a + b, b)
    yield subtract("weighted", "undoes the merge", WEIGHTED_A + WEIGHTED_B, WEIGHTED_B)
    yield subtract("all there is", "an empty state again", WIDE, WIDE)
    yield subtract("all the weighted there is", "empty, and no longer weighted", WEIGHTED_A, WEIGHTED_A)
    yield subtract("an empty one from weighted data", "nothing changes", WEIGHTED_A, NONE)
    yield subtract("an empty one from an empty one", "empty", NONE, NONE)
    yield subtract("names on the left", "they stay", NAMED + B, B)
    first = Moments(WIDE.shape, (WIDE.features[0], Feature()))
    yield subtract("a feature to nothing", "the other keeps its values", WIDE + SMALL, first)
    a, b = one(3, 0, 300), one(1, 1, 1)
    yield subtract("wrong, but possible", "goes unnoticed, as the contract says", a, b)
    hair = Fraction(2) ** -2000
    a, b = one(3, 3, 3 + hair), one(1, 1, 1 + hair)
    yield subtract("on the bound", "n * S2 = S1**2: all equal, allowed", a, b)
    b = one(1, 1, 1 + 2 * hair)
    yield subtract("a hair beyond the bound", "float64 could not tell", a, b, "sums")
    a, b = one(2, 3, 3, weight=9), one(1, 0, 1, weight=1)
    yield subtract("weights, n does not matter", "W * S2 >= S1**2 though n * S2 < S1**2", a, b)


def refusals() -> Iterator[Case]:
    renamed, swapped = data("b", 5, names=["age", "weight"]), data("b", 5, names=NAMES[::-1])
    only_nan = Moments.from_data(array("float64", [[NAN, NAN]]), weights=array("float64", 1.0))
    for op in ("merge", "subtract"):
        yield case(op, "other shape", "(2,) and (3,)", A, Moments.empty((3,)), "shape")
        turned = Moments((1, 2), B.features)
        yield case(op, "as many features, other shape", "(2,) and (1, 2)", A, turned, "shape")
        single = one(1)
        yield case(op, "other rank", "(1,) and ()", Moments((1,), single.features), single, "shape")
        yield case(op, "other names", "one differs", NAMED, renamed, "names")
        yield case(op, "names in another order", "order counts", NAMED, swapped, "names")
        yield case(op, "weighted and unweighted", "they do not mix", WEIGHTED_A, B, "weighting")
        yield case(op, "unweighted and weighted", "they do not mix", A, WEIGHTED_B, "weighting")
        why = "it has counted, so it is weighted"
        yield case(op, "a weighted state of NaN only", why, A, only_nan, "weighting")
    yield merge("one more than the largest count", "2**63", one(MAX_COUNT), one(1), "count")
    full = one(0, null=MAX_COUNT)
    yield merge("nulls beyond the largest count", "any kind", full, full, "count")
    yield subtract("more values", "a count below 0", A, A + B, "count")
    yield subtract("from an empty one", "a count below 0", NONE, A, "count")
    yield subtract("weighted from an empty one", "a count below 0", NONE, WEIGHTED_A, "count")
    for kind in ("nan", "neginf", "null", "posinf"):
        a, b = one(3, 3, 3), one(1, 1, 1, **{kind: 1})
        yield subtract(f"more {kind}", "each count is looked at", a, b, "count")
    a, b = Moments((2,), one(3).features * 2), Moments((2,), one(1).features + one(4).features)
    yield subtract("the second feature only", "nothing changes in the first either", a, b, "count")
    yield subtract("as many, other squares", "S2 = 1 with n = 0", one(2, 0, 3), one(2, 0, 2), "sums")
    yield subtract("as many, another sum", "S1 = 2 with n = 0", one(2, 2, 4), one(2, 0, 4), "sums")
    yield subtract("larger squares", "S2 below 0", one(3, 0, 2), one(1, 2, 4), "sums")
    yield subtract("impossible sums", "n * S2 = 2 < S1**2 = 4", one(3, 3, 3), one(1, 1, 2), "sums")
    yield subtract("weights: W < 0", "too heavy", one(3, 0, 9, weight=1), one(1, weight=2), "weight")
    a, b = one(3, 0, 9, weight=2), one(1, 0, 9, weight=2)
    yield subtract("weights: W = 0, n = 2", "all the weight, not all the rows", a, b, "weight")
    a, b = one(2, 0, 9, weight=2), one(2, 0, 9, weight=1)
    yield subtract("weights: W = 1, n = 0", "all the rows, not all the weight", a, b, "weight")
    a, b = one(3, 3, 3, weight=3), one(1, 1, 2, weight=1)
    yield subtract("weights: impossible sums", "W * S2 = 2 < S1**2 = 4", a, b, "sums")
    a, b = one(2, 0, 3, weight=2), one(2, 0, 2, weight=2)
    yield subtract("weights: squares left", "S2 = 1 with n = 0", a, b, "sums")
