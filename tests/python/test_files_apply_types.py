"""files.apply: what becomes of keys and other columns, of whatever types and files hold them."""

from __future__ import annotations

from pathlib import Path

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exactnorm import files


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


STRINGS = [pa.string(), pa.large_string(), pa.string_view()]


@pytest.mark.parametrize("kind", [*STRINGS, *(pa.dictionary(pa.int32(), kind) for kind in STRINGS[:2])])
def test_text_of_any_layout_finds_integer_keys(kind: pa.DataType) -> None:
    state = en.GroupedMoments.from_data({"k": [7, 7, 8, 8], "x": [1.0, 3.0, 5.0, 9.0]}, keys="k")
    keys = pa.array(["7", "8", "7", "NA"]).cast(kind)
    pq.write_table(pa.table({"k": keys, "x": [3.0, 9.0, 1.0, 4.5]}), "in.parquet")
    files.apply(state, "in.parquet", "out.parquet", by="k", unknown="global")
    assert pq.read_table("out.parquet")["x"].to_pylist() == [1, 1, -1, 0]


ONE = en.Moments.from_data({"x": [1.0, 3.0]})
LARGE = ("18446744073709551615", "9223372036854775808", "-9223372036854775809", "12345678901234567890123")


def test_times_in_json_stay_as_they_are() -> None:
    times = (
        '"t": "2013-01-01T05:00:00+02:00", "d": "1999-12-31", "l": ["1999-12-31"], "s": {"a": "2013-01-01"}'
    )
    Path("in.jsonl").write_text(f'{{"x": 3, {times}}}\n' + '{"x": 1, "t": null}\n')
    files.apply(ONE, "in.jsonl", "out.jsonl")
    first, second = Path("out.jsonl").read_text().splitlines()
    assert first == f'{{"x": 1, {times}}}'
    assert second.startswith('{"x": -1, "t": null, ')
    Path("late.jsonl").write_text('{"x": 3, "t": null}\n' * 90_000 + '{"x": 1, "t": "2013-01-01"}\n')
    files.apply(ONE, "late.jsonl", "out.jsonl")
    assert Path("out.jsonl").read_text().splitlines()[-1] == '{"x": -1, "t": "2013-01-01"}'


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("rows", [0, 100_000])
@pytest.mark.parametrize("shape", ["{}", "[1, {}]", '{{"a": {}}}'])
def test_whole_numbers_in_json_that_do_not_fit_are_refused(number: str, rows: int, shape: str) -> None:
    Path("in.jsonl").write_text(
        f'{{"x": 1, "id": {shape.format(7)}}}\n' * (rows + 1)
        + f'{{"x": 1, "id": {shape.format(number)}}}\n'
        + '{"x": 3, "id": null}\n'
    )
    with pytest.raises(ValueError, match=r"^in\.jsonl: .*column 'id'") as caught:
        files.apply(ONE, "in.jsonl", "out.jsonl")
    assert number in str(caught.value) or "later" in str(caught.value)
    assert not Path("out.jsonl").exists()
    files.apply(ONE, "in.jsonl", "out.jsonl", drop_others=True)


def test_floats_in_json_stay_floats() -> None:
    Path("in.jsonl").write_text(
        '{"x": 1, "id": 1e300}\n\n{"x": 3, "id": 9007199254740992}\n{"x": 1, "id": 0.5}'
    )
    files.apply(ONE, "in.jsonl", "out.parquet")
    assert pq.read_table("out.parquet")["id"].to_pylist() == [1e300, 2.0**53, 0.5]


@pytest.mark.parametrize("number", LARGE)
@pytest.mark.parametrize("rows", [0, 200_000])
def test_whole_numbers_in_csv_that_do_not_fit_are_text(number: str, rows: int) -> None:
    Path("in.csv").write_text("x,id,f\n" + "1,007,0.5\n" * rows + f"1,{number},1e300\n3,,2\n")
    files.apply(ONE, "in.csv", "out.parquet")
    out = pq.read_table("out.parquet")
    assert out["id"].to_pylist() == ["007"] * rows + [number, ""]
    assert out["f"].to_pylist() == [0.5] * rows + [1e300, 2.0]


@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_booleans_that_were_learned(name: str, out: str) -> None:
    Path("in.csv").write_text("flag,n\ntrue,1\nfalse,2\n,3\n")
    Path("in.jsonl").write_text('{"flag": true}\n{"flag": false}\n{"flag": null}')
    state = files.adapt(name, columns=["flag"])
    files.apply(state, name, out)
    files.apply(state, out, "back.parquet", inverse=True)
    assert pq.read_table("back.parquet")["flag"].to_pylist() == [1, 0, None]


def test_booleans_of_which_a_file_has_none() -> None:
    Path("a.csv").write_text("flag\ntrue\nfalse\n")
    Path("b.csv").write_text("flag\nNA\n")
    files.apply(files.adapt("a.csv", columns=["flag"]), "*.csv", "out.parquet")
    assert pq.read_table("out.parquet")["flag"].to_pylist() == [1, -1, None]


@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
def test_hexadecimal_numbers_that_were_learned(out: str) -> None:
    Path("in.csv").write_text("x,y\n0x10,1\n18,2.5\n0x14,3\n")
    state = files.adapt("in.csv", columns=["x"])
    assert state.mean(dtype="float64").tolist() == [18]
    files.apply(state, "in.csv", out)
    files.apply(state, out, "back.csv", inverse=True)
    assert Path("back.csv").read_text() == "x,y\n16,1\n18,2.5\n20,3\n"


def test_csv_and_parquet_into_one_csv() -> None:
    Path("a.csv").write_text("x,o,p\n1,007,a\n")
    pq.write_table(pa.table({"x": [3.0], "o": [8], "p": pa.array(["b"], pa.large_string())}), "b.parquet")
    files.apply(ONE, "[ab].*", "out.csv")
    assert Path("out.csv").read_text() == "x,o,p\n-1,007,a\n1,8,b\n"
    with pytest.raises(ValueError, match=r"^a\.csv: column 'p' is string, but large_string in b\.parquet$"):
        files.apply(ONE, "[ab].*", "out.parquet")


def test_patterns_are_of_the_states_columns() -> None:
    Path("a.csv").write_text("x,q\n1,2\n")
    expected = r"^of the columns that the state has: no column of numbers matches 'q\*'$"
    with pytest.raises(ValueError, match=expected):
        files.apply(ONE, "a.csv", "out.csv", columns=["q*"])


def test_tables_are_not_written_as_arrays() -> None:
    Path("in").mkdir()
    np.savez("in/t.npz", x=[1.0, 3.0], y=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"^in/t\.npz: tables are not written as \.npz: "):
        files.apply(ONE, "in", "out/")
    with pytest.raises(ValueError, match=r"^out\.npy: tables are not written as \.npy: "):
        files.apply(ONE, "in/t.npz", "out.npy")
    for name in ("out.npz", "out.txt"):
        with pytest.raises(ValueError, match=rf"^{name}: expected a name that ends in \.parquet, ") as caught:
            files.apply(ONE, "in/t.npz", name)
        assert ".npz," not in str(caught.value)
    assert not Path("out").exists()
    files.apply(ONE, "in/t.npz", "out.csv")
    assert Path("out.csv").read_text() == "x,y\n-1,1\n1,2\n"


def test_a_folder_named_like_a_pattern() -> None:
    inner = Path("in [1]", "k=2")
    inner.mkdir(parents=True)
    Path(inner, "a.csv").write_text("x\n1\n3\n")
    files.apply(ONE, "in [1]", "out/")
    assert Path("out", "k=2", "a.csv").read_text() == "x\n-1\n1\n"
    files.apply(ONE, "in [1]/k=2", "out.csv")
    assert Path("out.csv").read_text() == "x\n-1\n1\n"
