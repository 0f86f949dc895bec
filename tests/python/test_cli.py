"""exactnorm adapt, apply and show, on real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from exactnorm.cli._app import app
from support import assert_same_bits
from typer.testing import CliRunner

NAN, INF = np.nan, np.inf
EDGE = float(np.float32(1) / np.sqrt(np.float32(2 / 3)))  # 1, 2, 3 normalize to -EDGE, 0, EDGE


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: str, status: int = 0) -> str:
    """Run the command; give stdout if it is to succeed, else stderr. Success is silent on stderr."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    if status:
        assert result.stdout == ""
        return result.stderr
    assert result.stderr == ""
    return result.stdout


def refused(*arguments: str) -> str:
    """The one line that says why a command will not."""
    before = {path: path.read_bytes() for path in Path().iterdir()}
    message = run(*arguments, status=1)
    assert message.startswith("exactnorm: ")
    assert message.count("\n") == 1
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
    return message


def people(rows: int = 1000, seed: int = 0) -> pa.Table:
    """Numbers of several types with nulls among them, and columns that are none."""
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "id": pa.array([f"00{i}, {i}" for i in range(rows)], pa.string()),
            "age": pa.array(rng.integers(0, 100, rows), pa.int16(), mask=rng.random(rows) < 0.1),
            "income": pa.array(rng.lognormal(10, 2, rows), mask=rng.random(rows) < 0.2),
            "height": pa.array(rng.normal(1.7, 0.1, rows).astype(np.float32)),
            "member": pa.array(rng.random(rows) < 0.5),
            "born": pa.array(rng.integers(-(10**9), 10**9, rows), pa.timestamp("s")),
        }
    )


NUMBERS = ["age", "income", "height"]


def column(path: str, name: str) -> np.ndarray[Any, Any]:
    return pq.read_table(path)[name].to_numpy()


def test_adapt_takes_all_numbers() -> None:
    table = people()
    pq.write_table(table, "people.parquet")
    assert run("adapt", "people.parquet", "-o", "stats.json") == ""
    state = en.load("stats.json")
    assert state == en.Moments.from_data(table.select(NUMBERS))
    assert state.names == tuple(NUMBERS)


def test_adapt_takes_the_columns_named_in_their_order() -> None:
    table = people().append_column("a,b", pa.array(range(1000)))
    pq.write_table(table, "people.parquet")
    run("adapt", "people.parquet", "-o", "stats.json", "--columns", 'member,"a,b",age')
    assert en.load("stats.json") == en.Moments.from_data(table.select(["member", "a,b", "age"]))


def test_files_of_all_kinds_add_up_in_any_order() -> None:
    tables = [people(seed=seed).select(["id", "age", "income"]) for seed in range(4)]
    pq.write_table(tables[0], "a.parquet", row_group_size=100)
    pa.csv.write_csv(tables[1], "b.csv")
    for name, compression, table in (("c.csv.gz", "gzip", tables[2]), ("d.csv.zst", "zstd", tables[3])):
        with pa.CompressedOutputStream(name, compression) as stream:
            pa.csv.write_csv(table, stream)
    files = ["a.parquet", "b.csv", "c.csv.gz", "d.csv.zst"]
    run("adapt", *files, "-o", "all.json")
    run("adapt", *reversed(files), "-o", "reversed.json")
    digest = en.Moments.from_data(pa.concat_tables(tables).drop("id")).digest
    assert en.load("all.json").digest == digest
    assert en.load("reversed.json").digest == digest


def test_lists_become_features_and_stay_lists() -> None:
    vectors = pa.array([[1, 2], None, [2, None], [3, 6]], pa.list_(pa.float32(), 2))
    pq.write_table(pa.table({"emb": vectors}), "emb.parquet")
    run("adapt", "emb.parquet", "-o", "stats.json", "--columns", "emb")
    state = en.load("stats.json")
    assert state.names == ("emb[0]", "emb[1]")
    assert state.null_count.tolist() == [1, 2]
    run("apply", "stats.json", "emb.parquet", "-o", "out.parquet")
    out = pq.read_table("out.parquet")["emb"]
    assert out.type == pa.list_(pa.field("element", pa.float32()), 2)
    assert out.to_pylist() == [[-EDGE, -1.0], None, [0.0, None], [EDGE, 1.0]]


def test_csv_numbers_are_as_wide_as_their_column() -> None:
    """2**53 + 1 is no float64, so a column of whole numbers must not be read as one."""
    Path("whole.csv").write_text(f"n\n{2**53 + 1}\n")
    run("adapt", "whole.csv", "-o", "stats.json")
    assert en.load("stats.json") == en.Moments.from_data({"n": np.array([2**53 + 1])})
    rows = 700_000  # beyond what the types are guessed from
    Path("late.csv").write_text("n,text\n" + "1234567,\n" * rows + "0.5,late\n")
    run("adapt", "late.csv", "-o", "stats.json", "--columns", "n")
    assert en.load("stats.json") == en.Moments.from_data({"n": np.array([1234567.0] * rows + [0.5])})
    run("apply", "stats.json", "late.csv", "-o", "out.parquet")
    assert pq.read_table("out.parquet")["text"].to_pylist()[-2:] == ["", "late"]
    message = refused("adapt", "late.csv", "-o", "new.json")
    assert "late.csv: column 'text': 'late'" in message


@pytest.mark.parametrize(
    "dtype",
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split(),  # noqa: SIM905
)
@pytest.mark.parametrize("out", ["float32", "float64"])
def test_apply_gives_the_bits_of_a_layer(dtype: str, out: str) -> None:
    rng = np.random.default_rng(5)
    x = (rng.normal(size=5000) * 50 + 60).clip(0, 127).astype(dtype)
    nulls = rng.random(5000) < 0.3
    other = pa.array(range(5000))
    pq.write_table(pa.table({"first": other, "x": pa.array(x, mask=nulls)}), "in.parquet")
    run("adapt", "in.parquet", "-o", "stats.json", "--columns", "x")
    run("apply", "stats.json", "in.parquet", "-o", "out.parquet", "--dtype", out)
    layer = en.Normalization(axis=None, dtype=out)
    layer.adapt(x[~nulls])
    applied = pq.read_table("out.parquet")
    assert applied["first"].combine_chunks() == other
    assert applied["x"].type == pa.type_for_alias(out)
    assert_same_bits(applied["x"].drop_null().to_numpy(), layer(x[~nulls]))
    assert (applied["x"].is_null().to_numpy() == nulls).all()
    run(
        "apply",
        "stats.json",
        "out.parquet",
        "-o",
        "back.parquet",
        "--inverse",
        "--dtype",
        out,
        "--drop-others",
    )
    back = pq.read_table("back.parquet")
    assert back.column_names == ["x"]
    assert_same_bits(back["x"].drop_null().to_numpy(), layer.inverse(layer(x[~nulls])))


def test_apply_keeps_order_metadata_and_other_columns() -> None:
    table = people().replace_schema_metadata({"made": "here"})
    pq.write_table(table, "people.parquet")
    run("adapt", "people.parquet", "-o", "stats.json")
    run("apply", "stats.json", "people.parquet", "-o", "out.parquet", "--columns", "income,age")
    out = pq.read_table("out.parquet")
    assert out.column_names == table.column_names
    assert out.schema.metadata[b"made"] == b"here"
    for name in ("id", "height", "member", "born"):
        assert out[name].combine_chunks() == pq.read_table("people.parquet")[name].combine_chunks()
    run(
        "apply",
        "stats.json",
        "people.parquet",
        "-o",
        "two.parquet",
        "--columns",
        "income,age",
        "--drop-others",
    )
    assert pq.read_table("two.parquet") == out.select(["age", "income"]).replace_schema_metadata(
        pq.read_table("two.parquet").schema.metadata
    )


def test_csv_keeps_what_it_does_not_normalize() -> None:
    lines = [
        'zip,"a,b",x,note,day',
        '00123,1.50,1,"says ""no"", twice",2013-01-01T05:00:00Z',
        "00456,,2,NA,",
        '"7,8",+3,,"two\nlines",x',
    ]
    Path("in.csv").write_text("\n".join(lines) + "\n")
    run("adapt", "in.csv", "-o", "stats.json", "--columns", "x")
    run("apply", "stats.json", "in.csv", "-o", "out.csv")
    lines[1] = lines[1].replace(",1,", ",-1,")
    lines[2] = lines[2].replace(",2,", ",1,")
    assert Path("out.csv").read_text() == "\n".join(lines) + "\n"


@pytest.mark.parametrize("out", ["out.csv", "out.csv.gz", "out.csv.zst"])
def test_csv_and_parquet_have_the_same_numbers(out: str) -> None:
    pq.write_table(people(), "people.parquet")
    run("adapt", "people.parquet", "-o", "stats.json")
    run("apply", "stats.json", "people.parquet", "-o", "out.parquet")
    run("apply", "stats.json", "people.parquet", "-o", out)
    types = pa.csv.ConvertOptions(column_types=dict.fromkeys(NUMBERS, pa.float32()))
    read = pa.csv.read_csv(out, convert_options=types)
    for name in NUMBERS:
        assert_same_bits(read[name].to_numpy(), column("out.parquet", name))


def test_out_may_be_in() -> None:
    pq.write_table(people(), "people.parquet")
    run("adapt", "people.parquet", "-o", "stats.json")
    run("apply", "stats.json", "people.parquet", "-o", "out.parquet")
    run("apply", "stats.json", "people.parquet", "-o", "people.parquet")
    assert Path("people.parquet").read_bytes() == Path("out.parquet").read_bytes()
    Path("link.parquet").symlink_to("out.parquet")
    Path("out.parquet").chmod(0o640)
    run("apply", "stats.json", "people.parquet", "-o", "link.parquet")
    assert Path("link.parquet").is_symlink()
    assert Path("out.parquet").stat().st_mode & 0o777 == 0o640
    assert Path("out.parquet").read_bytes() != Path("people.parquet").read_bytes()


def test_a_file_without_rows() -> None:
    pq.write_table(people(), "people.parquet")
    pq.write_table(people(0), "none.parquet")
    run("adapt", "people.parquet", "none.parquet", "-o", "stats.json")
    assert en.load("stats.json") == en.Moments.from_data(people().select(NUMBERS))
    run("apply", "stats.json", "none.parquet", "-o", "out.parquet")
    out = pq.read_table("out.parquet")
    assert (out.num_rows, out.schema.field("age").type) == (0, pa.float32())
    run("apply", "stats.json", "none.parquet", "-o", "out.csv")
    assert Path("out.csv").read_text() == "id,age,income,height,member,born\n"
    run("adapt", "none.parquet", "-o", "none.json")
    assert en.load("none.json").count.tolist() == [0, 0, 0]


def test_policies() -> None:
    x = [1.0, NAN, 3.0, INF]
    pq.write_table(pa.table({"x": x, "y": [7.0] * 4}), "in.parquet")
    run("adapt", "in.parquet", "-o", "stats.json")
    result = CliRunner().invoke(app, ["apply", "stats.json", "in.parquet", "-o", "out.parquet"])
    assert result.exit_code == 0
    assert result.stderr.startswith("exactnorm: warning: ")
    assert "'x'" in result.stderr
    assert np.isnan(column("out.parquet", "x")).all()
    for policy in ("--nan-policy", "--inf-policy"):
        message = refused("apply", "stats.json", "in.parquet", "-o", "new.parquet", policy, "raise")
        assert "stats.json" in message
        assert "'x'" in message
    omit = ["--nan-policy", "omit", "--inf-policy", "omit"]
    run("apply", "stats.json", "in.parquet", "-o", "out.parquet", *omit)
    assert_same_bits(column("out.parquet", "x"), np.array([-1, NAN, 1, INF], np.float32))
    constant = ["apply", "stats.json", "other.parquet", "-o", "out.parquet", *omit]
    pq.write_table(pa.table({"x": [2.0], "y": [8.0]}), "other.parquet")
    run(*constant)
    assert column("out.parquet", "y").tolist() == [np.float32(1e7)]
    run(*constant, "--epsilon", "0.5")
    assert column("out.parquet", "y").tolist() == [2]
    run(*constant, "--constant-policy", "unit")
    assert column("out.parquet", "y").tolist() == [1]
    assert "'y'" in refused(*constant, "--constant-policy", "raise")


def test_a_layer_has_policies_of_its_own() -> None:
    table = people().select(NUMBERS)
    pq.write_table(table, "in.parquet")
    layer = en.Normalization(dtype="float64", epsilon=1e6)
    layer.adapt(table)
    layer.save("layer.json")
    run("apply", "layer.json", "in.parquet", "-o", "out.parquet")
    expected = layer(table)
    for i, name in enumerate(NUMBERS):
        assert_same_bits(column("out.parquet", name), expected[:, i])
    run("apply", "layer.json", "in.parquet", "-o", "out.parquet", "--epsilon", "1e-7", "--columns", "age")
    usual = en.Normalization(dtype="float64")
    usual.adapt(table)
    assert_same_bits(column("out.parquet", "age"), usual(table)[:, 0])
    half = en.Normalization(dtype="bfloat16")
    half.adapt(table)
    half.save("half.json")
    assert "half.json: files do not hold" in refused("apply", "half.json", "in.parquet", "-o", "new.parquet")
    run("apply", "half.json", "in.parquet", "-o", "out.parquet", "--dtype", "float64")
    assert_same_bits(column("out.parquet", "age"), usual(table)[:, 0])
    back = en.Normalization(invert=True)
    back.adapt(table)
    back.save("back.json")
    run("apply", "back.json", "in.parquet", "-o", "out.parquet")
    assert_same_bits(column("out.parquet", "age"), back(table)[:, 0])
    run("apply", "back.json", "in.parquet", "-o", "out.parquet", "--inverse")
    assert_same_bits(column("out.parquet", "age"), back.inverse(table)[:, 0])


def test_weighted_states_apply() -> None:
    x = pa.table({"x": [1.0, 2.0, 5.0]})
    pq.write_table(x, "in.parquet")
    en.Moments.from_data(x, weights=[1, 2, 0]).save("weighted.json")
    run("apply", "weighted.json", "in.parquet", "-o", "out.parquet", "--columns", "x")
    layer = en.Normalization()
    layer.adapt(pa.table({"x": [1.0, 2.0, 2.0]}))
    assert_same_bits(column("out.parquet", "x"), layer(x)[:, 0])


def test_show() -> None:
    data = {"a": [1.0, NAN, 3.0, INF], "constant": [7.0] * 4, "empty": pa.nulls(4, pa.int8())}
    moments = en.Moments.from_data(pa.table(data))
    moments.save("stats.json")
    shown = run("show", "stats.json")
    rows = {words[0]: words[1:] for words in map(str.split, shown.splitlines())}
    assert rows["feature"] == ["count", "null", "NaN", "infinite", "mean", "sd"]
    assert rows["a"] == ["2", "0", "1", "1", "2", "1"]
    assert rows["constant"] == ["4", "0", "0", "0", "7", "0", "constant"]
    assert rows["empty"] == ["0", "4", "0", "0", "-", "-", "no", "values"]
    assert rows["digest"] == [moments.digest]


def test_show_for_machines() -> None:
    moments = en.Moments.from_data({"a": [0.1, NAN, 0.2, -INF], "b": [7, 7, 7, 7]})
    moments.save("stats.json")
    known = json.loads(run("show", "--json", "stats.json"))
    assert (known["kind"], known["digest"], known["shape"]) == ("Moments", moments.digest, [2])
    a, b = known["features"]
    assert a == {
        "name": "a",
        "count": 2,
        "null": 0,
        "nan": 1,
        "posinf": 0,
        "neginf": 1,
        "constant": False,
        "mean": moments.mean(nan_policy="omit", inf_policy="omit")[0],
        "variance": moments.variance(nan_policy="omit", inf_policy="omit")[0],
        "std": moments.std(nan_policy="omit", inf_policy="omit")[0],
    }
    assert b["constant"] is True
    en.Moments.from_data(np.zeros((2, 2, 3)), axis=(1, 2)).save("grid.json")
    assert [feature["name"] for feature in json.loads(run("show", "--json", "grid.json"))["features"]][
        :2
    ] == [
        "(0, 0)",
        "(0, 1)",
    ]


def test_show_layers() -> None:
    layer = en.Normalization(epsilon=1e-3)
    layer.save("new.json")
    assert "not built" in run("show", "new.json")
    assert json.loads(run("show", "--json", "new.json"))["config"]["epsilon"] == 1e-3
    layer.adapt(people().select(NUMBERS))
    layer.save("layer.json")
    assert layer.moments.digest in run("show", "layer.json")
    assert json.loads(run("show", "--json", "layer.json"))["digest"] == layer.moments.digest
    en.Normalization(mean=1.0, variance=4.0).save("given.json")
    assert "mean=1" in run("show", "given.json")
