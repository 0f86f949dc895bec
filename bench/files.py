"""Mean and variance of files, beside decoding alone and beside other engines, in turns on a warm page cache.

    .venv-bench/bin/python bench/files.py [--rounds 7] [--only parquet]

prints two tables: files of 5·10⁶ × 16 float32 (Parquet, with row groups of several sizes; Arrow) and of
10⁶ × 16 (CSV) or fewer (JSON lines); and statistics of groups. Times are medians; a ratio is the median over
rounds. Decoding alone is pyarrow's: as a stream, and into a table of the whole file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import exactnorm as en
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet as pq
from exactnorm import files
from figures import figure, table

Run = Callable[[], Any]
FEATURES = [f"f{i}" for i in range(16)]
BATCH_ROWS = 1 << 18


def numbers(rows: int) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({name: rng.standard_normal(rows, np.float32) for name in FEATURES})


def in_turns(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, one after the other, so that what disturbs one disturbs its neighbours."""
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name in list(runs)[:: 1 if turn % 2 else -1]:
            start = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def iterate(batches: Any) -> None:
    for _ in batches:
        pass


def decoders(path: str) -> dict[str, Run]:
    """pyarrow alone: as a stream, and the whole file."""
    if path.endswith(".parquet"):
        return {
            "pyarrow, a batch at a time": lambda: iterate(pq.ParquetFile(path).iter_batches(BATCH_ROWS)),
            "pyarrow, the whole file": lambda: pq.read_table(path),
        }
    if path.endswith(".csv"):
        return {
            "pyarrow, a batch at a time": lambda: iterate(pa.csv.open_csv(path)),
            "pyarrow, the whole file": lambda: pa.csv.read_csv(path),
        }
    if path.endswith(".jsonl"):
        return {"pyarrow, the whole file": lambda: pa.json.read_json(path)}
    return {"pyarrow, the whole file": lambda: pa.feather.read_table(path, memory_map=False)}


def engines(path: str) -> dict[str, Run]:
    """Those that compute mean and variance of every column."""
    both = [pl.all().mean().name.suffix("_mean"), pl.all().var(ddof=0).name.suffix("_variance")]
    scans = {
        ".parquet": pl.scan_parquet,
        ".csv": pl.scan_csv,
        ".jsonl": pl.scan_ndjson,
        ".arrow": pl.scan_ipc,
    }
    runs: dict[str, Run] = {
        "polars": lambda: scans[Path(path).suffix](path).select(both).collect(engine="streaming")
    }
    if not path.endswith(".arrow"):  # which duckdb does not read
        parts = ", ".join(f"avg({name}), var_pop({name})" for name in FEATURES)
        query = f"select {parts} from '{path}'"  # noqa: S608
        runs["duckdb"] = lambda: duckdb.sql(query).fetchall()
    return runs


def write(folder: Path) -> list[tuple[str, str]]:
    table, few = numbers(5_000_000), numbers(1_000_000)
    for rows in (100_000, 1_000_000, 5_000_000):
        pq.write_table(table, folder / f"{rows}.parquet", row_group_size=rows)
    pa.feather.write_feather(table, folder / "x.arrow")
    pa.csv.write_csv(few, folder / "x.csv")
    pl.from_arrow(few.slice(0, 200_000)).write_ndjson(folder / "x.jsonl")
    return [
        ("Parquet, row groups of 1,000,000", "1000000.parquet"),
        ("Parquet, row groups of 100,000", "100000.parquet"),
        ("Parquet, one row group", "5000000.parquet"),
        ("Arrow, lz4", "x.arrow"),
        ("CSV, 1,000,000 rows", "x.csv"),
        ("JSON lines, 200,000 rows", "x.jsonl"),
    ]


def rows_of(what: str, seconds: dict[str, list[float]], ours: str) -> list[list[str]]:
    rows = []
    for name, times in seconds.items():
        ratios = [mine / other for mine, other in zip(seconds[ours], times, strict=True)]
        shown = "" if name == ours else f"{statistics.median(ratios):.2f}"
        rows.append([what, name, figure(times, digits=3), shown])
    return rows


def groups(rows: int, keys: int, rounds: int) -> list[list[str]]:
    rng = np.random.default_rng(1)
    data = pa.table(
        {"key": rng.integers(0, keys, rows), **{f"f{i}": rng.standard_normal(rows) for i in range(4)}}
    )
    frame, columns = pl.from_arrow(data), pl.col("f0", "f1", "f2", "f3")
    both = [columns.mean().name.suffix("_mean"), columns.var(ddof=0).name.suffix("_variance")]
    seconds = in_turns(
        {
            "exactnorm": lambda: en.GroupedMoments.from_data(data, "key"),
            "polars": lambda: frame.group_by("key").agg(both),
        },
        rounds,
    )
    return rows_of(f"{rows:,} × 4 float64, {keys:,} keys", seconds, "exactnorm")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="files whose name has this; no groups")
    options = parser.parse_args()
    head = ["file", "what", "seconds, median (min–max)", "exactnorm takes, × its time"]
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for what, name in write(Path(folder)):
            if options.only not in name:
                continue
            path = str(Path(folder) / name)
            runs = {"exactnorm": lambda path=path: files.adapt(path)}
            rows += rows_of(
                what, in_turns(runs | decoders(path) | engines(path), options.rounds), "exactnorm"
            )
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}\n")
    print(table(head, rows))
    if not options.only:
        rows = [row for keys in (1_000, 1_000_000) for row in groups(10_000_000, keys, options.rounds)]
        print(table(["data", *head[1:]], rows))


if __name__ == "__main__":
    main()
