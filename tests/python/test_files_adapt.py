"""exactnorm.files.adapt: every format, where files come from, which columns, and what is refused."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import subprocess
import sys
from pathlib import Path

import exactnorm as en
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from exactnorm import files
from exactnorm.files._blocks import cut_csv
from exactnorm.files._locations import _matches
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = ["age", "income"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def people(rows: int = 3000, seed: int = 0) -> pa.Table:
    """Numbers with nulls, keys of two kinds, and text that CSV must quote."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "note": pa.array(
                [["plain", "a,b", 'says "no"', "two\nlines", '5" pipe'][i % 5] for i in range(rows)]
            ),
            "age": pa.array(rng.integers(0, 100, rows), mask=rng.random(rows) < 0.1),
            "income": pa.array(rng.lognormal(10, 2, rows), mask=rng.random(rows) < 0.2),
            "country": pa.array(["NL", "BE", "DE"]).take(pa.array(rng.integers(0, 3, rows))),
            "zone": pa.array(rng.integers(-2, 3, rows)),
        }
    )


EXPECTED = en.Moments.from_data(people().select(NUMBERS))


def write(table: pa.Table, name: str) -> str:
    """Write a table in the format of the name."""
    stem, compressed = (name.rsplit(".", 1)[0], True) if name.endswith((".gz", ".zst")) else (name, False)
    text = io.BytesIO()
    if stem.endswith(".parquet"):
        pq.write_table(table, name, row_group_size=700)
    elif stem.endswith((".arrow", ".feather", ".ipc")):
        pa.feather.write_feather(table, name, chunksize=700)
    elif stem.endswith(".arrows"):
        with pa.ipc.new_stream(name, table.schema) as writer:
            writer.write_table(table, 700)
    elif stem.endswith(".csv"):
        pa.csv.write_csv(table, text)
    else:
        text.write("".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())
    if compressed:
        with pa.CompressedOutputStream(name, "gzip" if name.endswith(".gz") else "zstd") as stream:
            stream.write(text.getvalue())
    elif text.getvalue():
        Path(name).write_bytes(text.getvalue())
    return name


KINDS = [
    "parquet", "csv", "csv.gz", "csv.zst", "arrow", "feather", "ipc", "arrows",
    "jsonl", "ndjson", "jsonl.gz", "jsonl.zst",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 3])
def test_every_format(kind: str, threads: int) -> None:
    name = write(people(), f"people.{kind}")
    assert files.adapt(name, columns=NUMBERS, threads=threads) == EXPECTED
    by_zone = files.adapt(name, columns=NUMBERS, by="zone", threads=threads)
    assert by_zone == en.GroupedMoments.from_data(people().select([*NUMBERS, "zone"]), keys="zone")
    by_country = files.adapt([name], columns=["income"], by="country", threads=threads)
    assert by_country == en.GroupedMoments.from_data(people().select(["income", "country"]), keys="country")


def test_all_formats_together_by_patterns_and_folders() -> None:
    for i, kind in enumerate(KINDS):
        Path(f"data/{i % 3}").mkdir(parents=True, exist_ok=True)
        write(people(500, seed=i), f"data/{i % 3}/{i}.{kind}")
    Path("data/_temporary").mkdir()
    Path("data/_temporary/part.csv").write_text("age\nno number\n")
    Path("data/.hidden.csv").write_text("age\nno number\n")
    Path("data/README.txt").write_text("text")
    whole = pa.concat_tables([people(500, seed=i) for i in range(len(KINDS))])
    expected = en.Moments.from_data(whole.select(["age", "income", "zone"]))
    for wanted in ("data", "data/", "data/**/*.*", "data/*", ["data/0", "data/[12]"]):
        if wanted == "data/**/*.*":
            Path("data/README.txt").unlink()
            Path("data/_temporary/part.csv").unlink()
        assert files.adapt(wanted) == expected
    uri = Path("data").resolve().as_uri()
    assert files.adapt(
        [f"{uri}/0", f"{uri}/1/1.csv", f"{uri}/1/[!1]*", f"{uri}/1/10.jsonl.gz"][:1]
    ) == files.adapt("data/0")
    with pytest.raises(ValueError, match=r"0/0.parquet: named twice"):
        files.adapt(["data/0/0.parquet", "data/0"])
    with pytest.raises(FileNotFoundError, match="none/"):
        files.adapt("none/*.csv")
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: no file that ends in .parquet"):
        files.adapt("empty")


def test_columns_by_pattern() -> None:
    table = pa.table({name: [1.0, 2.0] for name in ("dep_delay", "arr_delay", "dep_time", "a[b]", "*")})
    pq.write_table(table.append_column("dep_text", pa.array(["x", "y"])), "in.parquet")
    for wanted, names in [
        (["dep_*"], ("dep_delay", "dep_time")),
        (["*_delay", "dep_delay"], ("dep_delay", "arr_delay")),
        (["/(dep|arr)_d.*/"], ("dep_delay", "arr_delay")),
        (["a[b]"], ("a[b]",)),
        (["*"], ("*",)),
        (["/.*/"], tuple(table.column_names)),
        (["dep_t???"], ("dep_time",)),
    ]:
        assert files.adapt("in.parquet", columns=wanted).names == names
    with pytest.raises(ValueError, match=r"no column of numbers matches 'z\*'"):
        files.adapt("in.parquet", columns=["z*"])
    with pytest.raises(ValueError, match=r"'/\(/' is no regular expression"):
        files.adapt("in.parquet", columns=["/(/"])
    with pytest.raises(ValueError, match="'dep_time' is of keys or weights"):
        files.adapt("in.parquet", columns=["dep_time"], weights="dep_time")


def test_types_that_are_no_plain_numbers() -> None:
    values = pa.array([1.5, 2.5, 1.5])
    table = pa.table(
        {
            "coded": values.dictionary_encode(),
            "flag": [True, False, True],
            "price": pa.array([1, 2, 3], pa.decimal128(5, 2)),
            "at": pa.array([1, 2, 3], pa.timestamp("s")),
            "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
            "half": pa.array(np.array([1, 2, 3], np.float16)),
        }
    )
    pq.write_table(table, "in.parquet")
    with pytest.warns(RuntimeWarning, match="price"):
        learned = files.adapt("in.parquet")
    assert learned == en.Moments.from_data(pa.table({"coded": values, "half": table["half"]}))
    assert files.adapt("in.parquet", columns=["flag"]).mean().tolist() == [2 / 3]
    for name, kind in (("price", "decimal"), ("at", "timestamp"), ("kind", "utf8")):
        with pytest.raises((ValueError, TypeError), match=rf"in.parquet: column '{name}': .*{kind}"):
            files.adapt("in.parquet", columns=["half", name])
    assert list(files.adapt("in.parquet", columns=["half"], by="kind")) == ["x", "y"]


def test_weights_and_adding_to_a_state() -> None:
    pq.write_table(people(seed=1), "a.parquet")
    write(people(seed=2), "b.csv")
    tables = [people(seed=seed) for seed in (1, 2)]
    weighted = [
        en.Moments.from_data(t.select(NUMBERS), weights=t["zone"].cast("int8").to_numpy() ** 2)
        for t in tables
    ]
    for name, table in zip(("a.parquet", "b.parquet"), tables, strict=True):
        squared = pa.array(table["zone"].to_numpy() ** 2)
        pq.write_table(table.append_column("w", squared), name)
    learned = files.adapt(["a.parquet", "b.parquet"], columns=NUMBERS, weights="w")
    assert learned == weighted[0] + weighted[1]
    assert files.adapt("b.parquet", weights="w", columns=NUMBERS, add_to=weighted[0]) == learned
    base = en.Moments.from_data(tables[0].select(["income", "age"]))
    before = base.copy()
    assert files.adapt("b.csv", add_to=base) == base + en.Moments.from_data(
        tables[1].select(["income", "age"])
    )
    assert base == before
    with pytest.raises(ValueError, match="the state to add to: "):
        files.adapt("b.csv", add_to=base, by="zone", columns=["income", "age"])
    with pytest.raises(ValueError, match="the state to add to: "):
        files.adapt("b.csv", add_to=base, columns=["age"])
    with pytest.raises(ValueError, match=r"b.csv: weights must be .* negative"):
        files.adapt("b.csv", columns=NUMBERS, weights="zone")


def test_hive_partitions_are_columns() -> None:
    for month in (1, 2, 12):
        for side in ("left hand", "right"):
            folder = Path(f"year/month={month:02}/side={side.replace(' ', '%20')}")
            folder.mkdir(parents=True)
            pq.write_table(people(100, seed=month).select(NUMBERS), folder / "part-0.parquet")
    months = {month: en.Moments.from_data(people(100, seed=month).select(NUMBERS)) for month in (1, 2, 12)}
    by_month = files.adapt("year", by="month")
    assert {key: by_month[key] for key in by_month} == {key: m + m for key, m in months.items()}
    assert list(files.adapt("year", by="side")) == ["left hand", "right"]
    assert files.adapt("year").names == ("age", "income")
    learned = files.adapt("year", columns=["month", "age"])
    assert learned.names == ("month", "age")
    assert learned.mean()[0] == 5.0
    assert learned.count[0] == 600
    weighted = files.adapt("year", columns=["age"], weights="month")
    assert weighted.mean().tolist() == pytest.approx(
        [
            sum(k * m.mean()[0] * m.count[0] for k, m in months.items())
            / sum(k * m.count[0] for k, m in months.items())
        ]
    )
    Path("year/month=__HIVE_DEFAULT_PARTITION__").mkdir()
    pq.write_table(people(100).select(NUMBERS), "year/month=__HIVE_DEFAULT_PARTITION__/a.parquet")
    with pytest.raises(ValueError, match=r"__HIVE_DEFAULT_PARTITION__/a.parquet: no column 'side'"):
        files.adapt("year", by="side")
    with pytest.raises(ValueError, match=r"__HIVE_DEFAULT_PARTITION__/a.parquet: .*key"):
        files.adapt("year", by="month")


def test_arrays() -> None:
    rng = np.random.default_rng(3)
    parts = [rng.normal(size=(n, 4, 3)).astype(np.float32) for n in (10, 0, 70_000)]
    for i, part in enumerate(parts):
        np.save(f"{i}.npy", part)
    np.savez("one.npz", x=parts[2])
    np.savez_compressed("packed.npz", x=parts[2])
    expected = en.Moments.from_data(np.concatenate(parts))
    assert files.adapt([f"{i}.npy" for i in range(3)]) == expected
    assert files.adapt(["one.npz", "0.npy"]) == expected
    assert files.adapt("packed.npz") == en.Moments.from_data(parts[2])
    assert files.adapt("0.npy", add_to=en.Moments.from_data(parts[2])) == expected
    np.save("vector.npy", np.arange(5, dtype=">i2"))
    assert files.adapt("vector.npy") == en.Moments.from_data(np.arange(5))
    np.savez("table.npz", a=np.arange(5), b=np.arange(10.0).reshape(5, 2), zone=np.array([1, 1, 2, 2, 2]))
    assert files.adapt("table.npz", columns=["a", "b"]).names == ("a", "b[0]", "b[1]")
    assert files.adapt("table.npz", columns=["a"], by="zone")[2].count.tolist() == [3]
    np.save("fields.npy", np.array([(1, 2.5), (3, 4.5)], [("n", "i4"), ("x", "f8")]))
    assert files.adapt("fields.npy").mean().tolist() == [2.0, 3.5]
    for options in ({"columns": ["a"]}, {"by": "a"}, {"weights": "a"}, {"checkpoint": "c"}):
        with pytest.raises(ValueError, match=r"0.npy: an array without names goes without"):
            files.adapt("0.npy", **options)
    with pytest.raises(ValueError, match=r"vector.npy: .*shape"):
        files.adapt(["0.npy", "vector.npy"])
    np.save("objects.npy", np.array(["text", None], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"objects.npy: expected numbers, got dtype object"):
        files.adapt("objects.npy")
    np.save("fortran.npy", np.asfortranarray(parts[0][:, 0]))
    with pytest.raises(ValueError, match=r"fortran.npy: expected an array in C order"):
        files.adapt("fortran.npy")
    Path("cut.npy").write_bytes(Path("2.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"cut.npy: the file ends before"):
        files.adapt("cut.npy")
    np.savez("uneven.npz", a=np.arange(5), b=np.arange(4))
    with pytest.raises(ValueError, match=r"uneven.npz: expected arrays of equal length"):
        files.adapt("uneven.npz")


def test_numbers_that_turn_up_late() -> None:
    rows = 300_000  # beyond what the types are guessed from, and in another block
    whole = en.Moments.from_data({"n": np.array([1234567.0] * rows + [0.5])})
    Path("late.csv").write_text("n\n" + "1234567\n" * rows + "0.5\n")
    Path("late.jsonl").write_text('{"n": 1234567}\n' * rows + '{"n": 0.5}\n')
    for name in ("late.csv", "late.jsonl"):
        assert files.adapt(name) == whole
    large = 2**53 + 1
    Path("large.jsonl").write_text(f'{{"n": {large}, "m": null}}\n')
    assert files.adapt("large.jsonl") == en.Moments.from_data({"n": [large], "m": np.ma.masked_all(1)})
    Path("text.jsonl").write_text('{"n": 1234567}\n' * rows + '{"n": "x"}\n')
    with pytest.raises(
        ValueError, match=r"text.jsonl: .*Column\(/n\) changed from number to string in row 300000"
    ):
        files.adapt("text.jsonl")
    Path("text.csv").write_text("m,n\n" + "0,1234567\n" * rows + "0,x\n")
    with pytest.raises(ValueError, match=r"text.csv: column 'n': 'x' does not read as double"):
        files.adapt("text.csv")
    Path("ragged.csv").write_text("m,n\n" + "0,1234567\n" * 700_000 + "1\n")
    with pytest.raises(ValueError, match=r"ragged.csv: .*Row #700002: Expected 2 columns, got 1"):
        files.adapt("ragged.csv")
    Path("keys.csv").write_text("k,n\n" + "1234567,1\n" * rows + "A1,1\n")
    assert files.adapt("keys.csv", by="k").keys() == ["1234567", "A1"]
    Path("more.csv").write_text("k,n\nB2,1\n")
    Path("fewer.csv").write_text("k,n\n007,1\n")
    assert files.adapt(["fewer.csv", "more.csv"], by="k").keys() == ["007", "B2"]


def test_bad_files_are_left_out_on_demand() -> None:
    write(people(seed=1), "good.parquet")
    write(people(seed=2), "good.csv")
    Path("cut.parquet").write_bytes(Path("good.parquet").read_bytes()[:-20])
    Path("ragged.csv").write_text(Path("good.csv").read_text() * 3 + "1,2\n")
    bad: dict[str, Exception] = {}
    names = ["cut.parquet", "good.parquet", "ragged.csv", "none.csv", "good.csv"]
    learned = files.adapt(names, columns=NUMBERS, on_bad_file=bad.__setitem__)
    assert learned == files.adapt(["good.parquet", "good.csv"], columns=NUMBERS)
    assert sorted(bad) == ["cut.parquet", "none.csv", "ragged.csv"]
    assert all(name in str(error) for name, error in bad.items())
    with pytest.raises(ValueError, match="no file could be read"):
        files.adapt(["cut.parquet"], on_bad_file=bad.__setitem__)


def test_progress_reaches_the_end() -> None:
    names = [write(people(seed=i), f"{i}.{kind}") for i, kind in enumerate(KINDS)]
    seen: list[files.Progress] = []
    files.adapt(names, on_progress=seen.append)
    assert seen[-1].rows == 3000 * len(KINDS)
    assert seen[-1].total == sum(Path(name).stat().st_size for name in names)
    assert seen[-1].bytes == pytest.approx(seen[-1].total)
    assert all(a.bytes <= b.bytes for a, b in itertools.pairwise(seen))


CELLS = st.sampled_from(
    ["1", "", '"a,b"', '"two\nlines"', '"say ""no"""', '""', '"\n"', '5" pipe', 'a"b"', '"x\r\ny"', "its"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12), st.integers(0, 200), st.booleans())
def test_csv_is_cut_only_between_records(rows: list[tuple[str, ...]], size: int, crlf: bool) -> None:
    """What is cut off at any place parses as whole records, and nothing more could have been."""
    end = "\r\n" if crlf else "\n"
    records = [",".join(row) + end for row in rows]
    text = "".join(records).encode()[:size]
    ends = np.cumsum([0, *(len(record.encode()) for record in records)])
    assert cut_csv(text) == max(e for e in ends.tolist() if e <= len(text))


MEMORY = """
import pathlib, sys
from exactnorm import files
files.adapt(sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.parametrize("kind", ["parquet", "csv", "csv.gz", "arrow", "jsonl", "npy", "npz"])
def test_memory_does_not_grow_with_the_file(kind: str) -> None:
    """Files several times as large as the bound, as sparse as disks and time allow."""
    name = f"large.{kind}"
    if kind in ("npy", "npz"):
        x = np.lib.format.open_memmap("large.npy", "w+", np.float32, (20_000_000, 16))  # sparse on disk
        if kind == "npz":
            x = np.zeros((10_000_000, 16), np.float32)
            np.savez(name, x=x)
        del x
    elif kind in ("parquet", "arrow"):
        batch = pa.record_batch({f"f{i}": np.arange(1_000_000) + float(i) for i in range(16)})
        if kind == "parquet":
            with pq.ParquetWriter(name, batch.schema, compression="zstd") as writer:
                writer.write_table(pa.Table.from_batches([batch] * 10), row_group_size=10_000_000)
        else:
            with pa.ipc.new_file(
                name, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
            ) as writer:
                for _ in range(10):
                    for first in range(0, 1_000_000, 100_000):
                        writer.write_batch(batch.slice(first, 100_000))
    else:
        line = "1.5,2.5,3.5,4.5\n" if "csv" in kind else '{"a": 1.5, "b": 2.5}\n'
        block = (line * 100_000).encode()
        member = gzip.compress if kind.endswith("gz") else bytes  # a file may be of several
        Path(name).write_bytes(b"")
        with Path(name).open("ab") as file:
            file.write(member(b"a,b,c,d\n" if "csv" in kind else b""))
            block = member(block)
            for _ in range(500 if kind == "csv" else 200):
                file.write(block)
    done = subprocess.run([sys.executable, "-c", MEMORY, name], capture_output=True, text=True)  # noqa: S603
    assert done.stderr == ""
    assert int(done.stdout) < 300


def test_one_file_by_two_names() -> None:
    Path("a.csv").write_text("n\n1\n2\n")
    Path("link.csv").symlink_to("a.csv")
    for other in ("./a.csv", "link.csv", Path("a.csv").resolve().as_uri()):
        with pytest.raises(ValueError, match="named twice"):
            files.adapt(["a.csv", other])


def test_remote_patterns_are_those_of_local_ones() -> None:
    paths = ["b/a.csv", "b/old/b.csv", "b/old/x/c.csv"]

    def matching(pattern: str) -> list[str]:
        return [path for path in paths if _matches(path.split("/"), pattern.split("/"))]

    assert matching("b/*.csv") == ["b/a.csv"]
    assert matching("b/**/*.csv") == paths
    assert matching("b/*/*.csv") == ["b/old/b.csv"]
    assert matching("**/c.csv") == ["b/old/x/c.csv"]


def test_whole_numbers_that_begin_late() -> None:
    """2**53 + 1 is no float64: a column that begins without values is of integers until it is not."""
    large = 2**53 + 1
    rows = 300_000
    Path("late.csv").write_text("a,b\n" + "1,\n" * rows + f"1,{large}\n1,{-large + 1}\n")
    Path("late.jsonl").write_text('{"b": null}\n' * rows + f'{{"b": {large}}}\n{{"b": {-large + 1}}}\n')
    for name in ("late.csv", "late.jsonl"):
        assert files.adapt(name, columns=["b"]).mean().tolist() == [0.5]
    Path("half.csv").write_text("a,b\n" + "1,\n" * rows + "1,0.5\n")
    assert files.adapt("half.csv", columns=["b"]).mean().tolist() == [0.5]


def test_only_columns_of_folders() -> None:
    table = people(6).select(NUMBERS)
    for kind in ("parquet", "csv", "arrow", "arrows", "jsonl"):
        Path(f"{kind}/month=3").mkdir(parents=True)
        write(table, f"{kind}/month=3/a.{kind}")
    Path("npz/month=3").mkdir(parents=True)
    np.savez("npz/month=3/a.npz", age=np.arange(6), income=np.ones(6))
    for kind in ("parquet", "csv", "arrow", "arrows", "jsonl", "npz"):
        assert files.adapt(kind, columns=["month"]).count.tolist() == [6]


def test_damaged_archives() -> None:
    np.savez_compressed("good.npz", a=np.arange(5000.0), b=np.arange(5000.0))
    good = bytearray(Path("good.npz").read_bytes())
    Path("cut.npz").write_bytes(good[:-30])
    Path("garbage.npz").write_bytes(b"garbage")
    good[100] ^= 255
    Path("changed.npz").write_bytes(good)
    for name in ("cut.npz", "garbage.npz", "changed.npz"):
        with pytest.raises(ValueError, match=f"^{name}: "):
            files.adapt(name)
        bad: dict[str, Exception] = {}
        assert files.adapt(["good.npz", name], on_bad_file=bad.__setitem__) == files.adapt("good.npz")
        assert list(bad) == [name]


def test_files_that_do_not_fit_are_left_out_on_demand() -> None:
    Path("a.csv").write_text("x,y\n1,2\n")
    Path("b.csv").write_text("x\n1\n")
    Path("c.csv").write_text("x,y\n1,text\n")
    pq.write_table(pa.table({"x": pa.array([1.5], pa.float32()), "y": [2]}), "d.parquet")
    pq.write_table(pa.table({"x": pa.array([1.5]), "y": [2]}), "e.parquet")
    bad: dict[str, Exception] = {}
    learned = files.adapt(["a.csv", "b.csv", "c.csv", "d.parquet", "e.parquet"], on_bad_file=bad.__setitem__)
    assert list(bad) == ["b.csv", "c.csv", "e.parquet"]
    assert learned == files.adapt(["a.csv", "d.parquet"])


def test_keys_of_every_text() -> None:
    table = pa.table({"k": ["1", "2", "1"], "x": [1.0, 2.0, 3.0]})
    expected = en.GroupedMoments.from_data(table, "k")
    for i, kind in enumerate((pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))):
        pa.feather.write_feather(table.set_column(0, "k", table["k"].cast(kind)), f"{i}.arrow")
    pl.from_arrow(table).write_parquet("p.parquet")
    pa.csv.write_csv(table, "c.csv", pa.csv.WriteOptions(quoting_style="none"))
    for name in ("0.arrow", "1.arrow", "2.arrow", "p.parquet"):
        assert files.adapt(name, by="k") == expected
        assert files.adapt([name, "c.csv"], by="k") == expected + expected
    Path("days.csv").write_text("day,x\n2013-01-01,1\n2013-01-02,2\n")
    Path("none.csv").write_text("day,x\n")
    assert files.adapt(["days.csv", "none.csv"], by="day").keys() == ["2013-01-01", "2013-01-02"]


def test_weights_that_will_not_do() -> None:
    pq.write_table(
        pa.table({"x": [1.0, 2.0], "n": [1, None], "t": ["a", "b"], "b": [True, False]}), "a.parquet"
    )
    with pytest.raises(ValueError, match=r"a.parquet: column 'n' of weights has 1 nulls"):
        files.adapt("a.parquet", columns=["x"], weights="n")
    with pytest.raises((ValueError, TypeError), match=r"a.parquet: column 't' is string: expected weights"):
        files.adapt("a.parquet", columns=["x"], weights="t")
    assert files.adapt("a.parquet", columns=["x"], weights="b").mean().tolist() == [1.0]


def test_decimals_are_left_out_with_a_warning() -> None:
    pq.write_table(pa.table({"x": [1.0], "price": pa.array([1], pa.decimal128(5, 2))}), "a.parquet")
    with pytest.warns(RuntimeWarning, match=r"not learned, .*: 'price' \(decimal128\(5, 2\)\)"):
        assert files.adapt("a.parquet").names == ("x",)


def test_rows_that_are_read_twice_count_once() -> None:
    Path("a.csv").write_text("a\n" + "1\n" * 1_000_000 + "0.5\n")
    seen: list[files.Progress] = []
    files.adapt("a.csv", on_progress=seen.append)
    assert seen[-1].rows == 1_000_001
    assert seen[-1].bytes == pytest.approx(seen[-1].total)


def test_names_in_another_order_are_added() -> None:
    Path("a.csv").write_text("x,y\n1,2\n")
    base = files.adapt("a.csv")
    assert files.adapt("a.csv", columns=["y", "x"], add_to=base) == base + base
    assert files.adapt("a.csv", columns=["*"], add_to=base) == base + base
