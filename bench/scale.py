"""What merging costs: bytes of a state, merges a second, and a cluster's tree of 10⁵ partitions.

    python bench/scale.py [--partitions 100000] [--features 10000]

measures, then predicts the tree of `exactnorm.spark`, then runs parts of it and holds the prediction beside
them: the largest sum that a worker makes and all that the driver does, and the whole tree with 100 features.
States are copies of a few different ones: what a merge costs does not depend on who else has sent the same.
"""

from __future__ import annotations

import argparse
import math
import resource
import statistics
import time
from collections.abc import Iterator

import exactnorm as en
import numpy as np
import pyarrow as pa
from exactnorm.distributed import merge, partial

DISTINCT = 8
WHOLE = 100  # features of the tree that is run whole
ROWS = 1000


def states(features: int, count: int = DISTINCT) -> list[bytes]:
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(features)]
    made = []
    for _ in range(count):
        columns = [column.astype("f4") for column in rng.lognormal(0, 2, (features, ROWS))]
        made.append(partial([pa.record_batch(columns, names=names)]))
    return made


def copies(made: list[bytes], count: int) -> Iterator[bytes]:
    return (made[i % len(made)] for i in range(count))


def seconds_of(made: list[bytes], count: int) -> tuple[float, bytes]:
    begin = time.perf_counter()
    total = merge(copies(made, count))
    return time.perf_counter() - begin, total


def members_of_roots(partitions: int) -> Iterator[int]:
    """How many of the numbers below partitions have the root 0, 1, 2, …"""
    first = 0
    while first < partitions:
        last = min(partitions, (math.isqrt(first) + 1) ** 2)
        yield last - first
        first = last


def row(part: str, features: int, merges: int, rate: float, measured: float) -> None:
    print(f"| {part} | {features:,} | {merges:,} | {merges / rate:.1f} | {measured:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--partitions", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=10_000)
    options = parser.parse_args()

    print(
        "| features | bytes a state | bytes a feature | merges/s | features merged/s |\n|---|---|---|---|---|"
    )
    rates = {}
    for features in (1, 16, WHOLE, 1000, options.features):
        made = states(features)
        size = statistics.mean(map(len, made))
        count = max(16, 200_000 // features)
        rates[features] = count / statistics.median(seconds_of(made, count)[0] for _ in range(5))
        figures = (features, size, size / features, rates[features], rates[features] * features)
        print("| " + " | ".join(f"{figure:,.0f}" for figure in figures) + " |", flush=True)

    roots = math.isqrt(options.partitions - 1) + 1
    fan_in = 2 * roots - 1
    print(
        f"\n{options.partitions:,} partitions: {roots} sums for the driver, each of at most {fan_in} states;"
    )
    sizes = options.partitions * size / 1e9, roots * size / 1e9
    print(f"{sizes[0]:.0f} GB between workers, {sizes[1]:.2f} GB to the driver.")
    print("\n| part of the tree | features | merges | predicted s | measured s |\n|---|---|---|---|---|")

    rate = rates[options.features]
    measured, above = seconds_of(made, fan_in)
    row("the largest sum of a worker", options.features, fan_in, rate, measured)
    sums = [above, *(merge(copies(made[i:], fan_in)) for i in range(2))]
    measured, _ = seconds_of(sums, roots)
    row("the driver's, all of it", options.features, roots, rate, measured)

    made = states(WHOLE)
    begin = time.perf_counter()
    total = merge(merge(copies(made, members)) for members in members_of_roots(options.partitions))
    measured = time.perf_counter() - begin
    row("the whole tree, on one core", WHOLE, options.partitions + roots, rates[WHOLE], measured)
    assert en.from_bytes(total).count[0] == options.partitions * ROWS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nSums have {len(sums[0]) / options.features:.0f} bytes a feature; peak memory {peak:.0f} MiB.")


if __name__ == "__main__":
    main()
