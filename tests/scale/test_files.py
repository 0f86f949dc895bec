"""A data engineer's year with the command line, at the size that people have: `make test-scale`.

5·10⁶ × 16 float32 in Parquet row groups, a gzipped CSV file with quotes and missing values, and a year of
hive partitions: learned, killed at 20 random moments and resumed, merged day by day, a day forgotten.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exactnorm import files

PROGRAM = [sys.executable, "-c", "from exactnorm.cli import main; main()"]
DAYS = [dt.date(2013, 1, 1) + dt.timedelta(days) for days in range(365)]
KEYS = ["NL", "BE", "DE", "LU"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    features = {f"f{i}": rng.standard_normal(5_000_000, np.float32) * 10**i for i in range(16)}
    pq.write_table(pa.table(features), folder / "large.parquet", row_group_size=250_000)
    with gzip.open(folder / "notes.csv.gz", "wt", 1, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "price", "pieces"])
        for i in range(300_000):
            note = ["plain", 'a, "b"', "two\nlines", ""][i % 4]
            writer.writerow([note, "" if i % 7 == 0 else f"{rng.lognormal(3, 2):.6g}", i % 11 or "NA"])
    for day in DAYS:
        part = folder / "year" / f"month={day.month:02}" / f"day={day.day:02}"
        part.mkdir(parents=True)
        rows = int(rng.integers(500, 1500))
        delay = pa.array(rng.lognormal(2, 1, rows), mask=rng.random(rows) < 0.02)
        where = pa.array(KEYS).take(pa.array(rng.integers(0, len(KEYS), rows)))
        pq.write_table(
            pa.table({"delay": delay, "km": rng.integers(50, 5000, rows), "country": where}),
            part / "0.parquet",
        )
    return folder


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(*arguments: object, status: int = 0) -> str:
    done = subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True)  # noqa: S603
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def digest(state: str) -> str:
    return run("digest", state).split()[0]


@pytest.mark.parametrize("what", ["large.parquet", "notes.csv.gz", "year", "all"])
def test_killed_at_twenty_random_moments(data: Path, what: str) -> None:
    """However often it is killed, what goes on from the checkpoints ends with the same digest."""
    arguments = [data / what, "-o", "state.json"]
    if what == "all":  # a file of another kind between those of one
        (data / "more").mkdir()
        pq.write_table(pq.read_table(data / "large.parquet").slice(0, 400_000), data / "more/b.parquet")
        with (data / "more/a.csv").open("w") as file:
            names = [f"f{i}" for i in range(16)]
            file.write(",".join(names) + "\n")
            file.writelines(["0.25,1,2,3,4,5,6,7,8,9,10,11,12,13,14,-15.125\n"] * 300_000)
        arguments = [data / "more", data / "large.parquet", "-o", "state.json"]
    start = time.monotonic()
    run("adapt", *arguments)
    lasts = time.monotonic() - start
    expected, kills, rng = digest("state.json"), 0, random.Random(what)  # noqa: S311
    arguments += ["--checkpoint", "progress"]
    while kills < 20:
        Path("state.json").unlink(missing_ok=True)
        with subprocess.Popen([*PROGRAM, "adapt", *map(str, arguments)]) as process:  # noqa: S603
            time.sleep(rng.uniform(0.2, 1) * lasts)
            process.send_signal(signal.SIGKILL)
        if process.returncode == 0:  # it was through before
            assert digest("state.json") == expected
            shutil.rmtree("progress")
        else:
            assert process.returncode == -signal.SIGKILL
            kills += 1
    run("adapt", *arguments)
    assert digest("state.json") == expected
    assert json.loads(run("adapt", *arguments, "--json"))["rows"] == 0
    assert digest("state.json") == expected


def test_a_year_of_days(data: Path) -> None:
    run("adapt", data / "year", "-o", "year.json")
    states = []
    for day in DAYS:
        states.append(f"{day}.json")
        part = data / "year" / f"month={day.month:02}" / f"day={day.day:02}" / "0.parquet"
        files.adapt(str(part)).save(states[-1])  # as the command does, without 365 processes
    run("merge", *random.Random(1).sample(states, len(states)), "-o", "merged.json")  # noqa: S311
    assert Path("merged.json").read_bytes() == Path("year.json").read_bytes()
    gone = DAYS[123]
    run("subtract", "merged.json", f"{gone}.json", "-o", "merged.json")
    others = [str(path) for path in sorted((data / "year").rglob("*.parquet"))]
    others.remove(str(data / "year" / f"month={gone.month:02}" / f"day={gone.day:02}" / "0.parquet"))
    run("adapt", *others, "-o", "without.json")
    assert Path("merged.json").read_bytes() == Path("without.json").read_bytes()
    run(
        "adapt",
        data / "year" / "month=05" / f"day={gone.day:02}",
        "--add-to",
        "without.json",
        "-o",
        "without.json",
    )
    assert Path("without.json").read_bytes() == Path("year.json").read_bytes()


def test_groups_of_a_year(data: Path) -> None:
    run("adapt", data / "year", "-o", "by-country.json", "--by", "country")
    groups = json.loads(run("show", "--json", "by-country.json"))["groups"]
    assert [group["key"] for group in groups] == sorted(KEYS)
    run("adapt", data / "year", "-o", "by-month.json", "--by", "month", "--columns", "delay")
    run("adapt", data / "year" / "month=07", "-o", "july.json", "--columns", "delay")
    july = json.loads(run("show", "--json", "july.json"))
    by_month = json.loads(run("show", "--json", "by-month.json", "--key", "7"))
    assert july["digest"] == by_month["digest"]


MEMORY = """
import pathlib, sys
from exactnorm import files
grouped = files.adapt(sys.argv[1], by="key")
grouped.save("groups.json")
status = pathlib.Path("/proc/self/status").read_text()
print(len(grouped), int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


def test_a_million_keys_in_two_gibibytes() -> None:
    rng = np.random.default_rng(2)
    keys = np.concatenate([np.arange(1_000_000), rng.integers(0, 1_000_000, 4_000_000)])
    table = pa.table({"key": keys, **{f"f{i}": rng.standard_normal(len(keys)) for i in range(4)}})
    pq.write_table(table, "keys.parquet", row_group_size=1_000_000)
    text = table.set_column(0, "key", table["key"].cast(pa.string()))
    pq.write_table(text, "text.parquet", row_group_size=1_000_000)
    del table, text
    for name in ("keys.parquet", "text.parquet"):
        done = subprocess.run([sys.executable, "-c", MEMORY, name], capture_output=True, text=True)  # noqa: S603
        assert done.stderr == ""
        groups, mebibytes = map(int, done.stdout.split())
        assert groups == 1_000_000
        assert mebibytes < 2048
