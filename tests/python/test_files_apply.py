"""files.apply: the bits of a layer, of each row's key; which files become which; and what it refuses."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from exactnorm import files
from support import DTYPES, NDArray, assert_same_bits, finite_values

NAN, INF = np.nan, np.inf
NUMBERS = [name for name in DTYPES if name != "bfloat16"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(*arguments: Any, error: type[Exception] = ValueError, **options: Any) -> str:
    """What the error says; all files must be as they were."""
    before = contents()
    with pytest.raises(error) as caught:
        files.apply(*arguments, **options)
    assert contents() == before
    return str(caught.value)


def hard(dtype: str, rows: int, seed: int) -> NDArray:
    """Every exponent, subnormals, and with floats NaN and infinities."""
    x = finite_values(dtype, (rows,), seed)
    if dtype.startswith("float"):
        x[::11], x[5::97], x[6::97] = NAN, INF, -INF
        x[1::7] = np.finfo(dtype).smallest_subnormal
        x[2::7] = -0.0
    return x


# What each row's key has.


@pytest.mark.parametrize("dtype", NUMBERS)
@pytest.mark.parametrize("out", ["float16", "float32", "float64"])
@pytest.mark.parametrize("inverse", [False, True])
def test_each_row_gets_what_its_keys_layer_gives(dtype: str, out: Any, inverse: bool) -> None:
    rows = 2000
    rng = np.random.default_rng(7)
    keys = np.array(["a", "b", "ü", ""])[rng.integers(0, 4, rows)]
    learned = {"k": keys, "x": finite_values(dtype, (rows,), 1), "y": finite_values(dtype, (rows,), 2)}
    learned["y"][keys == "b"] = learned["y"][0]  # constant
    state = en.GroupedMoments.from_data(learned, keys="k")
    nulls = rng.random(rows) < 0.2
    x = pa.array(hard(dtype, rows, 3), mask=nulls)
    pq.write_table(pa.table({"x": x, "n": range(rows), "k": keys, "y": hard(dtype, rows, 4)}), "in.parquet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # variances that overflow
        files.apply(state, "in.parquet", "out.parquet", by="k", dtype=out, inverse=inverse)
        given, applied = pq.read_table("in.parquet"), pq.read_table("out.parquet")
        assert applied.column_names == ["x", "n", "k", "y"]
        for key in state:
            layer = en.Normalization(dtype=out)
            layer.adapt(state[key])
            own = pa.array(keys == key)
            expected = layer.transform_frame(given.filter(own), ["x", "y"], inverse=inverse)
            got = applied.filter(own)
            for name in ("x", "y"):
                assert got[name].type == expected[name].type
                assert got[name].is_null().equals(expected[name].is_null())
                assert_same_bits(got[name].drop_null().to_numpy(), expected[name].drop_null().to_numpy())
    assert applied["n"].equals(given["n"])


@pytest.mark.parametrize(
    "settings", [{"constant_policy": "unit"}, {"nan_policy": "omit", "inf_policy": "omit"}]
)
def test_policies_of_keys(settings: dict[str, Any]) -> None:
    data = {
        "k": [1, 1, 1, 2, 2, 3],
        "x": [1.0, NAN, 3.0, 7.0, 7.0, INF if "inf_policy" not in settings else 1.0],
    }
    state = en.GroupedMoments.from_data(data, keys="k")
    pq.write_table(pa.table(data), "in.parquet")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        files.apply(state, "in.parquet", "out.parquet", by="k", **settings)
    out = pq.read_table("out.parquet")["x"].to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key in (1, 2, 3):
            layer = en.Normalization(**settings)
            layer.adapt(en.Moments._of(state[key]._impl.select([0])))
            own = np.array(data["k"]) == key
            assert_same_bits(out[own], layer(np.array(data["x"])[own, None])[:, 0])
    said = [str(warning.message) for warning in caught]
    if "nan_policy" in settings:
        assert said == []
    else:
        assert len(said) == 1
        assert "'x of 1'" in said[0]
    message = refused(state, "in.parquet", "out.parquet", by="k", nan_policy="raise")
    assert "in.parquet: nan_policy is 'raise': 'x of 1'" in message


def test_vectors_and_dictionaries_of_keys() -> None:
    rng = np.random.default_rng(3)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=300)), 3)
    vectors = pa.concat_arrays([vectors, pa.nulls(1, vectors.type)]).slice(1)
    codes = pa.array(rng.integers(0, 9, 100), pa.int16()).dictionary_encode()
    keys = pa.array(["p", "q"] * 50).dictionary_encode()
    table = pa.table({"k": keys, "v": vectors, "d": codes})
    state = en.GroupedMoments.from_data(table.set_column(2, "d", codes.cast(pa.int16())), keys="k")
    pq.write_table(table, "in.parquet")
    files.apply(state, "in.parquet", "out.parquet", by="k")
    out, given = pq.read_table("out.parquet"), pq.read_table("in.parquet")
    for key in ("p", "q"):
        layer = en.Normalization()
        layer.adapt(state[key])
        own = pa.array(keys.cast(pa.string()).to_numpy(zero_copy_only=False) == key)
        expected = layer.transform_frame(given.filter(own))
        for name in ("v", "d"):
            assert out.filter(own)[name].to_pylist() == expected[name].to_pylist()


def test_keys_that_are_not_known() -> None:
    state = en.GroupedMoments.from_data({"k": ["a", "a", "b"], "x": [1.0, 3.0, 8.0]}, keys="k")
    table = pa.table({"k": ["a", None, "z", "b"], "x": [3.0, 4.0, 4.0, 8.0]})
    pq.write_table(table, "in.parquet")
    assert (
        refused(state, "in.parquet", "out.parquet", by="k") == "in.parquet: row 2, column 'k': no key (null)"
    )
    pq.write_table(table.slice(2), "other.parquet")
    assert "row 1, column 'k': key 'z' has not been learned" in refused(
        state, "other.parquet", "o.csv", by="k"
    )
    Path("late.csv").write_text("k,x\n" + "a,1\n" * 600_000 + "y,1\n")
    assert "late.csv: row 600,001, column 'k': key 'y'" in refused(state, "late.csv", "o.csv", by="k")
    files.apply(state, "in.parquet", "out.parquet", by="k", unknown="global", constant_policy="unit")
    total = en.Normalization()
    total.adapt(state.total())
    expected = [1.0, *total(np.array([[4.0], [4.0]]))[:, 0], 0.0]
    assert_same_bits(pq.read_table("out.parquet")["x"].to_numpy(), np.array(expected, np.float32))
    numbers = en.GroupedMoments.from_data({"k": [10, 30], "x": [1.0, 3.0]}, keys="k")
    for key in (9, 20, 31):
        pq.write_table(pa.table({"k": [10, key], "x": [1.0, 1.0]}), "int.parquet")
        message = refused(numbers, "int.parquet", "out.parquet", by="k")
        assert f"row 2, column 'k': key {key} has not been learned" in message
    nothing = en.GroupedMoments(names=["x"])
    assert "row 1, column 'k': key 'a' has" in refused(nothing, "in.parquet", "out.parquet", by="k")
    assert "no column 'g' of keys" in refused(state, "in.parquet", "out.parquet", by="g")
    assert "need the column of their keys" in refused(state, "in.parquet", "out.parquet")
    one = en.Moments.from_data({"x": [1.0]})
    assert "got one state" in refused(one, "in.parquet", "out.parquet", by="k")
    pq.write_table(pa.table({"k": [1], "x": [1.0]}), "int.parquet")
    assert "integers; strings have been learned" in refused(state, "int.parquet", "out.parquet", by="k")
    pq.write_table(pa.table({"k": [1.5], "x": [1.0]}), "float.parquet")
    assert "float.parquet: " in refused(state, "float.parquet", "out.parquet", by="k")


@pytest.mark.parametrize("out", ["out.csv", "out.parquet"])
def test_keys_in_csv_are_of_the_kind_that_was_learned(out: str) -> None:
    Path("in.csv").write_text("k,x,note\n007,1,NA\n7,3,\n8,5,b\n8,9,c\n")
    whole = en.GroupedMoments.from_data({"k": [7, 7, 8, 8], "x": [1, 3, 5, 9]}, keys="k")
    texts = en.GroupedMoments.from_data({"k": ["007", "7", "8", "8"], "x": [1, 3, 5, 9]}, keys="k")
    files.apply(whole, "in.csv", out, by="k")
    x = files.adapt(out, columns=["x"])
    assert x.mean(dtype="float64").tolist() == [0]
    if out == "out.csv":
        assert Path(out).read_text() == "k,x,note\n007,-1,NA\n7,1,\n8,-1,b\n8,1,c\n"
    files.apply(texts, "in.csv", out, by="k", constant_policy="unit")
    if out == "out.csv":
        assert Path(out).read_text() == "k,x,note\n007,0,NA\n7,0,\n8,-1,b\n8,1,c\n"
    Path("bad.csv").write_text("k,x\n7,1\nNA,2\nseven,3\n")
    message = refused(whole, "bad.csv", "new.csv", by="k")
    assert "bad.csv: column 'k': expected keys that are integers" in message
    assert "seven" in message
    Path("bad.csv").write_text("k,x\n7,1\nNA,2\n")
    assert "bad.csv: row 2, column 'k': no key (null)" in refused(whole, "bad.csv", "new.csv", by="k")


def test_many_keys() -> None:
    """As many as rows, in a random order, in several batches."""
    rows = 200_000
    rng = np.random.default_rng(0)
    keys = rng.permutation(rows) * 3
    x = rng.normal(size=rows)
    state = en.GroupedMoments.from_data(
        {"k": np.repeat(keys, 2), "x": np.stack([x, x + 2], 1).ravel()}, keys="k"
    )
    order = rng.permutation(rows)
    pq.write_table(pa.table({"k": keys[order], "x": x[order] + 1}), "in.parquet")
    files.apply(state, "in.parquet", "out.parquet", by="k", dtype="float64")
    assert np.abs(pq.read_table("out.parquet")["x"].to_numpy()).max() < 1e-14
    files.apply(state, "in.parquet", "two.parquet", by="k", dtype="float64", threads=1)
    assert Path("two.parquet").read_bytes() == Path("out.parquet").read_bytes()


# Columns without a value.


def test_columns_without_a_value_pass() -> None:
    data = pa.table({"a": pa.array([1, 3]), "b": pa.array([None, None], pa.float64()), "t": ["x", "y"]})
    state = en.Moments.from_data(data.drop("t"))
    Path("in.csv").write_text("a,b,t\n1,+07.50,x\n3,,y\n")
    assert "'b'" in refused(state, "in.csv", "out.csv")
    files.apply(state, "in.csv", "out.csv", empty="pass")
    assert Path("out.csv").read_text() == "a,b,t\n-1,+07.50,x\n1,,y\n"
    pq.write_table(pa.table({"a": [5], "b": [2**53 + 1]}), "in.parquet")
    files.apply(state, "in.parquet", "out.parquet", empty="pass", columns=["b"])
    assert pq.read_table("out.parquet").to_pylist() == [{"a": 5, "b": 2**53 + 1}]
    files.apply(state, "in.parquet", "out.parquet", empty="pass", drop_others=True)
    assert pq.read_table("out.parquet").to_pylist() == [{"a": 3.0, "b": 2**53 + 1}]


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 3.0, 4.0]])
@pytest.mark.parametrize("inverse", [False, True])
def test_values_of_keys_without_a_value_pass(weights: Any, inverse: bool) -> None:
    x, y = pa.array([1.0, 3.0, None, None]), pa.array([NAN, 2.0, 4.0, 4.5])
    data = pa.table({"k": ["a", "a", "b", "b"], "x": x, "y": y})
    state = en.GroupedMoments.from_data(data, keys="k", weights=weights)
    given = pa.table({"k": ["b", "b", "b", "a"], "x": [-0.0, 5e-324, 2.5, 3.0], "y": [4.0] * 4})
    pq.write_table(given, "in.parquet")
    options: dict[str, Any] = {"by": "k", "inverse": inverse, "dtype": "float64", "nan_policy": "omit"}
    assert "'x of 'b''" in refused(state, "in.parquet", "out.parquet", **options)
    files.apply(state, "in.parquet", "out.parquet", empty="pass", **options)
    out = pq.read_table("out.parquet")
    assert_same_bits(out["x"].to_numpy()[:3], given["x"].to_numpy()[:3])
    layer = en.Normalization(dtype="float64", nan_policy="omit")
    layer.adapt(en.Moments._of(state["b"]._impl.select([1])))
    one = (layer.inverse if inverse else layer)(np.array([[4.0]]))[0, 0]
    assert out["y"].to_pylist()[:3] == [one] * 3
    # A key that does not come need have no value.
    pq.write_table(given.slice(3), "a.parquet")
    files.apply(state, "a.parquet", "out.parquet", **options)


# Files.


def months() -> pa.Table:
    """A year in hive partitions, one of them without rows."""
    rng = np.random.default_rng(0)
    tables = []
    for month in (1, 2, 10):
        table = pa.table({"x": rng.normal(month, size=50), "n": range(50), "t": ["é"] * 50})
        folder = Path(f"data/year=2013/month={month}")
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "part.parquet")
        pq.write_table(table.slice(0, 0), folder / "none.parquet")
        tables.append(
            table.append_column("year", pa.array([2013] * 50)).append_column("month", pa.array([month] * 50))
        )
    Path("data/_SUCCESS").touch()
    return pa.concat_tables([tables[0], tables[2], tables[1]])  # by the names of their folders


def test_a_folder_into_a_file_and_into_a_folder() -> None:
    whole = months()
    state = files.adapt("data", columns=["x"])
    layer = en.Normalization()
    layer.adapt(state)
    expected = layer.transform_frame(whole)
    assert files.apply(state, "data", "out.parquet") == 150
    assert pq.read_table("out.parquet") == expected
    files.apply(state, "data/year=2013/*/*.parquet", "out.csv")
    assert pa.csv.read_csv("out.csv").column_names == ["x", "n", "t", "month"]
    files.apply(state, "data/year=2013/month=1/part.parquet", "one.parquet")
    assert pq.read_table("one.parquet", partitioning=None).column_names == ["x", "n", "t"]
    before = contents()
    for target in ("norm", "norm2/", "empty/"):
        if target == "empty/":
            Path(target).mkdir()
        assert files.apply(state, "data", target) == 150
        got = pq.read_table(target)
        assert got.select(["x", "n", "t"]).sort_by("x") == expected.select(["x", "n", "t"]).sort_by("x")
        relative = [str(path.relative_to(target)) for path in sorted(Path(target).rglob("*.parquet"))]
        assert relative == [str(path.relative_to("data")) for path in sorted(Path("data").rglob("*.parquet"))]
    one = pq.read_table("norm/year=2013/month=2/part.parquet", partitioning=None)
    assert one == layer.transform_frame(
        pq.read_table("data/year=2013/month=2/part.parquet", partitioning=None)
    )
    assert {path: data for path, data in contents().items() if path in before} == before
    assert "norm: expected a folder that is new or empty" in refused_os(state, "data", "norm")
    assert "out.parquet/: expected a folder" in refused_os(state, "data", "out.parquet/")


def refused_os(*arguments: Any, **options: Any) -> str:
    before = contents()
    with pytest.raises(OSError, match="expected a folder") as caught:
        files.apply(*arguments, **options)
    assert contents() == before
    assert not list(Path().glob(".exactnorm-*"))
    return f"{caught.value.filename}: {caught.value.strerror}"


def test_a_folder_is_all_or_nothing() -> None:
    months()
    state = files.adapt("data", columns=["x"])
    bad = Path("data/year=2013/month=2/part.parquet")
    bad.write_bytes(bad.read_bytes()[:-30])
    assert str(bad) in refused(state, "data", "out/")
    assert str(bad) in refused(state, "data", "out.parquet")
    assert not Path("out").exists()
    assert not list(Path().glob(".exactnorm-*"))


@pytest.mark.parametrize("kind", ["int", "text"])
def test_keys_that_folders_names_tell(kind: str) -> None:
    months()
    if kind == "text":
        Path("data/year=2013/month=10").rename("data/year=2013/month=X")
    state = files.adapt("data", columns=["x"], by="month")
    assert isinstance(state, en.GroupedMoments)
    files.apply(state, "data", "out.parquet", by="month", drop_others=True)
    assert pq.read_table("out.parquet").column_names == ["x"]
    files.apply(state, "data", "out/", by="month")
    files.apply(state, "data/year=2013/month=2/", "two.parquet", by="month")
    layer = en.Normalization()
    layer.adapt(state["2" if kind == "text" else 2])
    expected = layer.transform_frame(pq.read_table("data/year=2013/month=2/part.parquet", partitioning=None))
    assert pq.read_table("out/year=2013/month=2/part.parquet", partitioning=None) == expected
    assert_same_bits(pq.read_table("two.parquet")["x"].to_numpy(), expected["x"].to_numpy())


def test_several_files_agree_about_their_columns() -> None:
    Path("a.csv").write_text("x,n,s\n1,1,1\n3,2,2\n")
    Path("b.csv").write_text("x,n,s\n1.5,1.5,one\n")
    state = files.adapt("a.csv", columns=["x"])
    assert files.apply(state, "[ab].csv", "out.parquet") == 3
    assert pq.read_table("out.parquet").to_pydict() == {
        "x": [-1, 1, -0.5],
        "n": [1.0, 2.0, 1.5],
        "s": ["1", "2", "one"],
    }
    Path("b.csv").write_text("x,n\n1,1\n")
    assert "b.csv: no column 's', which a.csv has" in refused(state, "[ab].csv", "new.parquet")
    files.apply(state, "[ab].csv", "out.csv", drop_others=True)
    assert Path("out.csv").read_text() == "x\n-1\n1\n-1\n"
    pq.write_table(pa.table({"x": ["text"]}), "p.parquet")
    pq.write_table(pa.table({"x": [1.0]}), "q.parquet")
    message = refused(state, "[pq].parquet", "new.parquet")
    assert "q.parquet: column 'x' is double, but string in p.parquet" in message


def test_a_type_that_turns_out_to_be_wider_late() -> None:
    """All is read again, also into standard output's place."""
    for ending, first, last in (
        ("csv", "x,n,s\n", "1,0.5,late\n"),
        ("jsonl", "", '{"x": 1, "n": 0.5, "s": null}\n'),
    ):
        row = "1,7,\n" if ending == "csv" else '{"x": 1, "n": 7, "s": null}\n'
        Path(f"late.{ending}").write_text(first + row * 600_000 + last)
        state = en.Moments.from_data({"x": [1.0, 3.0]})
        seen = []
        assert files.apply(state, f"late.{ending}", "out.parquet", on_progress=seen.append) == 600_001
        out = pq.read_table("out.parquet")
        assert out["n"].type == pa.float64()
        assert out["n"].to_pylist()[-2:] == [7.0, 0.5]
        assert out["x"].to_pylist()[-2:] == [-1.0, -1.0]
        assert seen[-1].rows == 600_001
        assert seen[-1].bytes == seen[-1].total == Path(f"late.{ending}").stat().st_size


def test_numbers_in_csv_are_read_once() -> None:
    Path("late.csv").write_text("x,t\n" + "1,7\n" * 400_000 + "1.5,a\n")
    seen: list[files.Progress] = []
    files.apply(en.Moments.from_data({"x": [1.0, 3.0]}), "late.csv", "out.csv", on_progress=seen.append)
    rows = [progress.rows for progress in seen]
    assert rows == sorted(set(rows))
    assert rows[-1] == 400_001


@pytest.mark.parametrize("out", ["float32", "float64"])
def test_numbers_in_csv_are_calculated_as_if_they_were_int64(out: Any) -> None:
    """They are read as float64, which is what the contract computes both in."""
    rng = np.random.default_rng(0)
    whole = np.concatenate([rng.integers(-(2**63), 2**63, 5000), [2**53 + 1, -(2**63), 2**63 - 1, 0]])
    Path("in.csv").write_text("n\n" + "\n".join(map(str, whole.tolist())) + "\n")
    state = en.Moments.from_data({"n": whole})
    files.apply(state, "in.csv", "out.parquet", dtype=out)
    layer = en.Normalization(dtype=out)
    layer.adapt(state)
    assert_same_bits(pq.read_table("out.parquet")["n"].to_numpy(), layer({"n": whole})[:, 0])


def test_columns_by_pattern() -> None:
    pq.write_table(pa.table({"dep_a": [1.0], "dep_b": [1.0], "arr": [1.0]}), "in.parquet")
    state = en.Moments.from_data({"dep_a": [1.0, 3.0], "dep_b": [1.0, 3.0], "arr": [1.0, 3.0]})
    for columns in (["dep_*"], ["/dep_.*/"], ["dep_b", "dep_a"]):
        files.apply(state, "in.parquet", "out.parquet", columns=columns)
        assert pq.read_table("out.parquet").to_pydict() == {"dep_a": [-1.0], "dep_b": [-1.0], "arr": [1.0]}
    assert "no column of numbers matches 'x*'" in refused(state, "in.parquet", "new.parquet", columns=["x*"])
    assert "the state has no column 'x'" in refused(state, "in.parquet", "new.parquet", columns=["x"])


def test_the_state_may_be_a_document() -> None:
    pq.write_table(pa.table({"x": [1.0]}), "in.parquet")
    en.Moments.from_data({"x": [NAN, 2.0]}).save("state.json")
    assert "state.json: " in refused("state.json", "in.parquet", "out.parquet", nan_policy="raise")
    files.apply(Path("state.json"), "in.parquet", "out.parquet", nan_policy="omit")
    pq.write_table(pa.table({"y": [1.0]}), "other.parquet")
    message = refused("state.json", "other.parquet", "out.parquet", nan_policy="omit")
    assert message == "other.parquet: no column 'x', which state.json has"


def test_arguments_that_will_not_do() -> None:
    pq.write_table(pa.table({"x": [1.0]}), "in.parquet")
    state = en.Moments.from_data({"x": [1.0, 3.0]})
    for what in ("unknown", "empty", "stdout_format"):
        assert f"expected {what} to be " in refused(state, "in.parquet", "out.parquet", **{what: "maybe"})
    assert "dtype" in refused(state, "in.parquet", "out.parquet", dtype="int8")
    assert "bfloat16: choose a type" in refused(state, "in.parquet", "out.parquet", dtype="bfloat16")
    assert refused(state, "none.parquet", "out.parquet", error=OSError).endswith("'none.parquet'")
    Path("cut.parquet").write_bytes(Path("in.parquet").read_bytes()[:-20])
    assert "cut.parquet: " in refused(state, "cut.parquet", "out.parquet")
