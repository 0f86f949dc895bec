"""The examples in docstrings and in the README run and say what is written there."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import exactnorm as en
import pytest
from support import ROOT

NAMES = [module.name for module in pkgutil.walk_packages(en.__path__, "exactnorm.")]
ELSEWHERE = "._core", ".__main__", "exactnorm.ray"  # test_ray.py has a cluster for its examples
MODULES = ["exactnorm", *(name for name in NAMES if not name.endswith(ELSEWHERE))]
PUBLIC = [getattr(en, name) for name in en.__all__]


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # of Keras
@pytest.mark.parametrize("name", MODULES)
def test_docstrings_of_modules(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_docstrings_of_what_is_public(thing: Any) -> None:
    """Classes say that they are of exactnorm, where testmod does not find their methods."""
    examples = doctest.DocTestFinder(exclude_empty=True).find(thing, module=False, globs={})
    for example in examples:
        assert doctest.DocTestRunner().run(example).failed == 0
    if thing in (en.Moments, en.Normalization):
        assert sum(len(example.examples) for example in examples) > 15


def test_everything_public_is_documented() -> None:
    for thing in PUBLIC:
        assert thing.__doc__
        if not inspect.isclass(thing) or issubclass(thing, (tuple, Exception)):
            continue
        for name, member in inspect.getmembers(thing):
            if not name.startswith("_"):
                assert inspect.getdoc(member), f"{thing.__name__}.{name}"


def test_examples_are_there() -> None:
    for thing in (en.Moments, en.Normalization, en.compare, en.load, en.from_bytes, en.targets):
        assert ">>> import exactnorm as en" in (thing.__doc__ or "")


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102


def test_version() -> None:
    version = re.search(r"VERSION (\d+\.\d+\.\d+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8"))
    assert version
    assert en.__version__ == version[1]
    with pytest.raises(AttributeError, match="nothing"):
        en.nothing  # noqa: B018
