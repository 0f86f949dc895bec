"""exactnorm apply: pipes, folders, keys, full disks; what it says, and what files are afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import exactnorm as en
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

PROGRAM = str(Path(sysconfig.get_path("scripts")) / "exactnorm")
MAIN = "from exactnorm.cli import main; main()"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    en.Moments.from_data({"x": [1.0, 3.0]}).save("s.json")
    Path("x.csv").write_text("x,t\n1,a\n3,b\n5,\n")


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def shell(command: str, status: int = 0) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell; the program is $X."""
    done = subprocess.run(["/bin/bash", "-c", f"X='{PROGRAM}'; {command}"], capture_output=True)  # noqa: S603
    assert done.returncode == status, done.stderr
    return done


def failed(command: str) -> str:
    """The line that says why a command will not; files must be as they were."""
    before = contents()
    done = shell(command, status=1)
    message = done.stderr.decode()
    assert message.startswith("exactnorm: ")
    assert message.count("\n") == 1
    assert contents() == before
    return message


def test_csv_through_pipes() -> None:
    done = shell("cat x.csv | $X apply s.json - -o - | head -2")
    assert (done.stdout, done.stderr) == (b"x,t\n-1,a\n", b"")
    assert shell("$X apply s.json - -o - < x.csv").stdout == b"x,t\n-1,a\n1,b\n3,\n"
    shell("cat x.csv | $X apply s.json - -o out.parquet")
    assert pq.read_table("out.parquet").to_pydict() == {"x": [-1.0, 1.0, 3.0], "t": ["a", "b", ""]}


def test_arrow_through_pipes() -> None:
    there = "$X apply s.json x.csv -o - --format arrow"
    with pa.ipc.open_stream(shell(there).stdout) as reader:
        assert reader.read_all().to_pydict() == {"x": [-1.0, 1.0, 3.0], "t": ["a", "b", ""]}
    done = shell(f"{there} | $X apply s.json - -o - --inverse")
    assert (done.stdout, done.stderr) == (b"x,t\n1,a\n3,b\n5,\n", b"")


def test_a_type_that_is_wider_late_goes_through_a_pipe_once() -> None:
    Path("late.csv").write_text("x,n\n" + "1,7\n" * 600_000 + "1,0.5\n")
    with pa.ipc.open_stream(shell("$X apply s.json late.csv -o - --format arrow").stdout) as reader:
        table = reader.read_all()
    assert (table.num_rows, table["n"].type) == (600_001, pa.float64())


def test_a_reader_that_goes_away() -> None:
    Path("long.csv").write_text("x,t\n" + "1,a\n" * 1_000_000)
    done = shell("$X apply s.json long.csv -o - | head -1")
    assert (done.stdout, done.stderr) == (b"x,t\n", b"")


def test_standard_output_that_is_full() -> None:
    assert "standard output: No space left on device" in failed("$X apply s.json x.csv -o - > /dev/full")
    Path("long.csv").write_text("x,t\n" + "1,a\n" * 1_000_000)
    for stream in ("csv", "arrow"):
        message = failed(f"$X apply s.json long.csv -o - --format {stream} > /dev/full")
        assert "standard output: No space left on device" in message


@pytest.mark.parametrize(
    "out", ["out.parquet", "out.csv.gz", "out.csv.zst", "out.arrow", "out.jsonl", "new/"]
)
def test_a_full_disk(out: str) -> None:
    table = pa.table({"x": [float(i) ** 0.5 for i in range(200_000)]})
    Path("data").mkdir()
    pq.write_table(table, "data/a.parquet")
    Path("out.parquet").write_text("as before")
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); {MAIN}"
    before = contents()
    command = [sys.executable, "-c", limited, "apply", "s.json", "data", "-o", out]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    assert done.returncode == 1
    named = "new/a.parquet" if out == "new/" else out
    assert done.stderr == f"exactnorm: {named}: File too large\n"
    assert contents() == before
    assert not list(Path().glob(".exactnorm-*"))
    assert not Path("new").exists()


def test_by_key() -> None:
    Path("k.csv").write_text("k,x\na,1\na,3\nb,5\nb,9\n")
    shell("$X adapt k.csv -o k.json --by k")
    assert shell("$X apply k.json k.csv -o - --by k").stdout == b"k,x\na,-1\na,1\nb,-1\nb,1\n"
    Path("new.csv").write_text("k,x\na,1\nz,4.5\n")
    assert "new.csv: row 2, column 'k': key 'z'" in failed("$X apply k.json new.csv -o z.csv --by k")
    assert shell("$X apply k.json new.csv -o - --by k --unknown global").stdout == b"k,x\na,-1\nz,0\n"
    assert "k.json: states of groups need" in failed("$X apply k.json new.csv -o z.csv")
    assert "s.json: expected states of groups" in failed("$X apply s.json new.csv -o z.csv --by k")
    assert "new.csv: no column 'g' of keys" in failed("$X apply k.json new.csv -o z.csv --by g")


def test_folders() -> None:
    for month in (1, 2):
        Path(f"data/month={month}").mkdir(parents=True)
        Path(f"data/month={month}/x.csv").write_text(f"x\n{month}\n")
    assert shell("$X apply s.json data -o -").stdout == b"x,month\n-1,1\n0,2\n"
    done = shell("$X apply s.json data -o norm --json")
    assert json.loads(done.stdout) == {"output": "norm", "rows": 2}
    assert Path("norm/month=2/x.csv").read_text() == "x\n0\n"
    assert "norm: expected a folder that is new or empty" in failed("$X apply s.json data -o norm")
    assert "out.txt: expected a name that ends in" in failed("$X apply s.json x.csv -o out.txt")
    assert "standard input has no name" in failed("$X apply s.json - -o out/ < x.csv")


def test_columns_without_a_value() -> None:
    Path("e.csv").write_text("x,e\n1,\n3,\n")
    shell("$X adapt e.csv -o e.json")
    message = failed("$X apply e.json e.csv -o -")
    assert "e.json: " in message
    assert "'e'" in message
    assert shell("$X apply e.json e.csv -o - --empty pass").stdout == b"x,e\n-1,\n1,\n"


def test_summary_for_machines() -> None:
    done = shell("$X apply s.json x.csv -o z.arrow --json --threads 1")
    assert json.loads(done.stdout) == {"output": "z.arrow", "rows": 3}
    done = shell("$X apply s.json x.csv -o - --json", status=2)
    assert b"standard output has the rows already" in done.stderr


def test_help_has_examples() -> None:
    text = shell("$X apply --help").stdout.decode()
    for words in (
        "apply carriers.json year=2013/ -o z.csv.gz --by carrier",
        "| exactnorm apply year.json - -o - | head",
        "--empty",
    ):
        assert words in text
