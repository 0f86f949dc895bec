"""The report: how it looks, and that what it shows stays text."""

from __future__ import annotations

import re
from typing import Any

import exactnorm as en
import pytest
from playwright.sync_api import Page
from support_report import HOSTILE, NAN, Opener, embedded, features, table

CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = rgb(getComputedStyle(e).backgroundColor);
      if (color.length === 3) return color;
      if (color[3] !== 0) throw new Error("half transparent");
    }
    return [255, 255, 255];
  };
  const ratio = (a, b) => {
    const [x, y] = [light(rgb(a)), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const found = [];
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    if ([...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) {
      found.push([ratio(style.color, behind(e)), 4.5, e.outerHTML.slice(0, 80)]);
    }
    const around = behind(e.parentElement);
    if (e.matches(".fill")) found.push([ratio(style.backgroundColor, around), 3, e.className]);
    if (e.matches("input, #theme")) found.push([ratio(style.borderTopColor, around), 3, e.id]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(show: Opener, scheme: Any) -> None:
    a, b = en.Moments.from_data(table()), en.Moments.from_data(table(scale=2.0))
    for html in (en.report(a, b), en.report(a)):
        page = show(html, color_scheme=scheme)
        page.get_by_text("What the flags mean").click()
        page.get_by_role("button", name="suspicious").click()
        page.mouse.move(0, 0)
        found = page.evaluate(CONTRAST)
        assert len(found) > 100
        assert [entry for entry in found if not entry[0] >= entry[1]] == []


def test_schemes(show: Opener) -> None:
    html = en.report(en.Moments.from_data(table()))

    def background(page: Page) -> int:
        color = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(map(int, re.findall(r"\d+", color)))

    light, dark = show(html), show(html, color_scheme="dark")
    assert background(light) > 700
    assert background(dark) < 100
    light.get_by_role("button", name="Dark").click()
    assert background(light) < 100
    light.get_by_role("button", name="Light").click()
    assert background(light) > 700


def test_no_width_scrolls_sideways(show: Opener) -> None:
    data = table() | {
        "x" * 200: [-1.23456789e-300, 3e-300, 0.0, 0.0],
        "word " * 40: [-1.23456789e300, 0.0, 0.0, 0.0],
    }
    a, b = en.Moments.from_data(data), en.Moments.from_data(data | {"plain": [1e300, NAN, 1.0, 1.0]})
    for html in (en.report(a), en.report(a, b, labels=["/a/long/path" * 9, "x" * 99])):
        page = show(html, width=375)
        page.get_by_text("What the flags mean").click()
        for width in (375, 320, 768, 1024, 1280, 375):
            page.set_viewport_size({"width": width, "height": 800})
            page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_phone(show: Opener) -> None:
    page = show(en.report(en.Moments.from_data(table())), width=375)
    assert page.locator("#table.cards").count() == 1
    assert page.get_by_role("row").count() == len(table()) + 1  # it still is a table for screen readers
    label = page.evaluate("getComputedStyle(document.querySelector('tbody td'), '::before').content")
    assert label == '"Mean"'
    page.get_by_role("button", name="SD", exact=True).click()
    assert features(page)[0] == "overflow"
    page.set_viewport_size({"width": 1280, "height": 800})
    page.locator("#table:not(.cards)").wait_for()


def test_names_are_inert(show: Opener) -> None:
    data = {name: [float(i), 3.0] for i, name in enumerate(HOSTILE)}
    m = en.Moments.from_data(data)
    html = en.report(m, m, title=HOSTILE[0], labels=HOSTILE[:2])
    assert embedded(html)["features"] == HOSTILE
    page = show(html)
    assert page.locator("#table tbody .name").evaluate_all("all => all.map(e => e.textContent)") == HOSTILE
    assert page.title() == HOSTILE[0]
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, b, i").count() == 0
    for policy in re.findall(r'Content-Security-Policy" content="([^"]*)"', html):
        assert policy.startswith("default-src 'none'; ")
        assert "script-src 'sha256-" in policy
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'hacked = 3'}))"
    )
    assert page.evaluate("window.hacked") is None
    refused = show.complaints.pop()
    assert "violates the following Content Security Policy" in refused


def test_without_javascript(show: Opener) -> None:
    """As a parser sees the page whose scripts are off."""
    m = en.Moments.from_data({name: [float(i), 3.0] for i, name in enumerate(HOSTILE)})
    html = en.report(m, m)
    parse = (
        "html => [...new DOMParser().parseFromString(html, 'text/html').querySelectorAll('%s')]"
        ".map(e => e.textContent)"
    )
    page = show(html)
    assert page.evaluate(parse % "noscript tbody th", html) == HOSTILE * 3
    assert page.evaluate(parse % "noscript p", html)[0].startswith(
        "This page sorts and searches with JavaScript"
    )
    assert page.evaluate(parse % "h1", html) == ["Drift"]
    assert page.evaluate(parse % "img, noscript script, b", html) == []
