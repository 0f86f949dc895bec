"""The command line when something is wrong: what it says, its status, and that files stay as they were."""

from __future__ import annotations

import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import exactnorm as en
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from exactnorm.cli._app import app
from typer.testing import CliRunner

TABLE = pa.table({"a": [1.0, 2.0, None], "b": [1, 2, 3], "s": ["x", "y", "z"]})
MAIN = "from exactnorm.cli import main; main()"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a table, its state, and outputs of before."""
    monkeypatch.chdir(tmp_path)
    pq.write_table(TABLE, "in.parquet")
    pa.csv.write_csv(TABLE, "in.csv")
    en.Moments.from_data(TABLE.drop("s")).save("stats.json")
    for name in ("out.json", "out.parquet", "out.csv"):
        Path(name).write_text("as before")


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def refused(*arguments: str, status: int = 1) -> str:
    """What the command says when it will not; all files must be as they were."""
    before = contents()
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == status, result.output
    assert contents() == before
    assert result.stdout == ""
    if status == 1:
        assert result.stderr.startswith("exactnorm: ")
        assert result.stderr.count("\n") == 1
    return result.stderr


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)  # noqa: S603


def adapt_refused(*files: str, columns: str | None = None) -> str:
    return refused("adapt", *files, "-o", "out.json", *(["--columns", columns] if columns else []))


def apply_refused(file: str, *options: str, state: str = "stats.json", out: str = "out.parquet") -> str:
    return refused("apply", state, file, "-o", out, *options)


def changed(name: str, column: pa.Array) -> pa.Table:
    return TABLE.set_column(TABLE.schema.get_field_index(name), name, column)


def test_columns_that_are_not_there() -> None:
    assert "in.parquet: no column 'c'" in adapt_refused("in.parquet", columns="a,c")
    assert "in.csv: no column 'c'" in adapt_refused("in.csv", columns="c")
    assert "no column 'c'" in apply_refused("in.parquet", "--columns", "c")
    pq.write_table(TABLE.drop("b"), "less.parquet")
    assert "less.parquet: no column 'b'" in apply_refused("less.parquet")
    for files in (["in.parquet", "less.parquet"], ["less.parquet", "in.parquet"]):
        assert "less.parquet: no column 'b', which in.parquet has" in adapt_refused(*files)


def test_columns_that_are_no_numbers() -> None:
    assert "in.parquet: column 's'" in adapt_refused("in.parquet", columns="a,s")
    assert "in.csv: column 's'" in adapt_refused("in.csv", columns="s")
    pq.write_table(TABLE.select(["s"]), "text.parquet")
    assert "text.parquet: no column of numbers" in adapt_refused("text.parquet")
    pq.write_table(changed("b", TABLE["s"]), "changed.parquet")
    assert "changed.parquet: column 'b'" in apply_refused("changed.parquet")


@pytest.mark.parametrize("kind", ["float64", "string", "int32"])
@pytest.mark.parametrize("columns", [None, "b"])
def test_a_type_that_changes_between_files(kind: str, columns: str | None) -> None:
    pq.write_table(changed("b", TABLE["b"].cast(pa.type_for_alias(kind))), "changed.parquet")
    message = adapt_refused("in.parquet", "changed.parquet", columns=columns)
    assert "changed.parquet: column 'b'" in message
    assert "int64 in in.parquet" in message
    assert "column 'b'" in adapt_refused("changed.parquet", "in.parquet", columns=columns)


def test_text_among_the_numbers_of_a_csv_file() -> None:
    Path("bad.csv").write_text("a,b\n" + "1,2\n" * 3000 + "1,none\n")
    assert "bad.csv: column 'b'" in adapt_refused("in.csv", "bad.csv")
    Path("late.csv").write_text("a,b\n" + "1,2\n" * 1_500_000 + "1,none\n")
    message = adapt_refused("in.csv", "late.csv")
    assert "late.csv: column 'b': 'none'" in message
    assert message == apply_refused("late.csv")


def test_a_column_without_any_value() -> None:
    pq.write_table(changed("a", pa.nulls(3, pa.float64())), "empty.parquet")
    Path("empty.csv").write_text("a,b\n,1\n,2\n")
    for file in ("empty.parquet", "empty.csv"):
        assert CliRunner().invoke(app, ["adapt", file, "-o", "empty.json"]).exit_code == 0
        assert en.load("empty.json").names == ("a", "b")
        message = apply_refused("in.parquet", state="empty.json")
        assert "empty.json" in message
        assert "'a'" in message
        others = ["apply", "empty.json", "in.parquet", "-o", "b.parquet", "--columns", "b"]
        assert CliRunner().invoke(app, others).exit_code == 0


def test_files_that_will_not_do() -> None:
    assert "none.parquet: No such file" in adapt_refused("in.parquet", "none.parquet")
    assert "none.parquet: No such file" in apply_refused("none.parquet")
    Path("folder.parquet").mkdir()
    assert "folder.parquet: no file that ends in" in adapt_refused("folder.parquet")
    assert "in.txt: expected a name" in adapt_refused("in.txt")
    assert "out.txt: expected a name" in apply_refused("in.parquet", out="out.txt")
    Path("cut.parquet").write_bytes(Path("in.parquet").read_bytes()[:-20])
    assert "cut.parquet: " in adapt_refused("in.parquet", "cut.parquet")
    Path("text.csv.gz").write_text("a,b\n1,2\n")
    assert "text.csv.gz: " in adapt_refused("text.csv.gz")
    Path("ragged.csv").write_text("a,b\n1,2\n3\n")
    assert "ragged.csv: " in adapt_refused("ragged.csv")
    Path("nothing.csv").touch()
    assert "nothing.csv: " in adapt_refused("nothing.csv")
    Path("twice.csv").write_text("a,a\n1,2\n")
    assert "twice.csv: " in adapt_refused("twice.csv")
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), "twice.parquet")
    assert "twice.parquet: more than one column is named 'a'" in adapt_refused("twice.parquet")


def test_a_page_that_is_damaged() -> None:
    pq.write_table(TABLE, "bad.parquet", write_page_checksum=True, compression="none", use_dictionary=False)
    damaged = bytearray(Path("bad.parquet").read_bytes())
    damaged[damaged.index(b"\x02" + b"\0" * 7 + b"\x03" + b"\0" * 7)] ^= 1  # in the integers 1, 2, 3
    Path("bad.parquet").write_bytes(damaged)
    assert "bad.parquet: " in adapt_refused("in.parquet", "bad.parquet")
    assert "bad.parquet: " in apply_refused("bad.parquet")


def test_states_that_will_not_do() -> None:
    text = Path("stats.json").read_text()
    Path("cut.json").write_text(text[: len(text) // 2])
    Path("flipped.json").write_text(text.replace('"count": 2', '"count": 3'))
    for state in ("cut.json", "flipped.json", "none.json", "in.csv"):
        assert state in refused("show", state)
        assert state in apply_refused("in.parquet", state=state)
    en.Moments.from_data([[1.0, 2.0], [3.0, 4.0]]).save("unnamed.json")
    assert "unnamed.json: the state does not name" in apply_refused("in.parquet", state="unnamed.json")
    en.Normalization(mean=1, variance=2).save("given.json")
    assert "given.json: the state does not name" in apply_refused("in.parquet", state="given.json")


def test_outputs_that_cannot_be_written() -> None:
    assert "nowhere/out.json" in refused("adapt", "in.parquet", "-o", "nowhere/out.json")
    assert "nowhere/out.csv" in apply_refused("in.parquet", out="nowhere/out.csv")
    Path("folder.csv").mkdir()
    assert "folder.csv: cannot replace" in apply_refused("in.parquet", out="folder.csv")
    lists = TABLE.append_column("list", pa.array([[1], [2], [3]]))
    pq.write_table(lists, "lists.parquet")
    assert "column 'list'" in apply_refused("lists.parquet", out="out.csv")


def test_a_full_disk() -> None:
    before = contents()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); {MAIN}"
    for command in (
        ["adapt", "in.parquet", "-o", "out.json"],
        ["apply", "stats.json", "in.csv", "-o", "out.parquet"],
    ):
        done = python(limited, *command)
        assert done.returncode == 1
        assert "out." in done.stderr
        assert "File too large" in done.stderr
        assert done.stderr.count("\n") == 1
        assert contents() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["adapt", "in.parquet"],
        ["adapt", "-o", "out.json"],
        ["adapt", "in.parquet", "-o", "out.json", "--columns", ""],
        ["adapt", "in.parquet", "-o", "out.json", "--columns", "a,,b"],
        ["adapt", "in.parquet", "-o", "out.json", "--columns", "a,a"],
        ["apply", "stats.json", "in.parquet"],
        ["apply", "stats.json", "in.parquet", "-o", "out.csv", "--nan-policy", "ignore"],
        ["apply", "stats.json", "in.parquet", "-o", "out.csv", "--epsilon", "-1"],
        ["apply", "stats.json", "in.parquet", "-o", "out.csv", "--dtype", "int8"],
        ["show"],
        ["merge"],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    assert "Usage:" in refused(*arguments, status=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("output", ["out.csv.gz", "new/"])
def test_signals_leave_everything_as_it_was(number: signal.Signals, output: str) -> None:
    rows = 4_000_000  # some seconds of gzip
    pq.write_table(pa.table({"a": range(rows), "b": pa.nulls(rows, pa.int64())}), "long.parquet")
    Path("out.csv.gz").write_text("as before")
    before = contents()
    command = [sys.executable, "-c", MAIN, "apply", "stats.json", "long.parquet", "-o", output]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        while not list(Path().glob(".exactnorm-*.tmp")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        _, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert stderr == ""
    assert contents() == before
    assert not [path for path in Path().iterdir() if path.is_dir()]


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from exactnorm.cli import main\n"
    code += "import os; os.kill(os.getpid(), signal.SIGHUP)\ntry: main()\n"
    code += "finally: os.kill(os.getpid(), signal.SIGHUP); print('goes on')"
    done = python(code, "--version")
    assert (done.returncode, done.stdout) == (0, f"exactnorm {en.__version__}\ngoes on\n")


def test_the_installed_program() -> None:
    program = Path(sysconfig.get_path("scripts")) / "exactnorm"
    done = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)  # noqa: S603
    for word in ("adapt", "apply", "show", "exactnorm adapt 2013-*.parquet -o year.json"):
        assert word in done.stdout
    assert python(MAIN, "--version").stdout == f"exactnorm {en.__version__}\n"


@pytest.mark.parametrize("missing", ["pyarrow", "typer", "rich"])
def test_says_what_to_install(missing: str) -> None:
    """A package that cannot be imported is as good as one that is not installed."""
    command = ["show", "stats.json"] if missing == "rich" else ["adapt", "in.parquet", "-o", "out.json"]
    done = python(f"import sys; sys.modules[{missing!r}] = None; {MAIN}", *command)
    assert done.returncode == 1
    assert done.stderr == f"exactnorm: the command line needs {missing}: pip install 'exactnorm[cli]'\n"


@pytest.mark.parametrize(
    ("command", "output"), [(["adapt"], "out.json"), (["apply", "state.json"], "out.parquet")]
)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_file(command: list[str], output: str, ending: str) -> None:
    """640 MB of numbers in one row group, and 256 MB in CSV, need little more than ten rows."""
    names = [f"c{i}" for i in range(16)]
    if ending == "parquet":
        piece = pa.array([float(i % 1000) for i in range(1 << 17)])
        large = pa.table([pa.chunked_array([piece] * 40)] * 16, names)
        pq.write_table(large, "large.parquet", row_group_size=large.num_rows)
        pq.write_table(large.slice(0, 10), "small.parquet")
    else:
        line = ",".join("0123456789012345") + "\n"
        Path("small.csv").write_text(",".join(names) + "\n" + line * 10)
        Path("large.csv").write_text(",".join(names) + "\n" + line * 2_000_000)
    en.Moments.from_data({name: [1.0, 2.0] for name in names}).save("state.json")
    small_file, large_file = (
        peak_memory(*command, f"{file}.{ending}", "-o", output) for file in ("small", "large")
    )
    assert large_file - small_file < 200 << 20


def peak_memory(*arguments: str) -> int:
    """Bytes of memory that a command takes at most."""
    report = "print(re.search('VmHWM:(.*)kB', pathlib.Path('/proc/self/status').read_text())[1])"
    code = f"import atexit, pathlib, re; atexit.register(lambda: {report}); {MAIN}"
    done = python(code, *arguments)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) << 10
