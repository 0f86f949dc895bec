"""Moments: readings, policies, algebra, names, and what it looks like."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from support import POLICIES, finite_values

NAN, INF = np.nan, np.inf


def test_empty() -> None:
    m = en.Moments()
    assert (m.shape, m.names, m.weighted) == ((), None, False)
    assert m.count == 0
    assert en.Moments(shape=3) == en.Moments(shape=(3,))
    assert en.Moments(shape=np.int64(3)) == en.Moments(shape=[3])
    assert en.Moments(shape=3) != en.Moments(shape=(3, 1))
    assert en.Moments(shape=0).mean().shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"shape": -1}, ValueError, "-1"),
        ({"shape": 2, "names": ["a"]}, ValueError, "name"),
        ({"shape": 2, "names": ["a", "a"]}, ValueError, "'a'"),
        ({"shape": 2, "names": "ab"}, TypeError, "'ab'"),
        ({"shape": 1, "names": [1]}, TypeError, "strings, got 1"),
        ({"shape": "2"}, TypeError, "str"),
        ({"shape": (1,) * 33}, ValueError, "32"),
    ],
)
def test_constructor_refuses(arguments: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        en.Moments(**arguments)


def test_counts_have_the_feature_shape() -> None:
    x = np.array([[1.0, NAN, INF], [2.0, INF, -INF], [NAN, NAN, 0.5]])
    m = en.Moments.from_data(np.ma.MaskedArray(x, mask=[[0, 0, 0], [1, 0, 0], [0, 0, 0]]))
    counts = {
        "count": [1, 0, 1],
        "nan_count": [1, 2, 0],
        "null_count": [1, 0, 0],
        "posinf_count": [0, 1, 1],
        "neginf_count": [0, 0, 1],
    }
    for name, expected in counts.items():
        actual = getattr(m, name)
        assert actual.tolist() == expected
        assert actual.dtype == np.int64
        assert actual.shape == m.shape == (3,)
    m.count[...] = 7  # a copy
    assert m.count.tolist() == [1, 0, 1]
    assert en.Moments.from_data(1.5).count.shape == ()


DATA = {
    "NaN": [1.0, 2.0, NAN],
    "+inf": [1.0, 2.0, INF],
    "-inf": [1.0, -INF],
    "both": [-INF, 1.0, INF],
    "all": [NAN, INF],
}
MEANS = {"NaN": NAN, "+inf": INF, "-inf": -INF, "both": NAN, "all": NAN}
OMITTED = {"NaN": 1.5, "+inf": 1.5, "-inf": 1.0, "both": 1.0}


@pytest.mark.parametrize("kind", DATA)
def test_policies(kind: str) -> None:
    m = en.Moments.from_data(DATA[kind])
    np.testing.assert_equal(m.mean(), MEANS[kind])
    np.testing.assert_equal(m.variance(), NAN)
    np.testing.assert_equal(m.std("float32"), np.float32(NAN))
    if kind in OMITTED:
        assert m.mean(nan_policy="omit", inf_policy="omit") == OMITTED[kind]
    else:
        with pytest.warns(RuntimeWarning, match="no value to read the mean from"):
            m.mean(nan_policy="omit", inf_policy="omit")
    for policy, counts in (("nan_policy", m.nan_count), ("inf_policy", m.posinf_count + m.neginf_count)):
        for reading in (m.mean, m.variance, m.std):
            if counts:
                with pytest.raises(ValueError, match=r"feature"):
                    reading(**{policy: "raise"})
            else:
                np.testing.assert_equal(reading(**{policy: "raise"}), reading())


def test_raise_names_features_and_counts() -> None:
    m = en.Moments.from_data({"age": [1.0, NAN, NAN], "income": [1.0, 2.0, 3.0], "debt": [INF, 1.0, -INF]})
    with pytest.raises(ValueError, match=r"'age'.*2") as error:
        m.mean(nan_policy="raise")
    assert "income" not in str(error.value)
    with pytest.raises(ValueError, match="'debt'"):
        m.variance(inf_policy="raise", nan_policy="omit")


def test_unknown_arguments_are_listed() -> None:
    m = en.Moments.from_data([1.0])
    for name in ("nan_policy", "inf_policy"):
        with pytest.raises(ValueError, match=name) as error:
            m.mean(**{name: "ignore"})
        assert all(policy in str(error.value) for policy in POLICIES)
    for dtype in ("float16", "int64", np.longdouble):
        with pytest.raises(ValueError, match="float32 or float64"):
            m.mean(dtype)
    with pytest.raises(TypeError):
        m.mean("no dtype")


@pytest.mark.parametrize("dtype", [np.float32, "f4", np.dtype("float32"), "float32"])
def test_reading_dtypes(dtype: Any) -> None:
    assert en.Moments.from_data([1.0, 2.0]).mean(dtype).dtype == np.float32


def test_empty_features_warn_once_with_names_at_the_callers_line() -> None:
    m = en.Moments.from_data(
        {"a": [1.0, 2.0], "b": np.ma.MaskedArray([1.0, 2.0], mask=True), "c": [NAN, 1.0]}
    )
    with pytest.warns(RuntimeWarning) as warned:
        mean = m.mean()
    assert len(warned) == 1
    assert "'b'" in str(warned[0].message)
    assert "'a'" not in str(warned[0].message)
    assert "'c'" not in str(warned[0].message)  # its NaN propagates: that is no empty feature
    assert warned[0].filename == __file__
    np.testing.assert_equal(mean, [1.5, NAN, NAN])


def test_ddof() -> None:
    x = finite_values("float32", (10, 1), 0) * np.float32(1e-20)
    m = en.Moments.from_data([[1, 5], [2, 5], [4, 5]])
    assert m.variance(ddof=1).tolist() == [7 / 3, 0]
    assert m.std(ddof=np.int64(1)).tolist() == [np.sqrt(7 / 3), 0]
    with pytest.warns(RuntimeWarning, match="no value to read the variance"):
        assert np.isnan(m.variance(ddof=3)).all()
    with pytest.raises(ValueError, match="ddof"):
        m.variance(ddof=-1)
    weighted = en.Moments.from_data(x, weights=np.ones(10))
    with pytest.raises(ValueError, match="ddof"):
        weighted.variance(ddof=1)
    assert weighted.variance() == en.Moments.from_data(x).variance()


def test_operators() -> None:
    a, b = en.Moments.from_data([1.0, 2.0]), en.Moments.from_data([5.0])
    total = a + b
    assert total == en.Moments.from_data([5.0, 1.0, 2.0])
    assert (total - b, total - a) == (a, b)
    same = a
    same += b
    assert same is a
    assert a == total
    a -= b
    assert a == en.Moments.from_data([1.0, 2.0])
    a += a
    assert a == en.Moments.from_data([1.0, 2.0, 1.0, 2.0])
    a -= a
    assert a == en.Moments()
    assert a + a == a - a == a
    assert sum([b, b], en.Moments()) == b + b


@pytest.mark.parametrize("operation", ["__add__", "__sub__", "__iadd__", "__isub__", "__eq__"])
def test_operators_leave_others_alone(operation: str) -> None:
    m = en.Moments.from_data([1.0])
    for other in (1.0, np.ones(1), None, "m"):
        assert getattr(m, operation)(other) is NotImplemented
    with pytest.raises(TypeError):
        m + 1.0
    assert m != 1.0
    with pytest.raises(TypeError):
        hash(m)


def test_impossible_subtractions_change_nothing() -> None:
    m = en.Moments.from_data({"a": [1.0, 2.0], "b": [5.0, 5.0]})
    before = m.to_bytes()
    for other in (
        {"a": [1.0], "b": [7.0]},
        {"a": [1.0, 2.0, 3.0], "b": [5.0, 5.0, 5.0]},
        {"a": [NAN], "b": [5.0]},
    ):
        wrong = en.Moments.from_data(other)
        with pytest.raises(ValueError, match=r"'[ab]'"):
            m -= wrong
        with pytest.raises(ValueError, match=r"'[ab]'"):
            m - wrong
        assert m.to_bytes() == before


def test_weighting_and_shapes_do_not_mix() -> None:
    plain, weighted = en.Moments.from_data([1.0]), en.Moments.from_data([1.0], weights=[2.0])
    assert weighted.weighted
    for a, b in ((plain, weighted), (weighted, plain)):
        with pytest.raises(ValueError, match="weight"):
            a + b
        with pytest.raises(ValueError, match="weight"):
            a.copy().update([1.0], weights=None if a.weighted else [1.0])
    assert en.Moments() + weighted == weighted
    assert weighted - weighted == plain - plain
    with pytest.raises(ValueError, match=r"\(2,\)"):
        plain + en.Moments(shape=2)


def test_names() -> None:
    named = en.Moments.from_data([[1.0, 2.0]], names=["x", "y"])
    other = en.Moments.from_data([[1.0, 2.0]], names=["x", "z"])
    plain = en.Moments.from_data([[1.0, 2.0]])
    assert named.names == ("x", "y")
    assert named.digest == other.digest == plain.digest
    assert named != plain
    assert (named + plain).names == (plain + named).names == ("x", "y")
    with pytest.raises(ValueError, match="name"):
        named + other
    assert en.Moments.from_data([1.0], names=["only"]).names == ("only",)
    assert en.Moments.from_data(np.ones((2, 2, 2)), axis=(1, 2), names=["a", "b", "c", "d"]).shape == (2, 2)


def test_weights_count_as_repetitions() -> None:
    rng = np.random.default_rng(0)
    x = finite_values("float32", (40, 3), 4)
    k = rng.integers(0, 5, 40)
    weighted, repeated = en.Moments.from_data(x, weights=k), en.Moments.from_data(np.repeat(x, k, axis=0))
    for dtype in ("float32", "float64"):
        assert weighted.mean(dtype).tolist() == repeated.mean(dtype).tolist()
        assert weighted.variance(dtype).tolist() == repeated.variance(dtype).tolist()
    assert weighted.count.tolist() == [np.count_nonzero(k)] * 3
    twice = en.Moments.from_data(x, weights=np.full(40, 2, "uint8"))
    assert twice.std().tolist() == en.Moments.from_data(np.concatenate([x, x])).std().tolist()


@pytest.mark.parametrize("weights", [[0.1, 3, 1e300, 5e-324], [1e-320, 2.0**60, 7, 0]])
def test_weighted_readings_are_exact(weights: list[float]) -> None:
    import reference as ref

    x = np.array([[1.5, -2.0], [3e10, 1e-10], [NAN, 4.0], [0.1, INF]])
    m = en.Moments.from_data(x, weights=weights)
    assert m.to_bytes() == ref.to_cbor(ref.Moments.from_data(x, weights=np.array(weights, "float64")))


def test_weight_zero_and_where_false_are_absence() -> None:
    x = np.array([[1.0, 2.0], [NAN, INF], [3.0, -1.0], [NAN, NAN]])
    keep = np.array([True, False, True, False])
    expected = en.Moments.from_data(x[keep])
    assert en.Moments.from_data(x, where=keep) == expected
    assert en.Moments.from_data(x, where=keep.tolist()) == expected
    weighted = en.Moments.from_data(x, weights=keep.astype("float32"))
    assert weighted == en.Moments.from_data(x[keep], weights=[1, 1])
    masked = np.ma.MaskedArray(x, mask=[[0, 0], [1, 1], [0, 0], [1, 1]])
    assert en.Moments.from_data(masked, where=keep) == expected
    per_element = np.array([[1, 0], [0, 0], [1, 1], [0, 0]], bool)
    assert en.Moments.from_data(x, where=per_element).count.tolist() == [2, 1]
    sequences = np.arange(24.0).reshape(2, 4, 3)
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    assert en.Moments.from_data(sequences, where=mask) == en.Moments.from_data(sequences[mask])
    assert en.Moments.from_data(x, where=True) == en.Moments.from_data(x)
    assert en.Moments.from_data(x, where=False) == en.Moments(shape=2)


def test_trailing_broadcast_is_refused() -> None:
    x = np.ones((4, 3))
    m = en.Moments.from_data(x)
    before = m.to_bytes()
    for argument in ({"where": np.ones(3, bool)}, {"weights": np.ones(3)}, {"weights": np.ones((1, 3))}):
        with pytest.raises(ValueError, match=r"\(4, 3\)"):
            en.Moments.from_data(x, **argument)
        with pytest.raises(ValueError, match=r"\(4, 3\)"):
            m.update(x, **argument)
    assert m.to_bytes() == before


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"weights": [1.0, -1.0]}, ValueError),
        ({"weights": [1.0, NAN]}, ValueError),
        ({"weights": [1.0, INF]}, ValueError),
        ({"weights": np.ma.MaskedArray([1.0, 1.0], mask=[0, 1])}, ValueError),
        ({"weights": ["a", "b"]}, TypeError),
        ({"weights": [1j, 1]}, TypeError),
        ({"where": [1.0, 0.0]}, ValueError),
        ({"axis": 1}, ValueError),
        ({"axis": (0, 0)}, ValueError),
        ({"axis": (0, -1)}, ValueError),
        ({"axis": 0.5}, TypeError),
        ({"threads": 0}, ValueError),
        ({"threads": 1.5}, TypeError),
        ({"names": ["a", "b"]}, ValueError),
        ({"use_sample_weight": True}, ValueError),
    ],
)
def test_bad_arguments(options: dict[str, Any], error: type[Exception]) -> None:
    m = en.Moments.from_data([3.0])
    before = m.to_bytes()
    with pytest.raises(error):
        en.Moments.from_data([1.0, 2.0], **options)
    if "names" not in options:
        with pytest.raises(error):
            m.update([1.0, 2.0], **options)
    assert m.to_bytes() == before


def test_shapes_must_fit() -> None:
    m = en.Moments(shape=3)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        m.update(np.ones((5, 4)))
    m.update(np.ones(3))  # the last axis is kept: one row
    m.update(np.ones((2, 2, 3)))
    m.update(np.ones((3, 2)), axis=0)
    assert m.count.tolist() == [7, 7, 7]
    with pytest.raises(ValueError, match=r"axis|axes"):
        m.update(1.0)


def test_constant_features_have_variance_zero() -> None:
    x = np.full((1000, 2), [0.1, 1e300])
    m = en.Moments.from_data(x)
    assert m.variance().tolist() == [0, 0]
    assert m.mean().tolist() == [0.1, 1e300]
    x[17, 0] = np.nextafter(0.1, 1)
    assert en.Moments.from_data(x).variance()[0] > 0


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle_and_copy(protocol: int) -> None:
    m = en.Moments.from_data({"a": [1.0, NAN], "b": [0.1, INF]})
    for same in (pickle.loads(pickle.dumps(m, protocol)), copy.copy(m), copy.deepcopy(m), m.copy()):  # noqa: S301
        assert same == m
        assert same is not m
        same.update({"a": [1], "b": [2]})
        assert same != m

    class Mine(en.Moments):
        pass

    mine = Mine.from_data([1.0, 2.0])
    assert type(mine) is type(mine.copy()) is type(mine + mine) is Mine


def test_what_it_looks_like() -> None:
    m = en.Moments.from_data(
        {"<b>": [1.0, 2.0, NAN], "income": np.ma.MaskedArray([1.0, 2.0, 3.0], [1, 0, 0])}
    )
    assert repr(m) == "<Moments of shape (2,): 2 features, 2 values each, 1 NaN, 1 null>"
    page = m._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "1.5" in page
    assert "more" in en.Moments.from_data(np.ones((2, 1000)))._repr_html_()
    assert "1 feature, 3 values" in repr(en.Moments.from_data([1, 2, 3]))
    assert "weighted" in repr(en.Moments.from_data([1], weights=[1]))
    assert repr(en.Moments(shape=0))
    assert en.Moments(shape=0)._repr_html_()
