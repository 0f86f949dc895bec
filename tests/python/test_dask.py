"""Dask: the digest and the bits of one machine, whatever the chunks, and lazy."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import exactnorm as en
import numpy as np
import pandas as pd
import pytest
from dask.distributed import Client, LocalCluster, wait
from exactnorm.dask import adapt, transform
from support import assert_same_bits

RNG = np.random.default_rng(7)
ROWS = 1200
X = RNG.normal(1e4, 3, (ROWS, 6)).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan
X[5, 1] = np.inf
WEIGHTS = RNG.integers(0, 4, ROWS).astype(np.float64)
KEYS = RNG.integers(-3, 3, ROWS)

FRAME = pd.DataFrame(X, columns=list("abcdef"))
FRAME["nullable"] = pd.array(np.where(RNG.random(ROWS) < 0.3, None, 7), "Int64")
FRAME["empty"] = pd.array([None] * ROWS, "Float64")
FRAME["key"] = KEYS.astype(str)
FRAME["weight"] = WEIGHTS
NUMBERS = [*"abcdef", "nullable", "empty"]


@pytest.fixture(autouse=True)
def synchronous() -> Iterator[None]:
    with dask.config.set(scheduler="synchronous"):
        yield


def layer_of(x: Any) -> en.Normalization:
    layer = en.Normalization(nan_policy="omit", inf_policy="omit", constant_policy="unit")
    layer.adapt(x)
    return layer


def random_chunks(total: int, count: int) -> tuple[int, ...]:
    """Chunks of random lengths, some of them empty."""
    ends = np.sort(RNG.integers(0, total + 1, count - 1))
    return tuple(np.diff([0, *ends, total]).tolist())


# Arrays


@pytest.mark.parametrize("count", [1, 2, 7, 64, 200])
def test_an_array_of_any_chunks(count: int) -> None:
    x = da.from_array(X, chunks=(random_chunks(ROWS, count), -1))
    assert x.npartitions == count
    moments = adapt(x).compute()
    assert type(moments) is en.Moments
    assert moments == en.Moments.from_data(X)
    assert moments.digest == en.Moments.from_data(X).digest
    shuffled = x.rechunk((random_chunks(ROWS, 11), 6))
    assert adapt(shuffled, split_every=2).compute() == moments
    layer = layer_of(moments)
    for chunked in (x, shuffled):
        z = transform(chunked, layer)
        assert z.chunks == chunked.chunks
        assert z.dtype == z._meta.dtype == np.float32
        assert_same_bits(z.compute(), layer(X))


def test_skewed_chunks_and_weights_and_keys() -> None:
    x = da.from_array(X, chunks=((1, 0, ROWS - 3, 2), -1))
    weighted = en.Moments.from_data(X, weights=WEIGHTS)
    assert adapt(x, weights=WEIGHTS).compute() == weighted
    assert adapt(x, weights=da.from_array(WEIGHTS, chunks=100)).compute() == weighted
    each = np.abs(np.nan_to_num(X, posinf=1))
    assert adapt(x, weights=each).compute() == en.Moments.from_data(X, weights=each)
    groups = en.GroupedMoments.from_data(X, KEYS, weights=WEIGHTS)
    assert adapt(x, by=KEYS, weights=WEIGHTS).compute() == groups


@pytest.mark.parametrize("axis", [-1, 1, (0, 2), (0, 1, 2), None, ...], ids=str)
def test_any_axis_whole_or_split(axis: Any) -> None:
    data = RNG.normal(size=(6, 5, 4))
    expected = en.Moments.from_data(data, axis=axis)
    layer = en.Normalization(axis=-1 if axis is ... else axis, constant_policy="unit", dtype="float64")
    layer.build(data.shape)
    layer.adapt(expected)
    for chunks in ((2, 5, 4), (6, 2, 4), (2, 3, 3), (6, 5, 1), (1, 1, 1)):
        x = da.from_array(data, chunks=chunks)
        assert adapt(x, axis).compute() == expected
        z = transform(x, layer)
        assert z.chunks == x.chunks
        assert_same_bits(z.compute(), layer(data))


def test_one_axis_is_one_feature() -> None:
    assert adapt(da.from_array(X[:, 0], chunks=50)).compute() == en.Moments.from_data(X[:, 0])


def test_chunks_of_unknown_sizes() -> None:
    x = da.from_array(X, chunks=(130, 6))
    some, part = x[x[:, 0] > 1e4], X[X[:, 0] > 1e4]
    assert np.isnan(some.shape[0])
    assert adapt(some).compute() == en.Moments.from_data(part)
    assert adapt(some, weights=abs(some[:, 0])).compute() == en.Moments.from_data(part, weights=part[:, 0])
    layer = layer_of(X)
    z = transform(some, layer)
    assert z.numblocks == some.numblocks
    assert_same_bits(z.compute(), layer(part))
    both = da.from_array(X, chunks=(130, 4))
    both = both[both[:, 0] > 1e4]
    assert adapt(both).compute() == en.Moments.from_data(part)
    assert_same_bits(transform(both, layer).compute(), layer(part))


def test_masked_arrays_have_nulls() -> None:
    masked = np.ma.masked_invalid(X)
    x = da.from_array(masked, chunks=(100, 6))
    assert adapt(x).compute() == en.Moments.from_data(masked)
    layer = layer_of(masked)
    assert_same_bits(transform(x, layer).compute(), layer(masked))


def test_lazy_with_few_tasks() -> None:
    def refuse(block: Any) -> Any:
        raise AssertionError("computed")

    x = da.zeros((1000, 2), chunks=(1, 2)).map_blocks(refuse, dtype=float, meta=np.empty((0, 0)))
    transform(x, layer_of([[1.0, 2.0], [3.0, 5.0]]))
    lazy = adapt(x)
    assert len(lazy.__dask_graph__()) == 1000 + 125 + 16 + 2 + 1
    assert len(adapt(x, split_every=1000).__dask_graph__()) == 1000 + 1
    with pytest.raises(AssertionError, match="computed"):
        lazy.compute()


def test_the_layer_is_as_it_was() -> None:
    x = da.from_array(X, chunks=(100, 6))
    layer = layer_of(X)
    expected = layer(X)
    z = transform(x, layer)
    assert transform(x, layer).name == z.name
    layer.adapt([[0.0] * 6, [1.0] * 6])
    assert transform(x, layer).name != z.name
    assert_same_bits(z.compute(), expected)


# Frames


@pytest.mark.parametrize("count", [1, 3, 50, 200])
def test_a_frame_of_any_partitions(count: int) -> None:
    ddf = dd.from_pandas(FRAME, npartitions=count, sort=False)
    expected = en.Moments.from_data(FRAME[NUMBERS])
    assert adapt(ddf, columns=NUMBERS).compute() == expected
    assert adapt(ddf.repartition(npartitions=5), columns=NUMBERS, split_every=3).compute() == expected
    assert adapt(ddf.repartition(npartitions=5)[ddf.columns[::-1]], columns=NUMBERS).compute() == expected
    assert expected.nan_count[0] > 0
    assert expected.null_count[-1] == ROWS
    names = [name for name in NUMBERS if name != "empty"]
    layer = layer_of(FRAME[names])
    z = transform(ddf, layer)
    assert z.divisions == ddf.divisions
    result, local = z.compute(), layer.transform_frame(ddf.compute())
    pd.testing.assert_frame_equal(result, local, check_exact=True)
    pd.testing.assert_frame_equal(z._meta, result.iloc[:0])
    one = transform(ddf, layer, columns=["b"]).compute()
    pd.testing.assert_series_equal(one["b"], local["b"], check_exact=True)
    pd.testing.assert_series_equal(one["a"], FRAME["a"])


def test_frames_without_rows_and_of_unknown_divisions() -> None:
    parts = [FRAME.iloc[:0], FRAME.iloc[:3], FRAME.iloc[3:3], FRAME.iloc[3:], FRAME.iloc[:0]]
    ddf = dd.from_map(lambda i: parts[i], range(5), meta=FRAME.iloc[:0])
    assert not ddf.known_divisions
    assert adapt(ddf[NUMBERS]).compute() == en.Moments.from_data(FRAME[NUMBERS])
    layer = layer_of(FRAME[list("abc")])
    pd.testing.assert_frame_equal(transform(ddf, layer).compute(), layer.transform_frame(ddf.compute()))
    groups = en.GroupedMoments.from_data(FRAME[["a", "b"]], FRAME["key"])
    assert adapt(ddf, columns=["a", "b"], by="key").compute() == groups
    nothing = adapt(ddf[ddf["a"] > 1e9], columns=["a"]).compute()
    assert nothing.names == ("a",)
    assert nothing.count == 0


def test_a_frame_with_keys_and_weights() -> None:
    ddf = dd.from_pandas(FRAME, npartitions=9, sort=False)
    data = FRAME[NUMBERS]
    assert adapt(ddf, weights="weight", columns=NUMBERS).compute() == en.Moments.from_data(
        data, weights=FRAME["weight"]
    )
    grouped = adapt(ddf, by="key", weights="weight").compute()
    assert grouped == en.GroupedMoments.from_data(data, FRAME["key"], weights=FRAME["weight"])
    assert adapt(ddf, columns=["a"], by="key").compute()["-1"].names == ("a",)


def test_hundred_thousand_keys() -> None:
    keys = RNG.permutation(np.repeat(np.arange(100_000), 2))
    frame = pd.DataFrame({"x": RNG.normal(size=len(keys)), "key": keys})
    ddf = dd.from_pandas(frame, npartitions=5, sort=False)
    grouped = adapt(ddf, by="key").compute()
    assert len(grouped) == 100_000
    assert grouped.digest == en.GroupedMoments.from_data(frame, "key").digest


def test_labels_that_are_no_strings() -> None:
    frame = pd.DataFrame({0: X[:, 0], 1: WEIGHTS, 2: KEYS})
    ddf = dd.from_pandas(frame, npartitions=3)
    assert adapt(ddf, columns=[2, 0]).compute().names == ("2", "0")
    grouped = en.GroupedMoments.from_data(frame[[0]], KEYS, weights=WEIGHTS)
    assert adapt(ddf, by=2, weights=1).compute() == grouped
    layer = layer_of(frame)
    pd.testing.assert_frame_equal(transform(ddf, layer).compute(), layer.transform_frame(frame))


def test_parquet_reads_only_what_is_learned(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "frame.parquet")
    ddf = dd.read_parquet(tmp_path / "frame.parquet")
    delayed = adapt(ddf, columns=["a"])
    assert delayed.compute().digest == en.Moments.from_data(pd.read_parquet(tmp_path, columns=["a"])).digest


# Errors, before anything runs


def frame() -> Any:
    return dd.from_pandas(FRAME, npartitions=2)


def array() -> Any:
    return da.from_array(X, chunks=(600, 6))


def unknown() -> Any:
    return array()[array()[:, 0] > 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adapt(frame(), columns=["a", "q"]), ValueError, "no column 'q' in a table of 'a', 'b'"),
        (lambda: adapt(frame()), TypeError, "column 'key': .* is not a number"),
        (lambda: adapt(frame(), by="a"), TypeError, "keys that are integers or strings, got .* float32"),
        (lambda: adapt(frame(), columns=["a"], weights="q"), ValueError, "no column 'q'"),
        (lambda: adapt(frame(), axis=0, columns=["a"]), ValueError, "expected axis -1 or 1, got 0"),
        (
            lambda: adapt(frame()["a"]),
            TypeError,
            "expected a dask array or a dask dataframe, got a dask.*Series",
        ),
        (lambda: adapt(X), TypeError, "got a numpy.ndarray"),
        (lambda: adapt(array(), columns=["a"]), ValueError, "an array has no columns"),
        (lambda: adapt(array(), axis=2), ValueError, "axis 2 is out of range for data of rank 2"),
        (lambda: adapt(array().astype(str)), TypeError, "expected numbers or booleans, got .* <U"),
        (
            lambda: adapt(array(), weights=[1, 2]),
            ValueError,
            r"leading part of the shape \(1200, 6\), got \(2,\)",
        ),
        (lambda: adapt(array(), axis=0, by=KEYS), ValueError, "expected rows to have keys, but axis=0"),
        (lambda: adapt(array(), split_every=1), ValueError, "split_every of at least 2, got 1"),
        (
            lambda: adapt(unknown(), weights=WEIGHTS),
            ValueError,
            "expected weights as a dask array in the chunks",
        ),
        (
            lambda: adapt(unknown(), axis=0),
            ValueError,
            "axis 0 is kept, and split into chunks of unknown sizes",
        ),
        (lambda: transform(array()[:, :2], layer_of(X)), ValueError, r"x of shape \(1200, 2\), without"),
        (lambda: adapt(frame(), columns="ab"), TypeError, "expected a sequence of columns, got 'ab'"),
        (
            lambda: transform(frame(), layer_of(FRAME[["a"]]), "a"),
            TypeError,
            "a sequence of columns, got 'a'",
        ),
        (lambda: transform(frame()[["a"]], layer_of(FRAME[["a", "b"]])), ValueError, "no column 'b'"),
        (lambda: transform(frame(), layer_of(FRAME[["a"]]), ["b"]), ValueError, "has not learned 'b'"),
        (lambda: transform(array(), layer_of(X), ["b"]), ValueError, "an array has no columns"),
        (lambda: transform(X, layer_of(X)), TypeError, "got a numpy.ndarray"),
        (lambda: transform(array(), 3), TypeError, "expected an exactnorm.Normalization, got a builtins.int"),
    ],
)
def test_errors_come_at_once(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# A cluster of processes


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0
    )
    with cluster, Client(cluster) as connected:
        yield connected


def test_a_worker_killed_in_the_middle(client: Client, tmp_path: Path) -> None:
    mark = tmp_path / "killed"

    def kill_once(block: Any, block_info: Any) -> Any:
        if block_info[0]["chunk-location"][0] == 7 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    x = da.from_array(X, chunks=(60, 6)).map_blocks(kill_once, dtype=X.dtype, meta=X[:0])
    assert client.compute(adapt(x)).result() == en.Moments.from_data(X)
    assert mark.exists()


def test_results_that_are_lost_count_once(client: Client) -> None:
    x = client.persist(da.from_array(X, chunks=(60, 6)) + 0)
    wait(x)
    victim = next(iter(client.run(os.getpid).values()))
    os.kill(victim, signal.SIGKILL)
    assert client.compute(adapt(x)).result() == en.Moments.from_data(X)
    assert victim not in client.run(os.getpid).values()


def test_retries_count_once(client: Client, tmp_path: Path) -> None:
    def fail_once(part: pd.DataFrame) -> pd.DataFrame:
        mark = tmp_path / str(part.index[0])
        if not mark.exists():
            mark.touch()
            raise OSError("try again")
        return part

    ddf = dd.from_pandas(FRAME, npartitions=6).map_partitions(fail_once, meta=FRAME.iloc[:0])
    moments = client.compute(adapt(ddf, columns=NUMBERS), retries=3).result()
    assert len(list(tmp_path.iterdir())) == 6
    assert moments == en.Moments.from_data(FRAME[NUMBERS])


def test_workers_of_a_later_version(client: Client) -> None:
    def write(version: int) -> None:
        import exactnorm._state as module

        original = module._core.Moments.to_bytes
        module.State.to_bytes = lambda state: original(state._impl).replace(
            b"gversion\x01", b"gversion" + bytes([version])
        )

    client.run(write, 2)
    try:
        with pytest.raises(en.StateError, match="version"):
            client.compute(adapt(array())).result()
    finally:
        client.run(write, 1)
