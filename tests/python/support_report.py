"""What the tests of the report share: pages in a browser, data with every flag, hostile names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page

NAN, INF = float("nan"), float("inf")
HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<!--<script>",
    '"><b onmouseover=alert(1)>bold</b>',
    "&lt;i&gt; \u202e abc \u2028 \\u003c",
    "</noscript><h1>hacked</h1>",
    "${1 + 1} $title",
]


class Opener:
    """Opens pages; at the end, none of them may have said or asked for anything."""

    def __init__(self, browser: Browser, folder: Path) -> None:
        self._browser, self._folder = browser, folder
        self.complaints: list[str] = []
        self._pages: list[Page] = []

    def __call__(self, html: str, width: int = 1280, **options: Any) -> Page:
        path = self._folder / f"{len(self._pages)}.html"
        path.write_text(html, encoding="utf-8")
        context = self._browser.new_context(viewport={"width": width, "height": 800}, **options)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.on("request", lambda request: self._request(request.url, path.as_uri()))
        page.goto(path.as_uri())
        self._pages.append(page)
        return page

    def _request(self, url: str, own: str) -> None:
        if url != own and not url.startswith("data:"):
            self.complaints.append(url)

    def close(self) -> None:
        for page in self._pages:
            page.context.close()
        assert self.complaints == []


def embedded(html: str) -> Any:
    """The data in a page."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(found[1], parse_constant=refuse)


def features(page: Page) -> list[str]:
    """The names in the rows that are drawn, in order."""
    return page.locator("#table tbody .name").all_inner_texts()


def cells(page: Page, feature: str) -> dict[str, str]:
    """The row of a feature: by the titles of columns, lines of text."""
    row = page.locator("#table tbody tr").filter(has=page.locator(".name", has_text=feature)).first
    return {
        cell.get_attribute("data-title") or "": " ".join(cell.inner_text().split())
        for cell in row.locator("td").all()
    }


def table(scale: float = 1.0) -> dict[str, Any]:
    """Columns of four values, one for each flag or without any."""
    m = np.ma.MaskedArray
    return {
        "plain": [1.0, 2.0, 3.0 * scale, 6.0],
        "constant": [5.0] * 4,
        "no values": m(np.zeros(4), mask=True),
        "offset": [4095.0, 4097.0] * 2,
        "nearly offset": [4094.0, 4096.0] * 2,
        "overflow": [2e19, -2e19] * 2,
        "nearly overflow": [1.8e19, -1.8e19] * 2,
        "large mean": [3.5e38] * 4,
        "underflow": [1e-19, -1e-19] * 2,
        "nearly underflow": [1.1e-19, -1.1e-19] * 2,
        "small": [9e-8, -9e-8] * 2,
        "nearly small": [1e-7, -1e-7] * 2,
        "half": m([1.0, 2.0, NAN, 4.0], mask=[0, 0, 0, 1]),
        "third": m([1.0, 2.0, 3.0, 4.0], mask=[0, 0, 0, 1]),
        "infinite": [1.0, -INF, INF, 2.0],
    }


FLAGGED = {
    "constant": {"constant"},
    "no values": {"no values", "half missing"},
    "offset": {"large offset"},
    "overflow": {"overflows float32"},
    "large mean": {"overflows float32", "constant"},
    "underflow": {"underflows float32", "sd below epsilon"},
    "nearly underflow": {"sd below epsilon"},
    "small": {"sd below epsilon"},
    "half": {"half missing", "NaN"},
    "infinite": {"infinite"},
}
SUSPICIOUS = [name for name in table() if FLAGGED.get(name, set()) - {"constant"}]
