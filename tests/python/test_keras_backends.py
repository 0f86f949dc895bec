"""The tests of the Keras layer again, on the other backends: Keras fixes its own when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = [f"{Path(__file__).parent}/test_keras_{part}.py" for part in ("layer", "models", "saving")]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_backend(backend: str) -> None:
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES],
        env=os.environ | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-20000:] + ran.stderr[-2000:]
    assert "skipped" not in ran.stdout
