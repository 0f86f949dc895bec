"""One tool in a process of its own: its imports, threads and peak memory are nobody else's.

    python bench/peers.py TOOL DATA.npy

reads commands from standard input, one a line, and answers each with a line of JSON. bench/compare.py gives
them. The data are read into memory, in the form that the tool likes best, before anything is timed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Array = Any
Run = Callable[[], Any]
MEAN, STD = 50.0, 20.0  # what applications use


@dataclass
class Tool:
    """What a tool does with the data it was made for."""

    adapt: Run  # returns mean and variance
    applications: Callable[[], dict[str, Run]] = dict  # by mode: fresh, out or in place (how)
    update: Run | None = None  # adds the data to what was learned before
    notes: list[str] = field(default_factory=list)


def columns(x: Array) -> dict[str, Array]:
    return {f"c{i}": np.ascontiguousarray(column) for i, column in enumerate(x.reshape(-1, x.shape[-1]).T)}


def leading(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def exactnorm(x: Array) -> Tool:
    import exactnorm as en

    def adapt() -> tuple[Array, Array]:
        moments = en.Moments.from_data(x)
        return moments.mean(), moments.variance()

    def applications() -> dict[str, Run]:
        shape = x.shape[-1:]
        layer = en.Normalization(
            mean=np.full(shape, MEAN), variance=np.full(shape, STD**2), dtype=x.dtype.name
        )
        out, own = np.zeros_like(x), x.copy()
        return {
            "fresh": lambda: layer(x),
            "out": lambda: layer(x, out=out),
            "in place": lambda: layer(own, out=own),
        }

    learned = en.Moments(shape=x.shape[-1:])
    return Tool(adapt, applications, lambda: learned.update(x))


def numpy_float64(x: Array) -> Tool:
    axes = leading(x)
    return Tool(lambda: (x.mean(axes, dtype=np.float64), x.var(axes, dtype=np.float64)))


def numpy(x: Array) -> Tool:
    axes = leading(x)

    def applications() -> dict[str, Run]:
        mean, std = np.full(x.shape[-1], MEAN, x.dtype), np.full(x.shape[-1], STD, x.dtype)
        out, own = np.zeros_like(x), x.copy()

        def into(source: Array, target: Array) -> None:
            np.subtract(source, mean, out=target)
            np.divide(target, std, out=target)

        return {
            "fresh": lambda: (x - mean) / std,
            "out": lambda: into(x, out),
            "in place": lambda: into(own, own),
        }

    def adapt() -> tuple[Array, Array]:
        return x.mean(axes), x.var(axes)

    return Tool(adapt, applications, adapt)


def scikit_learn(x: Array) -> Tool:
    from sklearn.preprocessing import StandardScaler

    table = x.reshape(-1, x.shape[-1])

    def adapt() -> tuple[Array, Array]:
        scaler = StandardScaler().fit(table)
        return scaler.mean_, scaler.var_

    def applications() -> dict[str, Run]:
        copying, writing = StandardScaler().fit(table[:1000]), StandardScaler(copy=False).fit(table[:1000])
        own = table.copy()
        return {"fresh": lambda: copying.transform(table), "in place": lambda: writing.transform(own)}

    learning = StandardScaler()
    return Tool(adapt, applications, lambda: learning.partial_fit(table))


def keras_layer(module: str, x: Array, **adapt_with: Any) -> Tool:
    layers = importlib.import_module(module).layers

    def layer(**given: Any) -> Any:
        return layers.Normalization(axis=-1, dtype="float64" if x.dtype == np.float64 else "float32", **given)

    def adapt(data: Any = x) -> tuple[Array, Array]:
        learned = layer()
        learned.adapt(data, **adapt_with)
        return np.asarray(learned.mean).reshape(-1), np.asarray(learned.variance).reshape(-1)

    def applications() -> dict[str, Run]:
        import tensorflow as tf

        given = layer(mean=[MEAN] * x.shape[-1], variance=[STD**2] * x.shape[-1])
        given.build(x.shape)
        compiled, tensor = tf.function(given), tf.constant(x)
        return {
            "fresh": lambda: np.asarray(given(x)),
            "fresh (tf.function)": lambda: compiled(tensor),
        }

    return Tool(adapt, applications)


def keras(x: Array) -> Tool:
    return keras_layer("keras", x)


def keras_tf_data(x: Array) -> Tool:
    import tensorflow as tf

    batch = 1024 if x[0].nbytes < 1 << 16 else 32
    batches = tf.data.Dataset.from_tensor_slices(x).batch(batch)
    adapt = keras_layer("keras", x).adapt
    return Tool(lambda: adapt(batches), notes=[f"batches of {batch}"])


def tf_keras(x: Array) -> Tool:
    tool = keras_layer("tf_keras", x)
    tool.notes = ["its own batches of 32"]
    return tool


def polars(x: Array) -> Tool:
    import polars as pl

    table = pl.DataFrame(columns(x))

    def adapt() -> tuple[Array, Array]:
        every = pl.all()
        row = table.select(every.mean(), every.var(ddof=0).name.suffix("v")).to_numpy()[0]
        return np.split(row, 2)

    scaled = (pl.all() - pl.lit(MEAN, pl.Float32)) / pl.lit(STD, pl.Float32)
    return Tool(adapt, lambda: {"fresh": lambda: table.select(scaled)})


def duckdb(x: Array) -> Tool:
    import duckdb as db

    source = columns(x)
    connection = db.connect()
    connection.register("source", source)
    connection.execute("CREATE TABLE data AS SELECT * FROM source")
    connection.unregister("source")
    names = list(source)
    query = f"SELECT {', '.join(f'avg({n})' for n in names)}, {', '.join(f'var_pop({n})' for n in names)} FROM data"  # noqa: S608, E501
    return Tool(lambda: np.split(np.array(connection.execute(query).fetchone()), 2))


def pyarrow(x: Array) -> Tool:
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.table(columns(x))

    def adapt() -> tuple[Array, Array]:
        return (
            np.array([pc.mean(column).as_py() for column in table.columns]),
            np.array([pc.variance(column).as_py() for column in table.columns]),
        )

    def applications() -> dict[str, Run]:
        kind = table.schema.types[0]
        mean, std = pa.scalar(MEAN, kind), pa.scalar(STD, kind)
        return {"fresh": lambda: [pc.divide(pc.subtract(c, mean), std) for c in table.columns]}

    return Tool(adapt, applications)


def jax(x: Array) -> Tool:
    import jax as jx
    import jax.numpy as jnp

    jx.config.update("jax_enable_x64", x.dtype == np.float64)
    device, axes = jnp.asarray(x), leading(x)

    @jx.jit
    def learn(a: Array) -> tuple[Array, Array]:
        a = a if jnp.issubdtype(a.dtype, jnp.floating) else a.astype(jnp.float32)
        return a.mean(axes), a.var(axes)

    def scale(a: Array) -> Array:
        return (a - jnp.asarray(MEAN, a.dtype)) / jnp.asarray(STD, a.dtype)

    def applications() -> dict[str, Run]:
        fresh, donated = jx.jit(scale), jx.jit(scale, donate_argnums=0)
        own = [jnp.array(device)]

        def in_place() -> None:
            own[0] = donated(own[0]).block_until_ready()

        return {"fresh": lambda: fresh(device).block_until_ready(), "in place (donated)": in_place}

    return Tool(lambda: tuple(np.asarray(part) for part in learn(device)), applications)


TOOLS: dict[str, tuple[str, Callable[[Array], Tool]]] = {  # by name: the distribution, and how to make it
    "exactnorm": ("exactnorm", exactnorm),
    "numpy, float64": ("numpy", numpy_float64),
    "numpy": ("numpy", numpy),
    "scikit-learn": ("scikit-learn", scikit_learn),
    "Keras": ("keras", keras),
    "Keras, tf.data": ("keras", keras_tf_data),
    "tf_keras": ("tf_keras", tf_keras),
    "Polars": ("polars", polars),
    "DuckDB": ("duckdb", duckdb),
    "PyArrow": ("pyarrow", pyarrow),
    "JAX": ("jax", jax),
}
# How much the slow ones get: rows, rows of 100,000 features, images.
SLOW_IMAGES = (1 << 40, 1 << 40, 128)
LIMITS = {
    "numpy, float64": SLOW_IMAGES,
    "numpy": SLOW_IMAGES,
    "scikit-learn": SLOW_IMAGES,
    "Keras": SLOW_IMAGES,
    "Keras, tf.data": (1 << 18, 256, 256),
    "tf_keras": (1 << 16, 256, 256),
}


def limit(name: str, x: Array) -> int:
    kind = 2 if x.ndim > 2 else int(x.shape[-1] > 10_000)
    return LIMITS[name][kind] if name in LIMITS else len(x)


def status(key: str) -> int:
    """A line of /proc/self/status, in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def timed(run: Run) -> tuple[float, Any]:
    """Seconds, and what it returned."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def timed_in_loop(run: Run) -> float:
    """Seconds a call of something short; the first does not count."""
    run()
    timer, count = timeit.Timer(run), 1
    while (seconds := timer.timeit(count)) < 0.02:
        count *= 2
    return seconds / count


def serve(name: str, path: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the tools print is no answer
    stored = np.load(path, mmap_mode="r")
    x = np.array(stored[: limit(name, stored)])
    distribution, make = TOOLS[name]
    make(x[: max(2, (1 << 20) // x[0].nbytes)]).adapt()  # loads code, which is no memory of the data's
    tool = make(x)
    applications: dict[str, Run] = {}
    learned: Any = ()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = status("VmRSS")
    from importlib.metadata import version

    answer: Any = {"version": version(distribution), "rows": len(x), "notes": tool.notes}
    print(json.dumps(answer), file=answers)
    for line in sys.stdin:
        command, _, argument = line.strip().partition(" ")
        if command == "adapt":
            answer, learned = timed(tool.adapt)
        elif command == "memory":
            answer = (status("VmHWM") - before) * 1024
        elif command == "moments":  # of the last adapt
            parts = [np.asarray(part) for part in learned]
            answer = {"dtype": parts[1].dtype.name, "parts": [part.astype(float).tolist() for part in parts]}
        elif command == "modes":
            applications = tool.applications()
            answer = list(applications)
        elif command == "apply":
            answer, _ = timed(applications[argument])
        elif command == "short":  # seconds of a short call: update, or apply and its mode
            run = tool.update if argument == "update" else applications[argument]
            answer = timed_in_loop(run) if run else None
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    serve(*sys.argv[1:])
