"""Fixtures, and the line of the summary that says which kernels were tested."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

with contextlib.suppress(ImportError):
    # TensorFlow and triton, with which torch compiles, each have an LLVM; loaded after TensorFlow's, triton's
    # aborts the process.
    import triton  # noqa: F401

# Ray: no other interface than loopback, nothing sent home, and no warning of what it will do with GPUs.
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from support_report import Opener

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "reference")]

# For every Spark that a test or an example starts: no web page, no log, nothing but the loopback.
os.environ["SPARK_CONF_DIR"] = str(HERE / "spark-conf")
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
os.environ["PYSPARK_PYTHON"] = sys.executable

hypothesis.settings.register_profile("exactnorm", deadline=None)  # machines are slow when they are busy
hypothesis.settings.load_profile("exactnorm")

targets_run: set[str] = set()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `target` runs on every instruction set that this CPU has."""
    if "target" in metafunc.fixturenames:
        import exactnorm as en

        supported = [target.name for target in en.targets() if target.supported]
        metafunc.parametrize("target", supported, indirect=True)


@pytest.fixture
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Force an instruction set; the value is its name."""
    import exactnorm as en
    from exactnorm.testing import force_target

    with force_target(request.param):
        assert [t.name for t in en.targets() if t.chosen] == [request.param]
        targets_run.add(request.param)
        yield request.param


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A Spark of two threads that tries each task three times; examples find it, too."""
    from pyspark.sql import SparkSession

    with contextlib.chdir(tmp_path_factory.mktemp("spark")):  # where its relative paths will be for ever
        return SparkSession.builder.master("local[2,3]").getOrCreate()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of the system, no longer than needed: while it is there, asyncio.run does not work."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Browser, tmp_path: Path) -> Iterator[Opener]:
    """Opens pages; see `support_report.Opener`."""
    from support_report import Opener

    with contextlib.closing(Opener(chromium, tmp_path)) as opener:
        yield opener


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    try:
        import exactnorm as en
    except ImportError:
        return
    lists = {
        "run": [t.name for t in en.targets() if t.name in targets_run],
        "not run": [t.name for t in en.targets() if t.supported and t.name not in targets_run],
        "lacking on this CPU": [t.name for t in en.targets() if not t.supported],
    }
    said = [
        f"{what}: {', '.join(names) or 'none'}" for what, names in lists.items() if names or what != "not run"
    ]
    terminalreporter.write_line(f"dispatch targets {'; '.join(said)}")
