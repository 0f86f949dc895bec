"""With numpy alone the package works, and each adapter says which extra it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import exactnorm
import numpy as np
import pytest

ADAPTERS = {
    "keras": ("exactnorm.keras", "keras"),
    "tf_keras": ("exactnorm.tf_keras", "tensorflow"),  # which tf_keras brings
    "sklearn": ("exactnorm.sklearn", "sklearn"),
    "torch": ("exactnorm.torch", "torch"),
    "onnx": ("exactnorm.onnx", "onnx"),
    "dask": ("exactnorm.dask", "dask"),
    "ray": ("exactnorm.ray", "pyarrow"),
}


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for packages that has exactnorm and numpy, and nothing else."""
    folder = tmp_path_factory.mktemp("packages")
    for package in (exactnorm, np):
        source = Path(package.__file__).parent
        (folder / source.name).symlink_to(source)
    libraries = Path(np.__file__).parents[1] / "numpy.libs"
    if libraries.exists():
        (folder / libraries.name).symlink_to(libraries)
    return folder


def run(bare: Path, code: str) -> str:
    program = f"import sys; sys.path.insert(0, {str(bare)!r})\n{code}"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-S", "-I", "-c", program], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_numpy_is_enough(bare: Path) -> None:
    code = """
import exactnorm as en
layer = en.Normalization(axis=None)
layer.adapt([1.0, 2.0, 3.0])
print(layer([2.0]), en.Moments.from_data({"a": [1.0]}).names, en.compare(layer, layer))
print(sorted(m for m in sys.modules if m.partition(".")[0] in
             ("pandas", "pyarrow", "polars", "keras", "torch", "sklearn", "onnx", "matplotlib")))
"""
    said = run(bare, code).splitlines()
    assert said[0].startswith("[0.]"), said
    assert said[-1] == "[]"


@pytest.mark.parametrize("extra", ADAPTERS)
def test_an_adapter_says_which_extra_it_needs(bare: Path, extra: str) -> None:
    module, package = ADAPTERS[extra]
    said = run(bare, f"import {module}")
    assert f"ImportError: {module} needs {package}: pip install 'exactnorm[{extra}]'" in said


def test_plots_say_which_extra_they_need(bare: Path) -> None:
    said = run(bare, "import exactnorm as en; en.Moments.from_data([1.0, 2.0]).plot()")
    assert "pip install 'exactnorm[plot]'" in said
