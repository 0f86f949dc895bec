"""Ray: the digest and the bits of one machine, whatever the blocks, and when workers die."""

from __future__ import annotations

import doctest
import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exactnorm as en
import exactnorm.ray
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import ray
from exactnorm.ray import ExactStandardScaler, adapt, transform
from ray.data.preprocessor import PreprocessorNotFittedException
from ray_support import local_ray
from support import assert_same_bits

RNG = np.random.default_rng(9)
ROWS = 1000
TABLE = pa.table(
    {
        "a": pa.array(RNG.normal(1e4, 3, ROWS), mask=RNG.random(ROWS) < 0.1),
        "b": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.random(ROWS)).astype(np.float32),
        "empty": pa.nulls(ROWS, pa.float32()),
        "key": RNG.integers(0, 5, ROWS).astype(str),
        "weight": RNG.integers(0, 3, ROWS),
    }
)
NUMBERS = ["a", "b", "empty"]
LOCAL = en.Moments.from_data(TABLE.select(NUMBERS))


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with local_ray():
        yield


def dataset(count: int, table: pa.Table = TABLE) -> Any:
    """Rows in blocks of random lengths, some of them empty."""
    ends = [0, *np.sort(RNG.integers(0, len(table) + 1, count - 1)).tolist(), len(table)]
    return ray.data.from_arrow([table.slice(a, b - a) for a, b in itertools.pairwise(ends)])


def collect(ds: Any) -> pa.Table:
    return pa.concat_tables(ray.get(ds.to_arrow_refs()))


def assert_same_table(actual: pa.Table, expected: pa.Table) -> None:
    """Equal types, order of rows, nulls and bits."""
    assert actual.schema.names == expected.schema.names
    for name, a, b in zip(expected.schema.names, actual.columns, expected.columns, strict=True):
        assert a.type == b.type, name
        if pa.types.is_floating(a.type):
            assert a.is_null().equals(b.is_null()), name
            assert_same_bits(*(column.fill_null(0).to_numpy() for column in (a, b)))
        else:
            assert a.equals(b), name


def layer_of(x: Any, **options: Any) -> en.Normalization:
    layer = en.Normalization(nan_policy="omit", **options)
    layer.adapt(x)
    return layer


@pytest.mark.parametrize("count", [1, 17, 200])
def test_any_blocks(count: int) -> None:
    moments = adapt(dataset(count), NUMBERS)
    assert type(moments) is en.Moments
    assert moments == LOCAL
    assert moments.digest == LOCAL.digest


def test_repartitioned_and_skewed() -> None:
    slices = [TABLE[:0], TABLE[: ROWS - 2], TABLE[5:5], TABLE[ROWS - 2 :]]
    skewed = ray.data.from_arrow(slices)
    assert adapt(skewed, NUMBERS) == LOCAL
    assert adapt(skewed.random_shuffle(seed=1).repartition(13), NUMBERS) == LOCAL


def test_keys_and_weights() -> None:
    weights = TABLE["weight"]
    expected = en.Moments.from_data(TABLE.select(NUMBERS), weights=weights)
    assert adapt(dataset(5), NUMBERS, weights="weight") == expected
    groups = en.GroupedMoments.from_data(TABLE.select(["a", "b"]), TABLE["key"], weights=weights)
    assert adapt(dataset(200), ["a", "b"], by="key", weights="weight") == groups


def test_hundred_thousand_keys() -> None:
    keys = RNG.permutation(np.repeat(np.arange(100_000), 2))
    table = pa.table({"x": RNG.normal(size=len(keys)), "key": keys})
    groups = adapt(dataset(4, table), by="key")
    assert len(groups) == 100_000
    assert groups.digest == en.GroupedMoments.from_data(table, "key").digest


def test_nan_of_pandas_blocks_is_nan() -> None:
    frame = TABLE.select(["b", "weight"]).to_pandas()
    frame["nullable"] = pd.array(np.where(RNG.random(ROWS) < 0.3, None, 7), "Int64")
    ds = ray.data.from_pandas([frame[:300], frame[300:]])
    moments = adapt(ds)
    assert moments == en.Moments.from_data(frame)
    assert moments.nan_count[0] > 0
    assert moments.null_count[0] == 0
    layer = layer_of(frame)
    z, local = collect(transform(ds, layer)), layer.transform_frame(frame)
    for name in frame:
        assert_same_bits(
            *(column.to_numpy(np.float32, na_value=np.nan) for column in (z[name].to_pandas(), local[name]))
        )


def test_no_rows() -> None:
    moments = adapt(dataset(1, TABLE[:0]), NUMBERS)
    assert moments.names == tuple(NUMBERS)
    assert not moments.count.any()
    assert adapt(ray.data.from_items([]), NUMBERS) == moments
    assert adapt(ray.data.from_items([]), (name for name in NUMBERS), weights="w") == moments


def test_columns_as_an_iterator() -> None:
    assert adapt(dataset(2), iter(["a", "b"])) == adapt(dataset(2), ["a", "b"])
    layer = layer_of(TABLE.select(["a", "b"]))
    assert_same_table(
        collect(transform(dataset(2), layer, iter(["a"]))), collect(transform(dataset(2), layer, ["a"]))
    )


def test_transform() -> None:
    layer = layer_of(TABLE.select(["a", "b"]), dtype="float64")
    expected = layer.transform_frame(TABLE)
    lazy = transform(dataset(7), layer)
    some = transform(dataset(7), layer, ["b"])
    layer.adapt({"a": [0.0, 1.0], "b": [0.0, 1.0]})
    assert_same_table(collect(lazy), expected)
    assert_same_table(collect(some), TABLE.set_column(1, "b", expected["b"]))


def test_a_worker_killed_in_the_middle(tmp_path: Path) -> None:
    mark = tmp_path / "killed"

    def kill_once(table: pa.Table) -> pa.Table:
        if table["row"][0].as_py() == 300 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return table

    numbered = TABLE.append_column("row", pa.array(range(ROWS)))
    ds = ray.data.from_arrow([numbered[i : i + 100] for i in range(0, ROWS, 100)])
    ds = ds.map_batches(kill_once, batch_format="pyarrow", batch_size=None)
    assert adapt(ds, NUMBERS) == LOCAL
    assert mark.exists()


def test_tasks_that_are_run_again_count_once(tmp_path: Path) -> None:
    def exit_at_first(table: pa.Table) -> pa.Table:
        mark = tmp_path / str(table["row"][0])
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return table

    numbered = TABLE.append_column("row", pa.array(range(ROWS)))
    ds = ray.data.from_arrow([numbered[:400], numbered[400:]])
    ds = ds.map_batches(exit_at_first, batch_format="pyarrow", batch_size=None)
    assert adapt(ds, NUMBERS) == LOCAL
    assert len(list(tmp_path.iterdir())) == 2


def test_workers_of_a_later_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def state_of_later(block: Any, **how: Any) -> pa.Table:
        table = state(block, **how)
        later = table["state"][0].as_py().replace(b"gversion\x01", b"gversion\x02")
        return pa.table({"state": pa.array([later], pa.large_binary())})

    state = exactnorm.ray._state
    monkeypatch.setattr(exactnorm.ray, "_state", state_of_later)
    for count in (1, 3):  # noticed by the driver, and by a task
        with pytest.raises(en.StateError, match="the document has version 2, which needs another release"):
            adapt(dataset(count), NUMBERS)


def test_values_that_are_refused() -> None:
    negative = TABLE.append_column("negative", pa.array([-1.0] * ROWS))
    with pytest.raises(ray.exceptions.RayTaskError, match="weights must be non-negative and finite"):
        adapt(dataset(2, negative), NUMBERS, weights="negative")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: adapt(dataset(2), ["a", "q"]), ValueError, "no column 'q' in a table of 'a', 'b'"),
        (lambda: adapt(dataset(2)), TypeError, "column 'key': .*utf8 is not a number"),
        (lambda: adapt(dataset(2), ["a"], by="b"), TypeError, "keys that are integers or strings"),
        (lambda: adapt(TABLE), TypeError, "expected a ray.data.Dataset, got a pyarrow.lib.Table"),
        (lambda: adapt(dataset(2), "ab"), TypeError, "expected a sequence of columns, got 'ab'"),
        (lambda: transform(dataset(2), layer_of(TABLE.select(["a"])), "a"), TypeError, "columns, got 'a'"),
        (lambda: adapt(ray.data.from_items([])), ValueError, "expected a dataset with columns"),
        (lambda: transform(dataset(2), 3), TypeError, "expected an exactnorm.Normalization"),
        (lambda: transform(dataset(2), layer_of(TABLE.select(["a"])), ["b"]), ValueError, "not learned 'b'"),
        (lambda: transform(dataset(2).drop_columns("a"), layer_of(TABLE.select(["a"]))), ValueError, "'a'"),
    ],
)
def test_errors_come_before_the_dataset_runs(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# The preprocessor


def test_scaler() -> None:
    ds = dataset(5)
    scaler = ExactStandardScaler(["a", "b"])
    with pytest.raises(PreprocessorNotFittedException):
        scaler.transform(ds)
    scaled = collect(scaler.fit_transform(ds))
    local = layer_of(TABLE.select(["a", "b"]), dtype="float64", constant_policy="unit")
    assert_same_table(scaled, local.transform_frame(TABLE))
    assert scaler.moments_ == local.moments
    means, stds = (getattr(local.moments, what)(nan_policy="omit") for what in ("mean", "std"))
    assert scaler.stats_ == {
        "mean(a)": means[0],
        "mean(b)": means[1],
        "std(a)": stds[0],
        "std(b)": stds[1],
    }


def test_scaler_into_other_columns() -> None:
    scaler = ExactStandardScaler(["a", "weight"], ["scaled", "weight"], dtype="float32").fit(dataset(3))
    result = scaler.transform_batch(TABLE)
    assert result.schema.names == [*TABLE.schema.names, "scaled"]
    local = layer_of(TABLE.select(["a", "weight"]), constant_policy="unit").transform_frame(TABLE)
    assert_same_table(
        result.select(["scaled", "weight"]),
        local.select(["a", "weight"]).rename_columns(["scaled", "weight"]),
    )
    frame = scaler.transform_batch(TABLE.to_pandas())
    np.testing.assert_array_equal(frame["scaled"], local["a"].to_numpy())
    with pytest.raises(ValueError, match="must match"):
        ExactStandardScaler(["a"], ["x", "y"])


def test_scaler_serialized() -> None:
    scaler = ExactStandardScaler(["a"], ["z"]).fit(dataset(3))
    assert b"Moments" not in scaler.serialize()  # a document, and none of our classes
    loaded = ExactStandardScaler.deserialize(scaler.serialize())
    assert type(loaded) is ExactStandardScaler
    assert loaded.stats_ == scaler.stats_
    assert loaded.moments_ == scaler.moments_
    assert_same_table(loaded.transform_batch(TABLE), scaler.transform_batch(TABLE))


def test_scaler_of_constant_and_vector_columns() -> None:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(RNG.normal(size=20)), 2)
    table = pa.table({"c": [5.0] * 10, "v": vectors})
    scaler = ExactStandardScaler(["c", "v"]).fit(dataset(2, table))
    assert list(scaler.stats_) == ["mean(c)", "mean(v[0])", "mean(v[1])", "std(c)", "std(v[0])", "std(v[1])"]
    assert scaler.transform_batch(table)["c"].to_pylist() == [0.0] * 10


def test_docstrings() -> None:
    result = doctest.testmod(exactnorm.ray)
    assert result.attempted > 10
    assert result.failed == 0
