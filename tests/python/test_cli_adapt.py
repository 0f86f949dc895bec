"""exactnorm adapt: its options, what it prints, and its exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from exactnorm.cli._app import app
from typer.testing import CliRunner

MAIN = "from exactnorm.cli import main; main()"
TABLE = pa.table(
    {"x": np.arange(1000) / 8, "n": pa.array(range(1000)), "k": pa.array(["a", "b"] * 500), "w": [1, 2] * 500}
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(TABLE, "in.parquet")
    pa.csv.write_csv(TABLE, "in.csv")


def adapt(*arguments: str, status: int = 0) -> tuple[str, str]:
    """What it prints on stdout and on stderr."""
    result = CliRunner().invoke(app, ["adapt", *arguments])
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


def test_options_of_the_library() -> None:
    assert adapt("in.parquet", "-o", "out.json", "--by", "k", "--columns", "[nx]", "--threads", "1") == (
        "",
        "",
    )
    assert en.load("out.json") == en.GroupedMoments.from_data(TABLE.drop("w"), "k")
    adapt("in.csv", "-o", "weighted.json", "--weights", "w", "--columns", "x")
    assert en.load("weighted.json") == en.Moments.from_data(
        TABLE.select(["x"]), weights=TABLE["w"].to_numpy()
    )
    adapt("in.csv", "-o", "day.json", "--columns", "/[nx]/", "--checkpoint", "progress")
    for _ in range(2):
        adapt("in.csv", "in.parquet", "-o", "both.json", "--columns", "x,n", "--checkpoint", "progress")
        assert en.load("both.json") == en.Moments.from_data(
            pa.concat_tables([TABLE, TABLE]).select(["x", "n"])
        )
    adapt("in.parquet", "-o", "day.json", "--add-to", "day.json")
    assert en.load("day.json") == en.load("both.json")


def test_json() -> None:
    out, err = adapt("in.parquet", "in.csv", "-o", "out.json", "--json", "--by", "k")
    known = json.loads(out)
    assert err == ""
    assert known == {
        "output": "out.json",
        "kind": "GroupedMoments",
        "digest": en.load("out.json").digest,
        "features": 3,
        "groups": 2,
        "rows": 2000,
        "skipped": {},
    }


def test_bad_files() -> None:
    Path("cut.parquet").write_bytes(Path("in.parquet").read_bytes()[:-20])
    files = ["in.parquet", "cut.parquet", "none.csv"]
    _, err = adapt(*files, "-o", "out.json", status=1)
    assert "cut.parquet: " in err
    assert not Path("out.json").exists()
    out, err = adapt(*files, "-o", "out.json", "--skip-bad-files", "--json", status=4)
    assert [line.split(": ")[:3] for line in err.splitlines()] == [
        ["exactnorm", "skipped", "cut.parquet"],
        ["exactnorm", "skipped", "none.csv"],
    ]
    assert sorted(json.loads(out)["skipped"]) == ["cut.parquet", "none.csv"]
    assert en.load("out.json") == en.Moments.from_data(TABLE.drop("k"))
    _, err = adapt("cut.parquet", "-o", "new.json", "--skip-bad-files", status=1)
    assert "no file could be read" in err
    assert not Path("new.json").exists()


def test_what_cannot_be_added_to() -> None:
    en.Normalization(mean=[1.0], variance=[2.0]).save("layer.json")
    _, err = adapt("in.parquet", "-o", "out.json", "--add-to", "layer.json", status=1)
    assert err.startswith("exactnorm: layer.json: ")
    en.Moments.from_data(TABLE.select(["x"])).save("x.json")
    layer = en.Normalization()
    layer.adapt(TABLE.select(["x"]))
    layer.save("layer.json")
    for state in ("x.json", "layer.json"):
        adapt("in.parquet", "-o", "out.json", "--add-to", state)
        assert en.load("out.json").count.tolist() == [2000]
    pa.csv.write_csv(TABLE.drop("x"), "less.csv")
    _, err = adapt("less.csv", "-o", "new.json", "--add-to", "x.json", status=1)
    assert "less.csv: no column 'x'" in err


def test_standard_input() -> None:
    with pa.ipc.new_stream("in.arrows", TABLE.schema) as writer:
        writer.write_table(TABLE, 100)
    for name in ("in.csv", "in.arrows"):
        for source in (f"cat {name} |", f"< {name}"):
            command = f"{source} {sys.executable} -c '{MAIN}' adapt - -o out.json"
            done = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            assert en.load("out.json") == en.Moments.from_data(TABLE.drop("k"))
            Path("out.json").unlink()
    command = f"printf 'a\\nx\\n' | {sys.executable} -c '{MAIN}' adapt - -o out.json"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602
    assert (done.returncode, done.stderr) == (1, "exactnorm: -: no column of numbers\n")


def test_a_bar_on_a_terminal_only() -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", MAIN, "adapt", "in.parquet", "-o", "out.json"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment) as process:  # noqa: S603
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(leader)
    assert process.returncode == 0
    assert b"1,000 rows" in shown
    assert b"100%" in shown
    assert b"GB/s" in shown


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other side is closed
        return b""


def test_a_target_that_will_not_do_is_refused_first() -> None:
    before = Path("in.csv").read_bytes()
    for target, why in [
        ("in.csv", "expected the name of a state document"),
        ("new.parquet", "expected the name of a state document"),
        ("-", "expected the name of a state document"),
        (".", "Is a directory"),
        ("none/out.json", "No such file"),
    ]:
        _, err = adapt("missing.csv", "-o", target, status=1)
        assert why in err
    assert Path("in.csv").read_bytes() == before
