"""exactnorm inside Spark beside Spark's own StandardScaler, on one Parquet data set with local[2].

    python bench/spark_scaler.py [--rows 10000000] [--features 16] [--dtype double] [--pairs 3]

prints two tables, seconds and ratios: learning, and applying (each result goes to Spark's noop sink). Every
work runs once before anything is timed, then all take turns; figures are medians. The peaks are of resident
memory: the JVM, which is driver and executor at once here, and the largest process of Python.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["PYSPARK_PYTHON"] = sys.executable
os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from exactnorm.spark import ExactStandardScaler, adapt, adapt_parquet, to_sql_columns, transform
from pyspark.ml.feature import StandardScaler, VectorAssembler
from pyspark.sql import DataFrame, SparkSession

FILES = 8
BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"


def write(folder: Path, rows: int, features: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    kind = np.dtype("float32" if dtype == "float" else "float64")
    for i in range(FILES):
        part = rng.normal(10, 3, (features, rows // FILES)).astype(kind)
        table = pa.table({f"x{j}": column for j, column in enumerate(part)})
        pq.write_table(table, folder / f"{i}.parquet", row_group_size=1 << 18)


def start() -> SparkSession:
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": "6g",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def computed(df: DataFrame) -> None:
    df.write.format("noop").mode("overwrite").save()


def in_turns(works: dict[str, Callable[[], Any]], pairs: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and of all processors, by all processes."""
    for work in works.values():
        work()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(pairs):
        for name, work in works.items():
            begin, used = time.perf_counter(), processor_seconds()
            work()
            spent[name].append((time.perf_counter() - begin, processor_seconds() - used))
    return spent


def table(title: str, spent: dict[str, list[tuple[float, float]]], base: str) -> None:
    print(f"\n| {title} | s | CPU s | × {base} | × in CPU |\n|---|---|---|---|---|")
    for name, own in spent.items():
        figures = [statistics.median(both[i] for both in own) for i in (0, 1)]
        ratios = [
            statistics.median(b[i] / a[i] for a, b in zip(own, spent[base], strict=True)) for i in (0, 1)
        ]
        print(f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures + ratios)} |", flush=True)


def processor_seconds() -> float:
    ticks = 0
    for pid in children(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # with children that have ended
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    return 0


def children(pid: int) -> list[int]:
    """A process and all below it."""
    own: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            own += map(int, (task / "children").read_text().split())
    return [pid, *(further for child in own for further in children(child))]


def memory(spark: SparkSession) -> str:
    """Peaks so far: of the driver's Python, of the JVM, and of the largest worker."""
    jvm = int(spark._jvm.java.lang.ProcessHandle.current().pid())
    workers = max(map(peak_mib, children(jvm)[1:]), default=0)
    return f"driver's Python {peak_mib(os.getpid())} MiB, JVM {peak_mib(jvm)} MiB, worker {workers} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--dtype", choices=["float", "double"], default="double")
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.rows, options.features, options.dtype)
        spark = start()
        df = spark.read.parquet(folder)
        names = df.columns
        vectors = VectorAssembler(inputCols=names, outputCol="x").transform(df)
        theirs = StandardScaler(inputCol="x", outputCol="z", withMean=True)
        print(f"({options.rows:,}, {options.features}) {options.dtype}, load {os.getloadavg()[0]:.1f}")

        def unlimited() -> None:
            spark.conf.set(BYTES, 2**31 - 1)
            adapt(df)
            spark.conf.unset(BYTES)

        in_turns({"": lambda: adapt(df)}, 1)
        after_adapt = memory(spark)
        learned = in_turns(
            {
                "VectorAssembler + StandardScaler.fit": lambda: theirs.fit(vectors),
                "adapt": lambda: adapt(df),
                "adapt, no limit of bytes": unlimited,
                "adapt_parquet": lambda: adapt_parquet(spark, folder),
                "Spark reads the files, and no more": lambda: computed(df),
            },
            options.pairs,
        )
        table("learning", learned, "VectorAssembler + StandardScaler.fit")
        print(f"\nAfter adapt alone: {after_adapt}.")

        layer = en.Normalization(dtype="float32" if options.dtype == "float" else "float64")
        layer.adapt(adapt(df))
        fitted = theirs.fit(vectors)
        many = ExactStandardScaler(
            inputCols=names, outputCols=[f"z{i}" for i in range(len(names))], withMean=True
        )
        one = ExactStandardScaler(inputCol="x", outputCol="z", withMean=True)
        many_fitted, one_fitted = many.fit(df), one.fit(vectors.limit(100_000))
        applied = in_turns(
            {
                "VectorAssembler + StandardScalerModel": lambda: computed(
                    fitted.transform(vectors).select("z")
                ),
                "VectorAssembler + ExactStandardScalerModel": lambda: computed(
                    one_fitted.transform(vectors).select("z")
                ),
                "ExactStandardScalerModel of columns": lambda: computed(
                    many_fitted.transform(df).drop(*names)
                ),
                "transform": lambda: computed(transform(df, layer)),
                "to_sql_columns": lambda: computed(df.select(*to_sql_columns(layer))),
                "Spark reads the files, and no more": lambda: computed(df),
            },
            options.pairs,
        )
        table("applying", applied, "VectorAssembler + StandardScalerModel")
        print(f"\nAt the end: {memory(spark)}; load {os.getloadavg()[0]:.1f}.")
        spark.stop()


if __name__ == "__main__":
    main()
