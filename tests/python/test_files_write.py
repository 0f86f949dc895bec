"""Every format that files.apply writes: what a row looks like there, and that all of it can be read again."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.fs
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from exactnorm import files
from exactnorm.files._sinks import replacing_on
from support import assert_same_bits

TABLES = ("parquet", "csv", "csv.gz", "csv.zst", "jsonl", "ndjson.gz", "jsonl.zst", "arrow", "feather", "ipc")
NAN, INF = np.nan, np.inf


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(rows: int = 3000, seed: int = 0) -> pa.Table:
    """Numbers with nulls among them, and text that is hard to quote."""
    rng = np.random.default_rng(seed)
    texts = ["", "plain", 'say "no", twice', "two\nlines", "back\\slash", "\x01", "ünï ✓", None]
    return pa.table(
        {
            "id": pa.array(range(rows)),
            "x": pa.array(rng.normal(size=rows) * 1e3, mask=rng.random(rows) < 0.1),
            "text": pa.array([texts[i] for i in rng.integers(0, len(texts), rows)], pa.string()),
            "y": pa.array(rng.normal(size=rows).astype(np.float32)),
            "yes": pa.array(rng.random(rows) < 0.5),
        }
    )


def read(path: str, schema: pa.Schema) -> pa.Table:
    """Read with pyarrow itself."""
    if ".csv" in path:
        options = pa.csv.ConvertOptions(column_types=schema, strings_can_be_null=False)
        parsing = pa.csv.ParseOptions(newlines_in_values=True)
        return pa.csv.read_csv(path, convert_options=options, parse_options=parsing)
    if "json" in path:
        parsing = pa.json.ParseOptions(explicit_schema=schema)
        with pa.input_stream(path, compression="detect") as stream:
            return pa.json.read_json(stream, parse_options=parsing)
    if path.endswith(".arrows"):
        return pa.ipc.open_stream(path).read_all()
    return pq.read_table(path) if path.endswith("parquet") else pa.feather.read_table(path)


@pytest.mark.parametrize("ending", [*TABLES, "arrows"])
def test_all_formats_hold_the_same(ending: str) -> None:
    """Out, in again, and back; text that CSV cannot tell from a null apart."""
    whole = table()
    pq.write_table(whole, "in.parquet", row_group_size=700)
    state = files.adapt("in.parquet", columns=["x", "y"])
    assert files.apply(state, "in.parquet", f"out.{ending}", dtype="float64") == 3000
    expected = en.load(save(en.Normalization(dtype="float64"), state)).transform_frame(whole)
    got = read(f"out.{ending}", expected.schema)
    assert got.schema.names == expected.schema.names
    for name in ("id", "x", "y", "yes"):
        assert got[name].combine_chunks() == expected[name].combine_chunks()
    texts = whole["text"].fill_null("") if "csv" in ending else whole["text"]
    assert got["text"].combine_chunks() == texts.combine_chunks()
    assert files.apply(state, f"out.{ending}", "back.parquet", inverse=True, dtype="float64") == 3000
    back = pq.read_table("back.parquet")
    np.testing.assert_allclose(back["x"].drop_null(), whole["x"].drop_null(), rtol=1e-12)
    assert back["text"].combine_chunks() == texts.combine_chunks()


def save(layer: en.Normalization, state: Any) -> str:
    layer.adapt(state)
    layer.save("layer.json")
    return "layer.json"


def test_json_lines_are_objects_that_python_reads() -> None:
    columns = {
        "x": pa.array([1.0, 3.0, NAN, INF, -INF, None]),
        'a "name"': pa.array(['q"', "b\\", "\n\t", "é", "", None]),
        "n": pa.array([2**63 - 1, -1, 0, None, 1, 2]),
        "list": pa.array([[1.5], [], None, [NAN, None], [2.0], [3.0]]),
        "struct": pa.array([{"a": 1}] * 6),
        "time": pa.array([0, 1, 2, 3, 4, None], pa.timestamp("us")),
        "kind": pa.array(["a", "b", "a", None, "b", "a"]).dictionary_encode(),
        "yes": pa.array([True, False, None, True, True, True]),
    }
    pq.write_table(pa.table(columns), "in.parquet")
    state = en.Moments.from_data({"x": [-1.0, 1.0]})
    files.apply(state, "in.parquet", "out.jsonl")
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["x"] for row in rows][:2] == [1.0, 3.0]
    assert Path("out.jsonl").read_text().splitlines()[2].startswith('{"x": NaN, ')
    assert [row["x"] for row in rows][3:] == [INF, -INF, None]
    for name in ('a "name"', "n", "kind", "yes", "struct"):
        assert [row[name] for row in rows] == columns[name].to_pylist()
    assert rows[3]["list"][1] is None
    assert rows[1]["time"] == "1970-01-01 00:00:00.000001"
    pq.write_table(pa.table({"x": [1.0], "b": pa.array([b"\xff"])}), "bytes.parquet")
    with pytest.raises(ValueError, match="column 'b' of type binary does not go into JSON"):
        files.apply(state, "bytes.parquet", "bytes.jsonl")
    assert not Path("bytes.jsonl").exists()


def test_an_arrow_file_keeps_dictionaries_that_change() -> None:
    kinds = pa.dictionary(pa.int8(), pa.string())
    parts = [
        pa.record_batch({"x": [1.0, 2.0, 3.0], "k": pa.array(texts).dictionary_encode().cast(kinds)})
        for texts in (["a", "b", "a"], ["c", None, "a"], ["b", "c", "d"])
    ]
    with pa.ipc.new_stream("in.arrows", parts[0].schema) as writer:
        for part in parts:
            writer.write_batch(part)
    state = en.Moments.from_data({"x": [1.0, 2.0]})
    for out in ("out.arrow", "out.arrows"):
        files.apply(state, "in.arrows", out)
        got = pa.ipc.open_file(out).read_all() if out == "out.arrow" else pa.ipc.open_stream(out).read_all()
        assert got["k"].type == kinds
        assert got["k"].to_pylist() == ["a", "b", "a", "c", None, "a", "b", "c", "d"]


def test_parquet_gets_row_groups_of_a_good_size() -> None:
    Path("in.csv").write_text("x\n" + "1.5\n2.5\n" * 600_000)
    files.apply(files.adapt("in.csv"), "in.csv", "out.parquet")
    metadata = pq.ParquetFile("out.parquet").metadata
    assert (metadata.num_rows, metadata.num_row_groups) == (1_200_000, 2)


def test_parquet_has_dictionaries_only_where_they_pay() -> None:
    rng = np.random.default_rng(0)
    pq.write_table(pa.table({"x": rng.normal(size=500_000), "n": rng.integers(0, 9, 500_000)}), "in.parquet")
    files.apply(files.adapt("in.parquet"), "in.parquet", "out.parquet")
    group = pq.ParquetFile("out.parquet").metadata.row_group(0)
    assert group.column(0).total_compressed_size < 500_000 * 4.4
    assert group.column(1).total_compressed_size < 500_000


def test_the_same_rows_give_the_same_bytes() -> None:
    pq.write_table(table(), "in.parquet")
    state = files.adapt("in.parquet", columns=["x"])
    for ending in TABLES:
        for name in ("a", "b"):
            files.apply(state, "in.parquet", f"{name}.{ending}")
        assert Path(f"a.{ending}").read_bytes() == Path(f"b.{ending}").read_bytes()


@pytest.mark.parametrize("dtype", [None, "float64"])
@pytest.mark.parametrize("shape", [(5000,), (700, 3), (40, 5, 3), (0, 3)])
def test_arrays(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    np.save("in.npy", x)
    learned = np.random.default_rng(2).normal(size=(10, *shape[1:])).astype(np.float32)
    state = en.Moments.from_data(learned)
    layer = en.Normalization(axis=tuple(range(-len(state.shape), 0)) or None, dtype=dtype or "float32")
    layer.build((None, *shape[1:]))
    layer.adapt(state)
    assert files.apply(state, "in.npy", "out.npy", dtype=dtype) == shape[0]
    out = np.load("out.npy")
    if shape[0]:
        assert_same_bits(out, layer(x))
    assert out.shape == shape
    files.apply(layer, "out.npy", "out.npy", inverse=True)
    if shape[0]:
        assert_same_bits(np.load("out.npy"), layer.inverse(out))


def test_arrays_that_will_not_do() -> None:
    with Path("cut.npy").open("wb") as file:
        np.save(file, np.ones((4, 3)))
        file.truncate(150)
    with pytest.raises(ValueError, match=r"cut\.npy: the file ends before"):
        files.apply(en.Moments.from_data(np.ones((4, 3))), "cut.npy", "out.npy")
    np.save("in.npy", np.ones((4, 3)))
    state = files.adapt("in.npy")
    with pytest.raises(ValueError, match=r"in\.npy: an array goes into \.npy"):
        files.apply(state, "in.npy", "out.parquet")
    with pytest.raises(ValueError, match="goes without columns"):
        files.apply(state, "in.npy", "out.npy", columns=["a"])
    with pytest.raises(ValueError, match=r"in\.npy: .*\(2,\)"):
        files.apply(en.Moments.from_data(np.ones((4, 2))), "in.npy", "out.npy")
    rows = en.Normalization(axis=0)
    rows.adapt(np.ones((4, 3)))
    with pytest.raises(ValueError, match="keeps the first axis"):
        files.apply(rows, "in.npy", "out.npy")
    pq.write_table(table(), "in.parquet")
    named = files.adapt("in.parquet", columns=["x"])
    with pytest.raises(ValueError, match=r"^out\.npy: tables are not written as \.npy"):
        files.apply(named, "in.parquet", "out.npy")
    assert not Path("out.npy").exists()
    assert not Path("out.parquet").exists()


def test_uris() -> None:
    """A file://, and a filesystem that is none of this machine's."""
    whole = table()
    pq.write_table(whole, "in.parquet")
    state = files.adapt("in.parquet", columns=["x"])
    files.apply(state, "in.parquet", "plain.parquet")
    here = Path.cwd().as_uri()
    files.apply(state, f"{here}/in.parquet", f"{here}/out.parquet")
    assert Path("out.parquet").read_bytes() == Path("plain.parquet").read_bytes()
    away = "fsspec+memory://exactnorm-test"
    files.apply(state, "in.parquet", f"{away}/out.csv.gz")
    files.apply(state, f"{away}/out.csv.gz", "twice.parquet", inverse=True)
    assert pq.read_table("twice.parquet")["id"] == whole["id"]
    Path("late.csv").write_text("x,n\n" + "1,7\n" * 300_000 + "1,0.5\n")  # all is read again
    files.apply(state, "late.csv", f"{away}/late.arrows")
    files.apply(state, f"{away}/late.arrows", "late.parquet")
    assert pq.read_table("late.parquet")["n"].to_pylist()[-2:] == [7.0, 0.5]
    filesystem, folder = pa.fs.FileSystem.from_uri(away)
    with pytest.raises(ValueError, match="'x'"):
        files.apply(
            en.Moments.from_data({"x": [1.0, NAN]}), "in.parquet", f"{away}/out.csv.gz", nan_policy="raise"
        )
    assert sorted(info.base_name for info in filesystem.get_file_info(pa.fs.FileSelector(folder))) == [
        "late.arrows",
        "out.csv.gz",
    ]
    with pytest.raises(ValueError, match="expected a folder on this machine"):
        files.apply(state, "in.parquet", f"{away}/")


def test_another_filesystem_keeps_what_was_there() -> None:
    filesystem = pa.fs.SubTreeFileSystem(str(Path.cwd()), pa.fs.LocalFileSystem())
    Path("out.bin").write_text("before")

    def write(data: bytes, error: Exception | None = None) -> None:
        with replacing_on(filesystem, "out.bin") as file:
            file.write(data)
            if error is not None:
                raise error

    with pytest.raises(RuntimeError):
        write(b"half", RuntimeError())
    assert [path.name for path in Path().iterdir()] == ["out.bin"]
    assert Path("out.bin").read_text() == "before"
    write(b"whole")
    assert Path("out.bin").read_text() == "whole"


MEMORY = """
import pathlib, sys
from exactnorm import files
files.apply(*sys.argv[1:])
status = pathlib.Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.parametrize(
    ("source", "out"), [("parquet", "parquet"), ("parquet", "csv.zst"), ("csv.gz", "arrow")]
)
def test_memory_does_not_grow_with_the_file(source: str, out: str) -> None:
    """1.2 GB of numbers in memory, 16 columns of them."""
    name = f"large.{source}"
    if source == "parquet":
        column = pa.array(np.tile(np.arange(1000.0), 100))
        with pq.ParquetWriter(name, pa.schema([(f"c{i}", pa.float64()) for i in range(16)])) as writer:
            part = pa.table([pa.chunked_array([column] * 100)] * 16, schema=writer.schema)
            writer.write_table(part.slice(0, 9_500_000), row_group_size=10_000_000)
    else:
        line = ",".join(["0"] * 16) + "\n"
        block = gzip.compress((line * 100_000).encode())
        names = ",".join(f"c{i}" for i in range(16)) + "\n"
        Path(name).write_bytes(gzip.compress(names.encode()) + block * 95)
    en.Moments.from_data({f"c{i}": [1.0, 2.0] for i in range(3)}).save("state.json")
    command = [sys.executable, "-c", MEMORY, "state.json", name, f"out.{out}"]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    assert done.stderr == ""
    assert int(done.stdout) < 300
