"""Threads, Ctrl-C, and what an import brings in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import Any

import exactnorm as en
import numpy as np
import pytest
from support import finite_values


def in_threads(*work: Callable[[], Any]) -> None:
    """Run all at once; raise what any of them raises."""
    failures: list[BaseException] = []

    def run(function: Callable[[], Any]) -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_update_one_object() -> None:
    m = en.Moments(shape=3)
    batches = [finite_values("float32", (50, 3), seed) for seed in range(400)]
    big = np.tile(batches[0], (20_000, 1))  # 12 MB: learned aside and merged

    def update(part: list[Any]) -> None:
        for batch in part:
            m.update(batch)

    def read() -> None:
        for _ in range(200):
            copy = m.copy()
            assert len(set(copy.count.tolist())) == 1  # before or after an update, never between

    in_threads(
        lambda: update(batches[::2]),
        lambda: update(batches[1::2]),
        lambda: m.update(iter(batches)),
        lambda: m.update(big),
        read,
    )
    once = en.Moments.from_data(iter(batches))
    assert m == once + once + en.Moments.from_data(big)


def test_threads_merge_in_circles() -> None:
    """Each adds its neighbour: no order of locks can deadlock."""
    ring = [en.Moments.from_data(finite_values("float32", (5, 2), seed)) for seed in range(3)]
    gone = en.Moments.from_data(finite_values("float32", (5, 2), 9))

    def turn(i: int) -> None:
        for _ in range(300):
            neighbour = ring[(i + 1) % 3]
            _ = ring[i] + neighbour
            ring[i] += gone
            ring[i] -= gone
            assert ring[i] != neighbour

    before = [m.copy() for m in ring]
    in_threads(*(lambda i=i: turn(i) for i in range(3)))
    assert ring == before


def test_threads_use_one_layer() -> None:
    x = np.random.default_rng(0).standard_normal((1000, 3)).astype("float32")
    layer = en.Normalization()
    layer.adapt(x)
    expected = layer(x)

    def call() -> None:
        for _ in range(100):
            np.testing.assert_array_equal(layer(x), expected)

    def adapt() -> None:
        for _ in range(100):
            layer.adapt(iter([x[:10], x[10:]]))

    in_threads(call, call, adapt, adapt, lambda: [layer.to_bytes() for _ in range(100)])


INTERRUPTED = {
    "update": "m.update(long)",
    "from_data": "en.Moments.from_data(long)",
    "adapt": "layer.adapt(long)",
    "update_state": "layer.update_state(long)",
    "table": "m.update(pa.RecordBatchReader.from_batches(batch.schema, itertools.repeat(batch)))",
    "call": "while True: layer(x, out=y)",
    "stream": "m.update(itertools.repeat(x[:100], 10**9))",
    "small calls": "while True: m.count; layer.update_state(x[:10])",
}


@pytest.mark.parametrize("what", INTERRUPTED)
def test_ctrl_c_keeps_the_earlier_state(what: str) -> None:
    """SIGINT in the midst of long work, on the slowest path and one thread."""
    program = f"""
        import itertools, sys, time
        import numpy as np
        import pyarrow as pa
        import exactnorm as en

        x = np.resize(np.random.default_rng(0).standard_normal(2000), (1_000_000, 2))
        long = np.broadcast_to(x[:1], (10**11, 2))  # an hour's work in 16 bytes
        batch = pa.record_batch({{"a": x[:, 0].copy(), "b": x[:, 1].copy()}})
        m = en.Moments.from_data([[1.0, 2.0], [3.0, 4.0]])
        layer = en.Normalization()
        layer.adapt([[1.0, 2.0], [3.0, 4.0]])
        y = np.empty(x.shape, "f4")
        before = m.to_bytes(), layer.to_bytes()
        print("ready", flush=True)
        try:
            {INTERRUPTED[what]}
        except KeyboardInterrupt:
            stopped = time.monotonic()
            if {what!r} != "small calls":
                assert (m.to_bytes(), layer.to_bytes()) == before
            m.update([[1.0, 2.0]])
            layer.finalize_state()
            print(stopped, flush=True)
        else:
            print("it was faster", flush=True)
    """
    environment = {"EXACTNORM_TARGET": "portable", "EXACTNORM_NUM_THREADS": "1"}
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        answer = process.stdout.readline()
    assert process.returncode == 0, answer
    assert float(answer) > sent


def test_after_a_fork() -> None:
    """A forked child works on one thread, and its parent goes on."""
    program = """
        import multiprocessing
        import numpy as np
        import exactnorm as en

        x = np.random.default_rng(0).standard_normal((1_000_000, 3)).astype("f4")
        layer = en.Normalization()

        def work(threads):
            layer.adapt(x, threads=threads)
            return en.Moments.from_data(x, threads=threads).digest, layer(x, threads=threads).tobytes()

        expected = work(1)
        assert work(2) == expected  # oneTBB has its threads now
        with multiprocessing.get_context("fork").Pool(2) as pool:
            for result in pool.imap(work, [2, None, 3, 2]):
                assert result == expected
        assert work(2) == expected
        print("done")
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout == "done\n", done.stderr


def test_an_import_brings_in_numpy_alone() -> None:
    program = """
        import sys
        import numpy
        before = set(sys.modules)
        import exactnorm
        names = [{name.partition(".")[0] for name in modules} for modules in (before, sys.modules)]
        print(*sorted(names[1] - names[0] - sys.stdlib_module_names))
        exactnorm.Moments.from_data({"a": [1.0]}).mean()
        exactnorm.Normalization(mean=0.0, variance=1.0)([1.0])
        heavy = {"pandas", "pyarrow", "polars", "duckdb", "jax", "torch", "tensorflow", "ml_dtypes", "typer"}
        print(*sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "exactnorm\n\n"
    assert done.stderr == ""


def test_environment_variables() -> None:
    program = "import exactnorm as en; print([t.name for t in en.targets() if t.chosen])"

    def run(**variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **variables},
        )

    assert run(EXACTNORM_TARGET="portable").stdout == "['portable']\n"
    assert run(EXACTNORM_TARGET="").stdout == run().stdout
    wrong = run(EXACTNORM_TARGET="abacus")
    assert "ValueError" in wrong.stderr
    assert "abacus" in wrong.stderr
    assert "portable" in wrong.stderr
