"""exactnorm.spark on a cluster of two executors, one of which dies."""

from __future__ import annotations

import json
import subprocess
import sys

from support import ROOT

SCRIPT = ROOT / "tests" / "python" / "spark_cluster_job.py"


def test_a_killed_executor_changes_nothing() -> None:
    """What it had done is lost and done again: these tasks ended twice. (Speculation wants two hosts.)

    In a process of its own, since a JVM has one SparkContext, and the other tests have theirs.
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore", str(SCRIPT)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["killed"] >= 2  # the executor, and the Python beneath it
    assert report["attempts"] >= report["partitions"] + 2
    assert report["digest"] == report["expected"]
