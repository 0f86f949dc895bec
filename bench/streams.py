"""Learning from streams, beside what there is to compare it with, in pairs that take turns.

    python bench/streams.py [--seconds 5]

prints two tables: tf.data.Dataset beside Keras's own adapt; other sources beside a loop that only iterates
over them. A ratio is the median over the pairs; rates are medians, in rows of 16 float32 a second.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import exactnorm as en
import keras
import numpy as np
import tensorflow as tf
import torch

FEATURES = 16
X = np.random.default_rng(0).standard_normal((1 << 20, FEATURES), dtype=np.float32)
Y = np.zeros(len(X), np.float32)


class Batches(keras.utils.PyDataset):
    """Shuffled rows, as people write it."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.order = np.random.default_rng(1).permutation(len(X))

    def __len__(self) -> int:
        return len(X) // self.batch

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self.order[i * self.batch : (i + 1) * self.batch]
        return X[rows], Y[rows]


def slices(batch: int) -> Iterator[np.ndarray]:
    return (X[i : i + batch] for i in range(0, len(X), batch))


def copies(batch: int) -> Iterator[np.ndarray]:
    return (part.copy() for part in slices(batch))


def random_numbers(batch: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    return (rng.standard_normal((batch, FEATURES), dtype=np.float32) for _ in range(0, len(X), batch))


def file_of(folder: str) -> Callable[[int], Iterator[np.ndarray]]:
    path = Path(folder) / "x.f32"
    X.tofile(path)

    def read(batch: int) -> Iterator[np.ndarray]:
        with path.open("rb") as file:
            while len(part := np.fromfile(file, np.float32, batch * FEATURES)) > 0:
                yield part.reshape(-1, FEATURES)

    return read


def loader(batch: int) -> Iterable[Any]:
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    return torch.utils.data.DataLoader(data, batch)


def exact(data: Any) -> None:
    en.Normalization().adapt(data)


def alone(data: Any) -> None:
    for _ in data:
        pass


def of_keras(data: Any) -> None:
    keras.layers.Normalization().adapt(data)


def pair(ours: Callable[[], int], theirs: Callable[[], int], seconds: float) -> tuple[float, float, float]:
    """Rates of both, and the median ratio, of runs that take turns. Each returns how many rows it had."""
    rates: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(rates) < 3:
        both = []
        for run in (ours, theirs):
            start = time.perf_counter()
            rows = run()
            both.append(rows / (time.perf_counter() - start))
        rates.append((both[0], both[1]))
    ratio = statistics.median(a / b for a, b in rates)
    return statistics.median(a for a, _ in rates), statistics.median(b for _, b in rates), ratio


def run(learn: Callable[[Any], None], source: Callable[[], Any], rows: int) -> Callable[[], int]:
    def measured() -> int:
        learn(source())
        return rows

    return measured


def row(name: str, batch: int, rates: tuple[float, float, float]) -> None:
    print(f"| {name} | {batch:,} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[2]:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="for each row of the tables")
    seconds = parser.parse_args().seconds
    print("| tf.data.Dataset | batch | exactnorm | Keras | ratio |\n|---|---|---|---|---|")
    for name, data in (("x", X), ("(x, y)", (X, Y))):
        for batch in (1, 32, 256, 2048, 16384, len(X)):
            ours = tf.data.Dataset.from_tensor_slices(data).batch(batch).take(1 + (40_000 * 32) // batch)
            theirs = ours.take(1 + 64_000 // max(batch, 32))  # it takes long
            rows = [min(len(X), int(dataset.cardinality()) * batch) for dataset in (ours, theirs)]
            of_keras(theirs)  # traces and compiles
            sources = [run(exact, lambda d=ours: d, rows[0]), run(of_keras, lambda d=theirs: d, rows[1])]
            row(name, batch, pair(*sources, seconds))
    print("\n| source | batch | exactnorm | iterating alone | ratio |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, source, batches in (
            ("generator that reads a file", file_of(folder), (32, 1024)),
            ("generator of random numbers", random_numbers, (32, 1024)),
            ("generator that copies rows", copies, (32, 1024)),
            ("generator of slices, which reads nothing", slices, (32, 1024)),
            ("keras.utils.PyDataset", Batches, (32, 1024)),
            ("torch.utils.data.DataLoader", loader, (32, 1024)),
        ):
            for batch in batches:
                make = functools.partial(source, batch)
                row(name, batch, pair(run(exact, make, len(X)), run(alone, make, len(X)), seconds))


if __name__ == "__main__":
    main()
