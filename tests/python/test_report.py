"""The report: what it says, sorts and finds, in a real browser; any state; the command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from exactnorm.cli._app import app
from playwright.sync_api import Page
from support_report import FLAGGED, SUSPICIOUS, Opener, cells, embedded, features, table
from typer.testing import CliRunner


def sort_order(page: Page) -> list[tuple[str, str]]:
    """The columns that say they are sorted."""
    return [
        (" ".join(cell.inner_text().split()), cell.get_attribute("aria-sort") or "")
        for cell in page.locator("#table thead th:not([aria-sort=none])").all()
    ]


def many(count: int = 5000) -> tuple[en.Moments, en.Moments]:
    rng = np.random.default_rng(0)
    names = [f"feature {i * 7919 % count}" for i in range(count)]
    x = rng.normal(0, 1, (20, count)) * rng.lognormal(0, 2, count)
    return en.Moments.from_data(x, names=names), en.Moments.from_data(
        x + rng.normal(0, 1, count), names=names
    )


def test_flags_and_their_thresholds(show: Opener) -> None:
    page = show(en.report(en.Moments.from_data(table())))
    for name in table():
        row = page.locator("#table tbody tr").filter(
            has=page.get_by_text(name, exact=True).and_(page.locator(".name"))
        )
        assert set(row.locator(".chip").all_inner_texts()) == FLAGGED.get(name, set()), name
    tiles = page.locator(".tile").all_inner_texts()
    assert [" ".join(text.split()) for text in tiles] == [
        "15 features",
        f"{len(SUSPICIOUS)} suspicious",
        "2 constant",
        "3 with nulls or NaN",
    ]
    meanings = page.locator("#flags dt .chip").all_text_contents()
    assert meanings == [flag["name"] for flag in embedded(en.report(en.Moments()))["flags"]]
    assert set().union(*FLAGGED.values()) == set(meanings)


def test_numbers(show: Opener) -> None:
    page = show(en.report(en.Moments.from_data(table())))
    assert cells(page, "half") == {
        "Mean": "1.5",
        "SD": "0.5",
        "Count": "2",
        "Null": "1",
        "NaN": "1",
        "Infinite": "0",
        "Finite": "50 %",
        "|Mean| / SD": "3",
    }
    assert cells(page, "no values")["Mean"] == cells(page, "no values")["SD"] == "–"
    assert cells(page, "infinite")["Infinite"] == "2"
    values = [
        0.0,
        0.1,
        -2.5,
        100.0,
        123456.7,
        1234567.0,
        1e20,
        -1.72305e-10,
        3e-5,
        0.00012345678,
        5e-324,
        1e308,
    ]
    expected = [
        re.sub(r"e([+-])0*", lambda m: "e" + m[1].strip("+"), f"{value:.6g}").replace("-", "−")
        for value in values
    ]
    assert page.evaluate("values => values.map(value => short(value))", values) == expected
    assert page.evaluate("[short(NaN), short(Infinity, '+'), short(-Infinity)]") == ["–", "+∞", "−∞"]


def test_sorting_by_mouse(show: Opener) -> None:
    data = {
        "b10": [1.0, 3.0],
        "b9": [5.0, 5.0],
        "a": np.ma.MaskedArray([0.0, 0.0], mask=True),
        "c": [-1.0, 4.0],
    }
    page = show(en.report(en.Moments.from_data(data)))
    assert features(page) == list(data)
    assert sort_order(page) == []
    mean = page.get_by_role("button", name="Mean", exact=True)
    mean.click()
    assert features(page) == ["b9", "b10", "c", "a"]
    assert sort_order(page) == [("Mean", "descending")]
    mean.click()
    assert features(page) == ["c", "b10", "b9", "a"]  # what has no mean stays last
    assert sort_order(page)[0][1] == "ascending"
    mean.click()
    assert features(page) == list(data)
    assert sort_order(page) == []
    page.get_by_role("button", name="Feature", exact=True).click()
    assert features(page) == ["a", "b9", "b10", "c"]
    assert sort_order(page)[0][1] == "ascending"


def test_sorting_by_keyboard(show: Opener) -> None:
    page = show(en.report(en.Moments.from_data({"a": [1.0, 2.0], "b": [0.0, 9.0]})))
    page.get_by_label("Search features").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    focused = page.evaluate(
        "() => { const e = document.activeElement, s = getComputedStyle(e);"
        " return [e.tagName, e.parentElement.tagName, e.textContent, s.outlineStyle, s.outlineWidth]; }"
    )
    assert focused == ["BUTTON", "TH", "Mean", "solid", "3px"]
    page.keyboard.press("Enter")
    assert features(page) == ["b", "a"]
    page.keyboard.press("Space")
    assert features(page) == ["a", "b"]
    assert page.evaluate("document.activeElement.textContent") == "Mean"


def test_drift_is_sorted_with_bars(show: Opener) -> None:
    before = {
        "same": [0.0, 2.0],
        "up": [0.0, 2.0],
        "down": [0.0, 2.0],
        "moved": [5.0, 5.0],
        "holes": [1.0, 3.0],
    }
    after = {
        "same": [0.0, 2.0],
        "up": [0.5, 2.5],
        "down": [-9.0, -7.0],
        "moved": [6.0, 6.0],
        "holes": np.ma.MaskedArray([1.0, 3.0], mask=[0, 1]),
    }
    states = [en.Moments.from_data(data) for data in (before, after)]
    page = show(en.report(*states, labels=["May", "June"]))
    assert features(page) == ["moved", "down", "holes", "up", "same"]
    assert page.title() == page.get_by_role("heading", level=1).inner_text() == "May → June"
    assert page.locator(".card h2").all_inner_texts() == ["A\nMay", "B\nJune"]
    assert page.locator(".card code").all_inner_texts() == [state.digest for state in states]
    assert "+∞ sd" in page.locator(".tile").last.inner_text()
    assert cells(page, "up")["Shift"] == "+0.5 sd"
    assert cells(page, "down")["Shift"] == "−9 sd"
    assert cells(page, "holes")["Null change"] == "+50 pp"
    assert cells(page, "holes")["Variance ratio"] == "× 0"
    assert cells(page, "up")["Mean"] == "A 1 B 1.5"
    fills = {
        name: page.locator("#table tbody tr").filter(has_text=name).locator("[data-title=Shift] .fill")
        for name in before
    }
    assert fills["same"].count() == 0
    assert fills["up"].get_attribute("class") == "fill up"
    assert fills["down"].get_attribute("class") == "fill down beyond"
    assert (fills["up"].get_attribute("style") or "").split("; ")[0] == "width: 25%"
    page.get_by_role("button", name="Null of B").click()
    assert features(page)[0] == "holes"
    assert page.locator(".chip", has_text="half missing in B").count() == 1


def test_searching_and_filters(show: Opener) -> None:
    page = show(en.report(en.Moments.from_data(table())))
    status = page.get_by_role("status")
    assert status.inner_text() == "15 features"
    assert status.get_attribute("aria-live") == "polite"
    search = page.get_by_label("Search features")
    search.fill("NEARLY")
    assert features(page) == [name for name in table() if "nearly" in name]
    assert status.inner_text() == "4 of 15 features"
    search.fill("nowhere")
    assert features(page) == []
    assert page.get_by_text("No feature to show.").is_visible()
    search.fill("")
    suspicious = page.get_by_role("button", name="suspicious")
    suspicious.click()
    assert features(page) == SUSPICIOUS
    assert suspicious.get_attribute("aria-pressed") == "true"
    search.fill("flow")
    assert features(page) == ["overflow", "underflow", "nearly underflow"]
    page.get_by_role("button", name="underflows float32 1").click()
    assert features(page) == ["underflow"]
    search.fill("")
    page.get_by_role("button", name="15 features").click()
    assert features(page) == list(table())


def test_thousands_of_features(show: Opener) -> None:
    a, b = many()
    assert a.names is not None
    page = show(en.report(a, b))
    by_shift = [row.feature for row in en.compare(a, b).sort("shift")]
    assert features(page)[:40] == by_shift[:40]
    assert page.locator("#table tbody tr").count() < 500
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.get_by_text(by_shift[-1], exact=True).wait_for()
    assert page.locator("tr[aria-rowindex='5001'] .name").inner_text() == by_shift[-1]
    page.get_by_role("button", name="Feature", exact=True).click()
    assert features(page)[:3] == ["feature 0", "feature 1", "feature 2"]
    assert page.locator("#table thead").bounding_box()["y"] >= 0  # type: ignore[index]
    page.get_by_role("button", name="Mean of A").click()
    mean = a.mean()
    assert features(page)[0] == a.names[int(mean.argmax())]
    page.get_by_label("Search features").fill("4999")
    assert features(page) == ["feature 4999"]
    page.get_by_label("Search features").fill("99")
    assert (
        page.get_by_role("status").inner_text()
        == f"{sum('99' in name for name in a.names)} of 5,000 features"
    )


def test_any_place_that_is_scrolled_to_is_drawn(show: Opener) -> None:
    page = show(en.report(many(3000)[0]))
    for part in (0.3, 0.9, 0.5, 0.1):
        page.evaluate("part => scrollTo(0, document.body.scrollHeight * part)", part)
        page.wait_for_function(
            "() => document.elementsFromPoint(600, 400).some(e => e.closest('tr')?.querySelector('.name'))"
        )


@pytest.mark.parametrize(
    ("state", "labels"),
    [
        (en.Moments.from_data(np.arange(12.0).reshape(2, 2, 3), axis=(1, 2)), ["(0, 0)", "(0, 1)"]),
        (en.Moments.from_data([[1.0, 2.0], [3.0, 5.0]]), ["0", "1"]),
        (en.Moments.from_data([1.0, 2.0]), ["()"]),
        (en.Moments(), ["()"]),
        (en.Moments(shape=0), []),
        (en.Moments(shape=2, names=["a", "b"]), ["a", "b"]),
        (en.Moments.from_data({"a": [1.0, 2.0]}, weights=[1.0, 2.5]), ["a"]),
        (en.GroupedMoments.from_data({"k": ["x", "y"], "a": [1.0, 2.0]}, keys="k"), ["a"]),
    ],
    ids=[
        "2d",
        "columns",
        "scalar",
        "scalar without values",
        "no features",
        "no values",
        "weighted",
        "groups",
    ],
)
def test_any_state(show: Opener, state: Any, labels: list[str]) -> None:
    page = show(en.report(state, state))
    assert features(page)[:2] == labels
    assert page.get_by_text("No feature to show.").is_visible() == (labels == [])
    assert page.get_by_text("A and B have the same digest").is_visible()
    card = page.locator(".card").first.inner_text()
    total = state.total() if isinstance(state, en.GroupedMoments) else state
    assert total.digest in card
    assert ("weighted" in card) == total.weighted
    assert ("of shape (2, 3)" in card) == (total.shape == (2, 3))
    assert ("the total of 2 groups" in card) == isinstance(state, en.GroupedMoments)
    assert embedded(en.report(state))["drift"] is None


def test_a_layer_is_what_it_has_learned() -> None:
    layer = en.Normalization()
    layer.adapt(np.array([[1.0, 2.0], [3.0, 5.0]]))
    learned = embedded(en.report(layer))["states"][0]
    assert learned["digest"] == layer.moments.digest
    assert learned["mean"] == [2.0, 3.5]
    with pytest.raises(RuntimeError, match="A: the layer is not built"):
        en.report(en.Normalization())
    given = en.Normalization(mean=[0.0], variance=[1.0])
    given.build((None, 1))
    with pytest.raises(RuntimeError, match="B: the layer was given mean and variance"):
        en.report(layer, given)


def test_wrong_arguments() -> None:
    m = en.Moments.from_data({"a": [1.0], "b": [2.0]})
    with pytest.raises(ValueError, match=r"A and B: expected equal shapes, got \(2,\) and \(3,\)"):
        en.report(m, en.Moments(shape=3))
    with pytest.raises(ValueError, match="A and B: expected equal names, got a, b and a, c"):
        en.report(m, en.Moments(shape=2, names=["a", "c"]))
    with pytest.raises(TypeError, match="A: expected Moments, GroupedMoments or a Normalization, got a list"):
        en.report([1.0])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected a label for each of 2 states, got 1"):
        en.report(m, m, labels=["x"])


def test_same_states_same_page() -> None:
    x = np.random.default_rng(0).normal(size=(100, 3))
    assert en.report(en.Moments.from_data(x)) == en.report(en.Moments.from_data(x[::-1]))
    data = embedded(en.report(en.Moments.from_data(x)))
    assert data["states"][0]["mean"] == en.Moments.from_data(x).mean().tolist()


def test_names_of_either_state_are_used() -> None:
    named, plain = en.Moments.from_data({"a": [1.0], "b": [2.0]}), en.Moments.from_data([[1.0, 2.0]])
    for pair in ((named, plain), (plain, named)):
        assert embedded(en.report(*pair))["features"] == ["a", "b"]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a, b = en.Moments.from_data({"x": [1.0, 2.0]}), en.Moments.from_data({"x": [3.0, 5.0]})
    a.save("a.json")
    b.save("b.json")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["report", *arguments])
        return result.exit_code, result.output

    assert run("a.json", "-o", "a.html") == (0, "")
    assert Path("a.html").read_text(encoding="utf-8") == en.report(a, labels=["a.json"])
    assert run("a.json", "b.json", "--output", "b.html", "--title", "June") == (0, "")
    drift = en.report(a, b, labels=["a.json", "b.json"], title="June")
    assert Path("b.html").read_text(encoding="utf-8") == drift
    assert run("a.json", "-o", "title.html", "--title", "\udcffJune") == (0, "")
    titled = en.report(a, labels=["a.json"], title="\ufffdJune")
    assert Path("title.html").read_text(encoding="utf-8") == titled
    en.GroupedMoments.from_data([1.0, 2.0], keys=[1, 2]).save("g.json")
    assert run("g.json", "-o", "g.html") == (0, "")
    assert run("g.json", "-o", "g2.html", "--key", "2", "--title", "Two") == (0, "")
    two = en.report(en.Moments.from_data(2.0), labels=["g.json"], title="Two")
    assert Path("g2.html").read_text(encoding="utf-8") == two

    en.Normalization().save("layer.json")
    en.Moments(shape=3).save("c.json")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert run("a.json", "c.json", "-o", "a.html") == (
        1,
        "exactnorm: a.json and c.json: expected equal shapes, got (1,) and (3,)\n",
    )
    assert run("layer.json", "-o", "a.html") == (
        1,
        "exactnorm: layer.json: the layer is not built: call build, adapt or the layer first\n",
    )
    assert run("none.json", "-o", "a.html") == (
        1,
        "exactnorm: cannot open none.json: No such file or directory\n",
    )
    assert run("a.json", "-o", "none/a.html") == (1, "exactnorm: none/a.html: No such file or directory\n")
    assert run("a.json")[0] == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
