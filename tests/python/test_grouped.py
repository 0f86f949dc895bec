"""GroupedMoments: each group is what Moments of its rows are, from any kind of table and keys."""

from __future__ import annotations

import copy
import json
import pathlib
import pickle
import subprocess
import sys
import threading
from typing import Any

import duckdb
import exactnorm as en
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support import unaligned

AGE = [31.0, 57.0, 33.0, 12.0, 99.0]
INCOME = [2.5, 1.5, 3.5, float("nan"), 1.0]
COUNTRY = ["NL", "BE", "NL", "", "é"]
TABLE = {"age": AGE, "income": INCOME, "country": COUNTRY}


def one_by_one(x: Any, keys: Any, **how: Any) -> dict[Any, en.Moments]:
    """The same, with a mask for each key and no groups."""
    keys = np.asarray(keys)
    groups = {key: en.Moments.from_data(x[keys == key], **how) for key in sorted(set(keys.tolist()))}
    return {key: moments for key, moments in groups.items() if sum(moments._impl.counts().ravel()) > 0}


def expected() -> en.GroupedMoments:
    values = np.array([AGE, INCOME]).T
    return en.GroupedMoments.from_data(values, keys=COUNTRY, names=["age", "income"])


def test_groups_are_those_of_their_rows() -> None:
    rng = np.random.default_rng(7)
    x = (rng.standard_normal((5000, 3)) * 10.0 ** rng.integers(-30, 30, (5000, 1))).astype(np.float32)
    x[rng.random((5000, 3)) < 0.01] = np.nan
    keys = rng.integers(-20, 20, 5000)
    grouped = en.GroupedMoments.from_data(x, keys=keys)
    assert dict(grouped.items()) == one_by_one(x, keys)
    assert grouped.keys() == sorted(set(keys.tolist())) == list(grouped)
    assert len(grouped) == 40
    assert grouped.total() == en.Moments.from_data(x)


@pytest.mark.parametrize("order", ["C", "F"])
def test_other_axes(order: Any) -> None:
    x = np.asarray(np.arange(240, dtype=np.int16).reshape(10, 2, 3, 4), order=order)
    keys = ["a", "b"] * 5
    for axis in (-1, (1, 3), (2,), None, (1, 2, 3)):
        grouped = en.GroupedMoments.from_data(x, keys, axis=axis)
        assert grouped["a"] == en.Moments.from_data(x[::2], axis=axis)
    grouped = en.GroupedMoments.from_data(x.astype(">i2"), keys)
    assert grouped["b"] == en.Moments.from_data(x[1::2])


def test_one_feature() -> None:
    grouped = en.GroupedMoments.from_data([1.0, 2.0, 4.0], keys=[1, 1, 2])
    assert grouped.shape == ()
    assert grouped[1].mean() == 1.5


def test_weights_and_where() -> None:
    x = np.arange(8.0).reshape(4, 2)
    keys = np.array(["a", "b", "a", "c"])
    weights = np.array([1.0, 2.0, 0.5, 0.0])
    grouped = en.GroupedMoments.from_data(x, keys, weights=weights)
    assert grouped.keys() == ["a", "b"]  # c has weight 0
    assert grouped["a"] == en.Moments.from_data(x[::2], weights=weights[::2])
    assert grouped.weighted
    where = np.array([[True, False], [False, False], [True, True], [True, True]])
    grouped = en.GroupedMoments.from_data(x, keys, where=where)
    assert grouped.keys() == ["a", "c"]
    assert grouped["a"] == en.Moments.from_data(x[::2], where=where[::2])
    frame = pl.DataFrame({"x": x[:, 0], "y": x[:, 1]})
    assert en.GroupedMoments.from_data(frame, keys, weights=weights)["a"] == en.Moments.from_data(
        frame[::2], weights=weights[::2]
    )


def test_masked_values_are_nulls() -> None:
    x = np.ma.masked_equal([1.0, 2.0, 3.0], 2.0)
    assert en.GroupedMoments.from_data(x, [1, 1, 2])[1].null_count == 1


# ---- tables and keys


def tables() -> dict[str, Any]:
    chunked = pa.table({name: pa.chunked_array([v[:2], v[2:]]) for name, v in TABLE.items()})
    dictionary = chunked.set_column(2, "country", chunked["country"].dictionary_encode())
    return {
        "dict": TABLE,
        "dict of arrays": {**TABLE, "country": np.array(COUNTRY)},
        "dict of objects": {**TABLE, "country": np.array(COUNTRY, object)},
        "pandas": pd.DataFrame(TABLE),
        "pandas categories": pd.DataFrame(TABLE).astype({"country": "category"}),
        "pandas objects": pd.DataFrame(TABLE).astype({"country": object}),
        "polars": pl.DataFrame(TABLE),
        "polars categories": pl.DataFrame(TABLE).with_columns(pl.col("country").cast(pl.Categorical)),
        "polars enum": pl.DataFrame(TABLE).with_columns(
            pl.col("country").cast(pl.Enum(["unused", "é", "", "BE", "NL"]))
        ),
        "polars query": pl.LazyFrame(TABLE),
        "arrow": chunked,
        "arrow dictionary": dictionary,
        "arrow large": chunked.set_column(2, "country", chunked["country"].cast(pa.large_string())),
        "arrow view": chunked.set_column(2, "country", chunked["country"].cast(pa.string_view())),
        "arrow batch": pa.RecordBatch.from_pydict(TABLE),
        "arrow reader": chunked.to_reader(),
        "duckdb": duckdb.connect().sql("SELECT * FROM chunked"),
    }


@pytest.mark.parametrize("kind", list(tables()))
def test_a_column_of_any_table(kind: str) -> None:
    table = tables()[kind]
    if kind.startswith("pandas"):  # NaN is a value there, as in numpy
        assert en.GroupedMoments.from_data(table, keys="country") == expected()
        return
    grouped = en.GroupedMoments.from_data(table, keys="country")
    assert grouped.names == ("age", "income")
    assert grouped == expected()


@pytest.mark.parametrize("kind", ["polars query", "arrow reader", "duckdb"])
def test_streams_with_weights(kind: str) -> None:
    weights = [1.0, 2.0, 3.0, 4.0, 5.0]
    grouped = en.GroupedMoments.from_data(tables()[kind], keys="country", weights=weights)
    assert grouped == en.GroupedMoments.from_data(TABLE, keys="country", weights=weights)


def test_streams_of_many_batches() -> None:
    schema = pa.schema({"k": pa.string(), "x": pa.float64()})
    batches = [
        pa.RecordBatch.from_pydict({"k": [f"key {i % 7}" for i in range(n)], "x": np.arange(n) * 0.1}, schema)
        for n in (5, 0, 30, 11)
    ]
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    grouped = en.GroupedMoments.from_data(reader, keys="k")
    whole = pa.Table.from_batches(batches)
    assert grouped == en.GroupedMoments.from_data(whole, keys="k")
    assert grouped.total() == en.Moments.from_data(whole.select(["x"]))


@pytest.mark.parametrize(
    "keys",
    [
        [3, -1, 3, 7, 7],
        np.array([3, -1, 3, 7, 7], np.int8),
        np.array([3, -1, 3, 7, 7], ">i4"),
        np.array([3, -1, 3, 7, 7], object),
        np.array([3, 0, -1, 0, 3, 0, 7, 0, 7, 0])[::2],
        pd.Series([3, -1, 3, 7, 7]),
        pd.Series([3, -1, 3, 7, 7], dtype="Int32"),
        pd.Series([3, -1, 3, 7, 7], dtype="int64[pyarrow]"),
        pd.Series([3, -1, 3, 7, 7], dtype="category"),
        pl.Series([3, -1, 3, 7, 7], dtype=pl.Int16),
        pa.array([3, -1, 3, 7, 7], pa.int8()),
        pa.chunked_array([[3, -1], [3, 7, 7]]),
        pa.array([3, -1, 3, 7, 7]).dictionary_encode(),
    ],
)
def test_integer_keys(keys: Any) -> None:
    grouped = en.GroupedMoments.from_data(AGE, keys)
    assert grouped.keys() == [-1, 3, 7]
    assert grouped[3] == en.Moments.from_data([31.0, 33.0])
    assert all(type(key) is int for key in grouped)


def test_uint64_keys() -> None:
    assert en.GroupedMoments.from_data([1.0], np.array([2**63 - 1], np.uint64)).keys() == [2**63 - 1]
    with pytest.raises(ValueError, match=r"expected keys below 2\^63, got 9223372036854775808"):
        en.GroupedMoments.from_data([1.0], np.array([2**63], np.uint64))
    with pytest.raises(ValueError, match=r"from -2\^63 to 2\^63-1, got 9223372036854775808"):
        en.GroupedMoments.from_data([1.0], [2**63])


@pytest.mark.parametrize(
    "keys",
    [
        [None, "a"],
        np.ma.masked_equal([1, 2], 2),
        pd.Series(["a", None]),
        pd.Series([1, None], dtype="Int64"),
        pd.Series(["a", None], dtype="category"),
        pl.Series(["a", None]),
        pl.Series([1, None]),
        pa.array(["a", None]),
        pa.array(["a", None]).dictionary_encode(),
        pa.DictionaryArray.from_arrays([0, 1], ["a", None]),
    ],
)
def test_null_keys_are_refused(keys: Any) -> None:
    with pytest.raises(ValueError, match="expected a key in every row, got 1 without"):
        en.GroupedMoments.from_data([1.0, 2.0], keys)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ([1.5, 2.0], "objects of type float"),
        ([True, False], "objects of type bool"),
        (["a", 1], "objects of type int, str"),
        (np.array([1.5, 2.0]), "an array of dtype float64"),
        (np.array([True, False]), "an array of dtype bool"),
        (pd.Series([1.5, 2.0]), "a pandas column of dtype float64"),
        (pd.DataFrame({"x": [1, 2]}), "a DataFrame"),
        (pl.Series([1.5, 2.0]), "a polars column of dtype Float64"),
        (pl.DataFrame({"x": [1, 2]}), "a DataFrame"),
        (pa.array([1.5, 2.0]), "an Arrow column of type double"),
        (None, "a NoneType"),
        (b"ab", "a bytes"),
    ],
)
def test_other_keys_are_refused(keys: Any, what: str) -> None:
    with pytest.raises(TypeError, match=f"expected keys that are integers or strings, got {what}"):
        en.GroupedMoments.from_data([1.0, 2.0], keys)


# ---- errors


def test_errors_change_nothing() -> None:
    grouped = expected()
    before = grouped.copy()
    x = np.ones((2, 2))
    for error, match, act in [
        (ValueError, "expected a key for each of 2 rows, got 3", lambda: grouped.update(x, ["a", "b", "c"])),
        (ValueError, "expected a key for each row, got 1 for at least 2", lambda: grouped.update(x, ["a"])),
        (ValueError, "the keys are strings, and integers do not mix", lambda: grouped.update(x, [1, 2])),
        (ValueError, "it cannot be kept", lambda: grouped.update(x, ["a", "b"], axis=0)),
        (ValueError, "weights must be non-neg", lambda: grouped.update(x, ["a", "b"], weights=[1, -1])),
        (ValueError, "weighted and unweighted", lambda: grouped.update(x, ["a", "b"], weights=[1, 1])),
        (ValueError, "missing 'income'", lambda: grouped.update({"age": [1.0]}, ["a"])),
        (ValueError, "no column 'land' of keys; it has age, inc", lambda: grouped.update(TABLE, "land")),
        (TypeError, "names a column of a table, and the data are a ndarray", lambda: grouped.update(x, "k")),
        (TypeError, "batches go to update one by one", lambda: grouped.update(iter([x]), ["a", "b"])),
        (TypeError, "batches go to update one by one", lambda: grouped.update((x, x), ["a", "b"])),
        (ValueError, "there is no key 'FR'", lambda: grouped.__isub__(frances())),
        (ValueError, r"in 'age' \(feature 0\) of key 'NL'", lambda: grouped.__isub__(others())),
        (KeyError, "FR", lambda: grouped["FR"]),
        (KeyError, "3", lambda: grouped[3]),
        (KeyError, "None", lambda: grouped[None]),  # type: ignore[index]
    ]:
        with pytest.raises(error, match=match):
            act()
        assert grouped == before
    with pytest.raises(ValueError, match="more than one column 'k' of keys"):
        en.GroupedMoments.from_data(pa.table([pa.array([1]), pa.array([2])], names=["k", "k"]), "k")
    with pytest.raises(TypeError):
        grouped + en.Moments()  # type: ignore[operator]


def frances() -> en.GroupedMoments:
    return en.GroupedMoments.from_data({"age": [1.0], "income": [1.0]}, ["FR"])


def others() -> en.GroupedMoments:
    return en.GroupedMoments.from_data({"age": [50.0], "income": [1.0]}, ["NL"])


def test_a_bad_batch_of_a_stream_changes_nothing() -> None:
    schema = pa.schema({"k": pa.string(), "x": pa.float64()})
    batches = [pa.RecordBatch.from_pydict({"k": [key], "x": [1.0]}, schema) for key in ("a", None)]
    grouped = en.GroupedMoments(names=["x"])
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    with pytest.raises(ValueError, match="expected a key in every row"):
        grouped.update(reader, "k")
    assert len(grouped) == 0


# ---- algebra and documents


def test_a_year_of_days() -> None:
    rng = np.random.default_rng(1)
    rows, per_day = 365 * 40, 40
    x = rng.standard_normal((rows, 2)) * 10.0 ** rng.integers(-5, 5, (rows, 1))
    keys = [f"store {i}" for i in rng.integers(0, 25, rows)]
    days = [
        en.GroupedMoments.from_data(x[i : i + per_day], keys[i : i + per_day])
        for i in range(0, rows, per_day)
    ]
    assert len(days) == 365
    whole = en.GroupedMoments.from_data(x, keys)
    year = en.GroupedMoments(shape=2)
    for i in rng.permutation(365):
        year += en.from_bytes(days[i].to_bytes())
    assert year == whole
    assert year.digest == whole.digest
    year -= days[17]
    without = np.r_[0 : 17 * per_day, 18 * per_day : rows]
    assert year == en.GroupedMoments.from_data(x[without], [keys[i] for i in without])
    assert (whole - year) == days[17]
    for i, day in enumerate(days):
        if i != 17:
            year -= day
    assert year == en.GroupedMoments(shape=2)


def test_a_key_without_values_goes() -> None:
    grouped = expected()
    grouped -= en.GroupedMoments.from_data({"age": [57.0], "income": [1.5]}, ["BE"])
    assert grouped.keys() == ["", "NL", "é"]
    assert "BE" not in grouped
    assert "NL" in grouped
    assert 3 not in grouped
    assert None not in grouped
    assert True not in en.GroupedMoments.from_data([1.0], [1])
    assert np.int32(1) in en.GroupedMoments.from_data([1.0], [1])
    assert 2**70 not in en.GroupedMoments.from_data([1.0], [1])


def test_what_comes_out_is_a_copy() -> None:
    grouped = expected()
    grouped["NL"].update([[1.0, 2.0]])
    assert grouped == expected()


def test_copies_and_pickles() -> None:
    grouped = expected()
    for same in (
        grouped.copy(),
        copy.copy(grouped),
        copy.deepcopy(grouped),
        pickle.loads(pickle.dumps(grouped)),  # noqa: S301
        en.from_bytes(grouped.to_bytes()),
    ):
        assert isinstance(same, en.GroupedMoments)
        assert same == grouped
        same -= frances() - frances() + others() - others()
        same.update({"age": [1], "income": [2]}, ["NL"])
        assert same != grouped
    assert grouped == expected()
    with pytest.raises(en.StateError, match="expected the state of GroupedMoments"):
        en.GroupedMoments._from_document(en.Moments().to_bytes())
    with pytest.raises(en.StateError, match="expected the state of Moments"):
        en.Moments._from_document(grouped.to_bytes())


def test_saved_and_loaded(tmp_path: pathlib.Path) -> None:
    grouped = expected()
    grouped.save(tmp_path / "g.json")
    assert en.load(tmp_path / "g.json") == grouped
    document = json.loads((tmp_path / "g.json").read_bytes())
    assert document["kind"] == "grouped"
    assert [group["key"] for group in document["groups"]] == ["", "BE", "NL", "é"]
    text = (tmp_path / "g.json").read_text().replace('"key": "BE"', '"key": "CE"')
    (tmp_path / "g.json").write_text(text)
    with pytest.raises(en.StateError, match=r"g\.json: digest: the document was changed or damaged"):
        en.load(tmp_path / "g.json")


def test_names_and_column_order() -> None:
    grouped = expected()
    grouped.update({"income": [9.0], "age": [8.0]}, ["X"])
    assert grouped["X"].names == ("age", "income")
    assert grouped["X"].mean().tolist() == [8.0, 9.0]
    assert en.GroupedMoments().names is None


# ---- looks


def test_looks() -> None:
    assert repr(expected()) == ("<GroupedMoments of shape (2,): 4 groups of 2 features: '', 'BE', 'NL', 'é'>")
    assert repr(en.GroupedMoments()) == "<GroupedMoments of shape (): 0 groups of 1 feature>"
    html = expected()._repr_html_()
    assert "mean of income" in html
    assert ">NL<" in html
    assert expected().digest in html
    many = en.GroupedMoments.from_data(np.ones((100, 9)), keys=range(100))
    assert "… 70 more" in many._repr_html_()
    assert "5 of 9 shown" in many._repr_html_()
    assert repr(many).endswith("0, 1, 2, 3, 4, …>")


# ---- threads and interrupts


def test_threads_share_one() -> None:
    grouped = en.GroupedMoments()
    x, keys = np.arange(1000.0), np.arange(1000) % 10

    def work() -> None:
        for _ in range(20):
            grouped.update(x, keys)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert grouped == en.GroupedMoments.from_data(np.tile(x, 80), np.tile(keys, 80))


def test_interrupt_changes_nothing() -> None:
    script = """
import os, signal, threading
import numpy as np
import exactnorm as en
grouped = en.GroupedMoments.from_data([1.0], [5])
before = grouped.copy()
keys = np.zeros(10_000_000, np.int64)
x = np.broadcast_to(np.float32(1), (len(keys), 200))
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    grouped.update(x, keys)
except KeyboardInterrupt:
    print("interrupted", grouped == before)
"""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "interrupted True\n"


def test_keys_at_an_odd_address() -> None:
    x, keys = np.arange(6.0), np.array([3, 1, 3, 2, 1, 3])
    assert en.GroupedMoments.from_data(x, unaligned(keys)) == en.GroupedMoments.from_data(x, keys)


def test_names_without_any_group() -> None:
    names = [str(i) for i in range(3000)]
    nothing = en.GroupedMoments(len(names), names=names)
    assert en.from_bytes(nothing.to_bytes()) == nothing
