"""The examples on the pages in docs/ run and say what is written there."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
from support import ROOT

PAGES = sorted(page for page in (ROOT / "docs").glob("*.md") if ">>>" in page.read_text(encoding="utf-8"))


@pytest.mark.filterwarnings("ignore:CUDA initialization:UserWarning")  # of torch, beside TensorFlow
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # of Keras
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.stem == "spark":
        request.getfixturevalue("spark")  # or the page would start another one, for all tests that follow
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


def test_there_is_a_page_for_each_framework() -> None:
    names = {page.stem for page in PAGES}
    assert {
        "keras",
        "from-keras",
        "sklearn",
        "torch",
        "jax",
        "onnx",
        "dataframes",
        "display",
        "engines",
        "export",
        "spark",
    } <= names
