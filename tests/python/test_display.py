"""What notebooks show: tables and pictures. Contents, not pixels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import exactnorm as en
import matplotlib as mpl
import numpy as np
import pytest
from exactnorm import _html
from matplotlib import pyplot as plt

NAN = float("nan")
NASTY = "<b>$a_1$ & \"co\"</b>\n'x'"
DATA = {
    "delay": [1.0, NAN, 3.0, 5.0],
    "year": [2013, 2013, 2013, 2013],
    NASTY: np.ma.MaskedArray([0.001, 0.002, 0.003, 0.004], mask=[0, 1, 0, 0]),
}
MOMENTS = en.Moments.from_data(DATA)


@pytest.fixture(autouse=True)
def no_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test shows anything, or changes how matplotlib is set up."""
    plt.switch_backend("agg")
    before = dict(mpl.rcParams)
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("show was called"))
    yield
    plt.close("all")
    assert dict(mpl.rcParams) == before


class Page(HTMLParser):
    """Reads a table, and checks that it is well formed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bold: list[str] = []
        self.scopes: list[str] = []
        self.text = self.caption = ""
        self._open: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self._open
        assert "script" not in html
        assert "color:" not in html  # the page's own, light or dark

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append((tag, given.get("style") or ""))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "th":
            self.scopes.append(given.get("scope") or "")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        tags = [tag for tag, _ in self._open]
        if "caption" in tags:
            self.caption += data
        if tags[-1] in ("td", "th"):
            self.rows[-1][-1] += data
            if self._open[-1] == ("td", "font-weight:bold"):
                self.bold.append(data)


# Tables


def test_moments() -> None:
    page = Page(MOMENTS._repr_html_())
    assert page.rows == [
        ["feature", "count", "null", "NaN", "mean", "sd", ""],
        ["delay", "3", "0", "1", "3", "1.63299", ""],
        ["year", "4", "0", "0", "2013", "0", "constant"],
        [NASTY, "3", "1", "0", "0.00266667", "0.00124722", ""],
    ]
    assert page.bold == ["1", "1"]
    assert page.caption == "Moments of 3 features, 3 to 4 values each, 1 NaN, 1 null"
    assert f"digest {MOMENTS.digest}" in page.text
    assert page.scopes == ["col"] * 7 + ["row"] * 3


def test_kinds_and_states() -> None:
    m = en.Moments.from_data([[np.inf, NAN], [1.0, NAN], [-np.inf, NAN]])
    page = Page(m._repr_html_())
    assert page.rows[0] == ["feature", "count", "null", "NaN", "infinite", "mean", "sd", ""]
    assert page.rows[1:] == [
        ["0", "1", "0", "0", "2", "1", "0", "constant"],
        ["1", "0", "0", "3", "0", "NaN", "NaN", "no values"],
    ]
    weighted = en.Moments.from_data([1.0, 2.0], weights=[1, 3])
    assert Page(weighted._repr_html_()).caption == "Moments of 1 feature, 2 values, weighted"
    assert Page(en.Moments(shape=0)._repr_html_()).rows == [["feature", "count", "null", "NaN", "mean", "sd"]]
    image = en.Moments.from_data(np.ones((2, 2, 2)), axis=(1, 2))
    assert [row[0] for row in Page(image._repr_html_()).rows[1:]] == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]


def test_layers() -> None:
    layer = en.Normalization(nan_policy="omit", constant_policy="unit", name="<flights>")
    page = Page(layer._repr_html_())
    assert page.rows == []
    assert "Normalization <flights>: not built" in page.text
    assert "constant_policy unit" in page.text
    layer.adapt(DATA)
    page = Page(layer._repr_html_())
    assert page.caption == "Normalization <flights>: adapted, 3 features, 3 to 4 values each, 1 NaN, 1 null"
    assert page.rows[0] == ["feature", "count", "null", "NaN", "mean", "sd", ""]
    assert page.rows[2] == ["year", "4", "0", "0", "2013", "0", "constant"]
    for shown in (
        *("axis -1", "dtype float32", "nan_policy omit", "inf_policy propagate", "constant_policy unit"),
        *("epsilon 1e-07", "invert False", f"digest {layer.moments.digest}"),
    ):
        assert shown in page.text
    poisoned = en.Normalization()
    with pytest.warns(RuntimeWarning, match="NaN"):
        poisoned.adapt(DATA)
    assert Page(poisoned._repr_html_()).rows[1] == [
        "delay",
        "3",
        "0",
        "1",
        "NaN",
        "NaN",
        "",
    ]  # as calls use it
    given = en.Normalization(mean=[1.0, 2.0], variance=[4.0, 0.0])
    assert "given mean and variance" in Page(given._repr_html_()).text
    given.build((None, 2))
    page = Page(given._repr_html_())
    assert page.rows == [["feature", "mean", "sd", ""], ["0", "1", "2", ""], ["1", "2", "0", "constant"]]
    assert "digest" not in page.text


def test_other_layers_can_say_the_same() -> None:
    page = Page(_html.layer_html("exactnorm.keras: not built", {"axis": (1, 2), "policy": "<mixed>"}))
    assert page.text == "exactnorm.keras: not builtaxis (1, 2) · policy <mixed>"
    statistics = np.float32([[1.0, 2.0, 3.0]]), np.float32([[4.0, 9.0, 16.0]])
    page = Page(_html.layer_html("exactnorm.keras: built", {}, statistics))
    assert page.rows[1:] == [["0", "1", "2"], ["1", "2", "3"], ["2", "3", "4"]]


def test_many_features_are_cut_short() -> None:
    x = np.arange(2000.0).reshape(2, 1000)
    layer = en.Normalization()
    layer.adapt(x)
    m = en.Moments.from_data(x)
    for thing in (m, layer, en.compare(m, m)):
        page = Page(thing._repr_html_())
        assert [row[0] for row in page.rows[1:-1]] == [str(i) for i in range(30)]
        assert page.rows[-1] == ["… 970 more"]
    assert Page(en.Moments.from_data(x[:, :30])._repr_html_()).rows[-1][0] == "29"
    assert m.digest in m._repr_html_()  # of all
    assert len(en.Moments(shape=10**6)._repr_html_()) < 20_000


def test_drift() -> None:
    after = en.Moments.from_data(DATA | {"delay": [NAN, NAN, 5.0, 7.0], "year": [2014] * 4})
    drift = en.compare(MOMENTS, after)
    page = Page(drift._repr_html_())
    assert page.caption == "Drift of 3 features: shifts in standard deviations of before"
    assert page.rows[0][:3] == ["feature", "shift/sd", "variance ratio"]
    assert page.rows[1] == ["delay", "+1.837", "0.375", "0.00%", "0.00%", "25.00%", "50.00%"]
    assert page.rows[2][:3] == ["year", "+inf", "1"]
    assert page.rows[3][:4] == [NASTY, "0", "1", "25.00%"]
    empty = en.compare(en.Moments(shape=1), en.Moments.from_data([[1.0]]))
    assert Page(empty._repr_html_()).rows[1][1:4] == ["-", "-", "-"]


# Pictures


def names(ax: Any) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def at_the_right(ax: Any) -> list[str]:
    return [label.get_text() for label in ax.child_axes[0].get_yticklabels()]


def bars(ax: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The points (x, y) of an errorbar, and its ends (low, high)."""
    points, _, (lines,) = ax.containers[0]
    return np.column_stack(points.get_data()), np.array([segment[:, 0] for segment in lines.get_segments()])


def test_a_row_for_each_of_a_few_features() -> None:
    data = DATA | {"none": np.ma.MaskedArray([1.0] * 4, mask=True)}
    m = en.Moments.from_data(data)
    ax = m.plot()
    assert isinstance(ax, plt.Axes)
    assert names(ax) == ["delay", "year", "<b>$a_1$ & \"co\"</b> 'x'", "none"]
    assert at_the_right(ax) == ["3 ± 1.63", "2013 ± 0", "0.002667 ± 0.00125", "NaN"]
    points, ends = bars(ax)
    np.testing.assert_array_equal(points, np.column_stack([MOMENTS.mean(nan_policy="omit"), range(3)]))
    std = MOMENTS.std(nan_policy="omit")
    np.testing.assert_allclose(ends, np.column_stack([points[:, 0] - std, points[:, 0] + std]))
    assert ax.get_ylim() == (3.5, -0.5)  # the first at the top
    assert ax.get_xscale() == "symlog"
    assert "logarithmic beyond ±" in ax.get_xlabel()
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())  # $ is no formula
    near = en.Moments.from_data({"a": [1.0, 2.0], "b": [30.0, 50.0]}).plot()
    assert near.get_xscale() == "linear"
    assert near.get_xlabel() == "mean ± sd"


def test_a_band_over_many_features() -> None:
    x = np.random.default_rng(0).normal(0, 1, (20, 60))
    x[:, 7] = np.inf
    named = {f"sensor {'x' * 30} {i}": x[:, i] for i in range(60)}
    ax = en.Moments.from_data(named).plot()
    mean, gaps = ax.get_lines()
    assert np.isnan(mean.get_ydata()).tolist() == [i == 7 for i in range(60)]
    np.testing.assert_allclose(np.delete(mean.get_ydata(), 7), np.delete(x, 7, axis=1).mean(axis=0))
    assert gaps.get_xdata().tolist() == [7]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["not finite"]
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels[:2] == ["sensor xxxxxxx…xxxxxxxxxxxx 0", "sensor xxxxxxx…xxxxxxxxxxxx 5"]
    assert len(labels) == 12
    finite = np.delete(x, 7, axis=1)
    tops = [path.get_extents().y1 for path in ax.collections[0].get_paths()]  # one before the gap, one after
    assert max(tops) == pytest.approx((finite.mean(axis=0) + finite.std(axis=0)).max())
    plain = en.Moments.from_data(np.delete(x, 7, axis=1)).plot()
    assert plain.get_xlabel() == "feature"
    assert len(plain.get_lines()) == 1
    assert plain.get_legend() is None


def test_layers_as_calls_use_them() -> None:
    layer = en.Normalization(mean=[1.0, -2.0], variance=[4.0, 9.0])
    with pytest.raises(RuntimeError, match="not built"):
        layer.plot()
    layer.build((None, 2))
    ax = layer.plot()
    assert at_the_right(ax) == ["1 ± 2", "-2 ± 3"]
    assert names(ax) == ["0", "1"]
    layer = en.Normalization()
    with pytest.warns(RuntimeWarning, match="NaN"):
        layer.adapt(DATA)
    assert at_the_right(layer.plot())[0] == "NaN"
    assert names(layer.plot())[:2] == ["delay", "year"]


def test_extremes_can_be_drawn() -> None:
    x = np.array([[1e308, -1e308, 5e-324, 0.0, -np.inf], [1.7e308, 1e308, 0.0, 0.0, 1.0]])
    for m in (en.Moments.from_data(x), en.Moments(shape=0), en.Moments(), en.Moments(shape=40)):
        m.plot().figure.canvas.draw()
        en.compare(m, m).plot().figure.canvas.draw()
    layer = en.Normalization()
    with pytest.warns(RuntimeWarning):
        layer.adapt(x)
    assert at_the_right(layer.plot())[-1] == "-inf ± NaN"
    layer.plot().figure.canvas.draw()


def drift() -> en.Drift:
    before = {
        "same": [0.0, 2.0],
        "moved": [0.0, 2.0],
        "up": [1.0, 1.0],
        "down": [1.0, 1.0],
        "wide": [1.0, 1.0],
    }
    masked = np.ma.MaskedArray([0.0, 2.0], mask=[True, True])
    after = before | {"moved": [3.0, 9.0], "up": [2.0, 2.0], "down": [0.0, 0.0], "wide": [0.0, 2.0]}
    a = en.Moments.from_data(before | {"none": masked, "holes": [0.0, 0.0]})
    b = en.Moments.from_data(
        after | {"none": masked, "holes": np.ma.MaskedArray([0.0, NAN], mask=[True, False])}
    )
    return en.compare(a, b)


def test_drift_in_standard_deviations() -> None:
    ax = drift().plot()
    assert names(ax) == ["same", "moved", "up", "down", "wide", "none", "holes"]
    assert at_the_right(ax) == [
        "+0.00, sd × 1.00",
        "+5.00, sd × 3.00",
        *("was constant", "was constant", "was constant"),
        "no values to compare",
        "no values to compare, null 0% → 50%, NaN 0% → 50%",
    ]
    points, ends = bars(ax)
    assert points.tolist() == [[0, 0], [5, 1]]
    assert ends.tolist() == [[-1, 1], [2, 8]]
    arrows = {
        line.get_marker(): line.get_ydata().tolist() for line in ax.get_lines() if line.get_marker() in "<>"
    }
    assert arrows == {">": [2], "<": [3]}
    assert (ax.get_xscale(), ax.get_ylabel()) == ("linear", "")
    assert ax.get_xlabel() == "mean ± sd after, in standard deviations of before (grey)"
    assert ax.patches[0].get_extents().transformed(ax.transData.inverted()).intervalx.tolist() == [-1, 1]


def test_those_that_differ_most() -> None:
    x = np.random.default_rng(0).normal(0, 1, (50, 40))
    y = x.copy()
    y[:, 5] += 100
    y[:, 9] -= 3
    y[:, 2] *= 1.5
    y[:40, 30] = NAN
    table = en.compare(en.Moments.from_data(x), en.Moments.from_data(y))
    ax = table.plot()
    assert names(ax)[:4] == ["5", "9", "30", "2"]
    assert len(names(ax)) == 30
    assert ax.get_ylabel() == "the 30 of 40 features that differ most"
    assert ax.get_xscale() == "symlog"
    assert names(table.plot(most=2)) == ["5", "9"]
    assert names(table.plot(most=40)) == [str(i) for i in range(40)]
    assert names(table[10:12].plot()) == ["10", "11"]
    with pytest.raises(ValueError, match="most"):
        table.plot(most=0)


def test_on_axes_of_the_user() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    assert MOMENTS.plot(left) is left
    assert drift().plot(ax=right) is right
    assert plt.get_fignums() == [figure.number]
    outside = mpl.figure.Figure().add_subplot()
    layer = en.Normalization(mean=[1.0], variance=[1.0])
    layer.build((None, 1))
    assert layer.plot(ax=outside) is outside
    assert plt.get_fignums() == [figure.number]
    for wrong in (figure, plt, 3):
        with pytest.raises(TypeError, match="ax to be matplotlib Axes"):
            MOMENTS.plot(wrong)
    assert plt.get_fignums() == [figure.number]
    MOMENTS.plot()
    assert len(plt.get_fignums()) == 2


def test_without_matplotlib(tmp_path: Path) -> None:
    script = """
import sys
sys.modules["matplotlib"] = None
import exactnorm as en
m = en.Moments.from_data([[1.0], [2.0]])
layer = en.Normalization()
layer.adapt(m)
assert "sd" in m._repr_html_()
for thing in (m, layer, en.compare(m, m)):
    try:
        thing.plot()
    except ImportError as error:
        assert str(error) == "plot needs matplotlib: pip install 'exactnorm[plot]'", error
    else:
        raise AssertionError
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)  # noqa: S603
    assert done.returncode == 0, done.stderr


def test_only_plot_imports_matplotlib(tmp_path: Path) -> None:
    script = "import sys, exactnorm as en; en.Moments()._repr_html_(); print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)  # noqa: S603
    assert done.stdout == "False\n"
