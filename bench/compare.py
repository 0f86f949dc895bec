"""exactnorm beside other tools, on the same arrays: times in turns, errors and peak memory.

    .venv-bench/bin/python bench/compare.py OUT.json [--quick]

A tool that is missing, fails or takes too long gives a row with the reason.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import exactnorm as en
import numpy as np
import oracle
from peers import TOOLS

START, ANSWER = 120, 60  # seconds to start (imports, reading the data) and to answer
SLOW = 4.0  # seconds of a first run that is not repeated


@dataclass
class Shape:
    """Data to learn from."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    applied: bool = False  # normalized, too

    @property
    def name(self) -> str:
        return f"{self.shape} {self.dtype}"


SHAPES = [
    Shape((4_000_000, 16), applied=True),
    Shape((1_000_000, 64)),
    Shape((250_000, 256), applied=True),
    Shape((64_000_000, 1), applied=True),
    Shape((2_000_000, 16), "float64", applied=True),
    Shape((100_000_000, 1)),
    Shape((1_000, 100_000)),
    Shape((2_000, 224, 224, 3), "uint8"),
]
QUICK = [Shape((1_000_000, 16), applied=True)]
QUICK_TOOLS = ["numpy, float64", "numpy", "scikit-learn", "Polars", "PyArrow", "JAX"]
NOT_RUN = {("DuckDB", 100_000): "not run: a query of 200,000 aggregates"}


class FailureError(Exception):
    """A tool does not answer; says why."""


class Worker:
    """A tool in its process."""

    def __init__(self, name: str, path: Path) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # __exit__ closes it
        command = [sys.executable, str(Path(__file__).parent / "peers.py"), name, str(path)]
        self.process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def __enter__(self) -> Self:
        self.about = self.answer(START)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def ask(self, command: str) -> Any:
        try:
            print(command, file=self.process.stdin, flush=True)
        except OSError:
            raise FailureError(self.last_words()) from None
        return self.answer(ANSWER)

    def answer(self, seconds: float) -> Any:
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            self.process.kill()
            raise FailureError(f"no answer in {seconds} s")
        line = self.process.stdout.readline()
        if not line:
            raise FailureError(self.last_words())
        return json.loads(line)

    def last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1][:160] if lines else f"ended with status {self.process.returncode}"


def in_turns(ours: Callable[[], float], theirs: Callable[[], float], rounds: int, budget: float) -> list[Any]:
    """Pairs of seconds: at least 3, unless a single one of theirs is slow; no more than fit the budget."""
    first = theirs()  # warms up
    if first > SLOW:
        return [[ours(), first]]
    start, pairs = time.perf_counter(), []
    ours()
    while len(pairs) < 3 or (len(pairs) < rounds and time.perf_counter() - start < budget):
        pairs.append([ours(), theirs()] if len(pairs) % 2 else [theirs(), ours()][::-1])
    return pairs


def errors(x: Any, moments: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The worst feature's error of mean and variance, relative and in ulp of the type it came in."""
    exact = en.Moments.from_data(x)
    found = {}
    for what, values in zip(("mean", "variance"), moments["parts"], strict=True):
        truth = np.asarray(getattr(exact, what)())
        wrong = np.abs(np.asarray(values).reshape(truth.shape) - truth)
        ulp = np.spacing(np.abs(truth).astype(moments["dtype"])).astype(np.float64)
        found[what] = {"relative": float(np.max(wrong / np.abs(truth))), "ulp": float(np.max(wrong / ulp))}
    return found


def row_of(name: str, ours: Worker, path: Path, shape: Shape, rounds: int, budget: float) -> dict[str, Any]:
    """All about one tool and shape."""
    row: dict[str, Any] = {"tool": name}
    if (name, shape.shape[-1]) in NOT_RUN:
        return row | {"reason": NOT_RUN[name, shape.shape[-1]]}
    try:
        with Worker(name, path) as theirs:
            row |= theirs.about
            row["adapt"] = in_turns(lambda: ours.ask("adapt"), lambda: theirs.ask("adapt"), rounds, budget)
            row["memory"] = theirs.ask("memory")
            moments = theirs.ask("moments")
            row["dtype"] = moments["dtype"]
            row["errors"] = errors(np.load(path, mmap_mode="r")[: row["rows"]], moments)
            row["apply"] = {}
            for mode in theirs.ask("modes") if shape.applied else []:
                mine = "apply " + mode.partition(" (")[0]
                row["apply"][mode] = in_turns(
                    lambda mine=mine: ours.ask(mine),
                    lambda mode=mode: theirs.ask("apply " + mode),
                    rounds,
                    budget / 2,
                )
    except FailureError as failure:
        row["reason"] = str(failure)
    return row


def data_of(shape: Shape) -> Any:
    random = np.random.default_rng(1)
    if shape.dtype == "uint8":
        return random.integers(0, 256, shape.shape, np.uint8)
    x = random.standard_normal(shape.shape, shape.dtype)
    x *= 20
    x += 50
    return x


def compare_shape(shape: Shape, folder: Path, names: list[str], rounds: int, budget: float) -> dict[str, Any]:
    path = folder / "data.npy"
    x = data_of(shape)
    oracle.check(x)
    np.save(path, x)
    size = x.nbytes
    del x
    rows = []
    with Worker("exactnorm", path) as ours:
        ours.ask("adapt")
        memory = ours.ask("memory")
        if shape.applied:
            ours.ask("modes")
        for name in names:
            print(f"{shape.name}: {name}", file=sys.stderr, flush=True)
            rows.append(row_of(name, ours, path, shape, rounds, budget))
    path.unlink()
    return {"shape": shape.name, "rows": shape.shape[0], "bytes": size, "memory": memory, "tools": rows}


def short_calls(folder: Path, names: list[str], repetitions: int) -> list[dict[str, Any]]:
    """Seconds of update of (32, 16) and of apply to (1, 16)."""
    found = []
    for shape, commands in (((32, 16), ["update"]), ((1, 16), None)):
        path = folder / "short.npy"
        np.save(path, data_of(Shape(shape)))
        for name in ["exactnorm", *names]:
            try:
                with Worker(name, path) as worker:
                    modes = worker.ask("modes")
                    for command in commands or modes:
                        times = [worker.ask("short " + command) for _ in range(repetitions)]
                        if None not in times:
                            found.append(
                                {"tool": name, "call": command, "shape": str(shape), "seconds": times}
                            )
            except FailureError as failure:
                found.append({"tool": name, "shape": str(shape), "reason": str(failure)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--quick", action="store_true", help="one small shape, and the tools that start fast")
    quick = parser.parse_args().quick
    out = parser.parse_args().out
    names = QUICK_TOOLS if quick else [name for name in TOOLS if name != "exactnorm"]
    rounds, budget = (5, 1.0) if quick else (15, 4.0)
    with tempfile.TemporaryDirectory() as folder:
        shapes = [
            compare_shape(shape, Path(folder), names, rounds, budget)
            for shape in (QUICK if quick else SHAPES)
        ]
        short = short_calls(Path(folder), ["numpy"] if quick else names, 3 if quick else 15)
    out.write_text(json.dumps({"exactnorm": en.__version__, "shapes": shapes, "short": short}))


if __name__ == "__main__":
    main()
