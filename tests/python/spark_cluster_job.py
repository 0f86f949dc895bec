"""Learns on Spark's local cluster while an executor is killed; prints what happened."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import exactnorm as en
import numpy as np
import pyarrow as pa
from exactnorm.spark import adapt
from pyspark.sql import SparkSession

HERE = Path(__file__).resolve().parent
PARTITIONS, ROWS = 8, 8000


def below(pid: int) -> list[int]:
    """The processes that a process has started, and those they have."""
    try:
        own = [
            int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()
        ]
    except OSError:
        own = []
    return own + [further for child in own for further in below(child)]


def name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill_an_executor(marks: Path) -> int:
    """Kill an executor that has done tasks and is at another, and its Python. How many died."""
    while not (waiting := sorted(marks.glob("waits-*"))):
        time.sleep(0.05)
    worker = int(waiting[0].read_text())
    executors = [pid for pid in below(os.getpid()) if "CoarseGrainedExecutorBackend" in name(pid)]
    victims = next([pid, *below(pid)] for pid in executors if worker in below(pid))
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    (marks / "killed").touch()
    return len(victims)


def main() -> None:
    os.environ["SPARK_CONF_DIR"] = str(HERE / "spark-conf")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master("local-cluster[2,1,1024]")
        .config("spark.executorEnv.PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        .getOrCreate()
    )
    df = spark.range(0, ROWS, 1, PARTITIONS).selectExpr("double(id) / 7 as x")
    with tempfile.TemporaryDirectory() as folder:
        marks = Path(folder)

        def waits_for_the_kill(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            from pyspark import TaskContext

            task = TaskContext.get()
            assert task is not None
            (marks / f"attempt-{task.taskAttemptId()}").touch()
            yield from batches
            if task.partitionId() >= PARTITIONS // 2 and not (marks / "killed").exists():
                (marks / f"mine-{os.getpid()}").write_text(str(os.getpid()))
                (marks / f"mine-{os.getpid()}").replace(marks / f"waits-{task.taskAttemptId()}")
                while not (marks / "killed").exists():
                    time.sleep(0.05)

        killed: list[int] = []
        killer = threading.Thread(target=lambda: killed.append(kill_an_executor(marks)), daemon=True)
        killer.start()
        digest = adapt(df.mapInArrow(waits_for_the_kill, "x double")).digest
        killer.join(10)
        attempts = len(list(marks.glob("attempt-*")))
    spark.stop()
    report = {
        "expected": en.Moments.from_data({"x": np.arange(ROWS) / 7}).digest,
        "digest": digest,
        "killed": sum(killed),
        "attempts": attempts,
        "partitions": PARTITIONS,
    }
    print(json.dumps(report))  # noqa: T201


if __name__ == "__main__":
    main()
