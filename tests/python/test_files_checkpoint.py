"""Checkpoints: what is killed goes on and ends with the digest of what was not; nothing is counted twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from exactnorm import files
from exactnorm.files import _checkpoint, _parquet


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every piece."""
    monkeypatch.setattr(_checkpoint, "_COST", 0)


def numbers(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    keys = pa.array(rng.integers(0, 5, rows))
    return pa.table({"x": rng.lognormal(0, 3, rows), "n": rng.integers(-1000, 1000, rows), "k": keys})


class Killed(Exception):  # noqa: N818
    """What a test raises to stop a run somewhere."""


def stopped_after(pieces: int) -> Callable[[files.Progress], None]:
    """A listener that gives up after some pieces."""
    left = pieces

    def listen(_: files.Progress) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    return listen


@pytest.mark.usefixtures("_often")
@pytest.mark.parametrize("by", [None, "k"])
def test_stopped_anywhere(by: str | None) -> None:
    tables = [numbers(rows, seed) for seed, rows in enumerate((60_000, 300_000, 60_000, 60_000, 60_000))]
    pq.write_table(tables[0], "a.parquet", row_group_size=7000)
    pa.csv.write_csv(tables[1], "b.csv")
    with pa.CompressedOutputStream("c.csv.gz", "gzip") as stream:
        pa.csv.write_csv(tables[2], stream)
    pa.feather.write_feather(tables[3], "d.feather", chunksize=7000)
    np.savez("e.npz", **{name: tables[4][name].to_numpy() for name in tables[4].column_names})
    names = ["a.parquet", "b.csv", "c.csv.gz", "d.feather", "e.npz"]
    columns = ["x", "n"]
    whole = pa.concat_tables(tables)
    expected = (
        en.Moments.from_data(whole.select(columns)) if by is None else en.GroupedMoments.from_data(whole, by)
    )
    options = {"columns": columns, "by": by, "checkpoint": "progress"}
    starts = 0
    for pieces in [*range(1, 12), 1, 1, 2, 3]:
        for start in (names, names[::-1]):
            try:
                learned = files.adapt(start, on_progress=stopped_after(pieces), **options)
            except Killed:
                starts += 1
            else:
                assert learned == expected
    assert starts > 3
    assert files.adapt(names, **options) == expected
    reads: list[files.Progress] = []
    assert files.adapt(names, on_progress=reads.append, **options) == expected
    assert reads == []


@pytest.mark.usefixtures("_often")
def test_goes_on_within_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file that says where its parts begin is read from where the last run stopped."""
    monkeypatch.setattr(_parquet, "_SPAN", 1)
    table = numbers(400_000, 0)
    pq.write_table(numbers(4_000_000, 1), "a.parquet", row_group_size=2_000_000)
    pa.csv.write_csv(table, "b.csv")
    Path("c.jsonl").write_text("".join(f'{{"x": {i}.5}}\n' for i in range(600_000)))
    pa.feather.write_feather(table, "d.feather", chunksize=70_000)
    np.savez("e.npz", x=np.arange(4e6), n=np.ones(4_000_000))
    for name in ("a.parquet", "b.csv", "c.jsonl", "d.feather", "e.npz"):
        expected = files.adapt(name)
        folder = f"{name}.progress"
        total = []
        files.adapt(name, on_progress=total.append)
        pieces = next(i for i in range(1, 100) if _stops_within(name, folder, i))
        reads: list[files.Progress] = []
        assert files.adapt(name, checkpoint=folder, on_progress=reads.append) == expected
        assert 0 < reads[-1].rows < total[-1].rows, pieces


def _stops_within(name: str, folder: str, pieces: int) -> bool:
    """Whether a run that is stopped after so many pieces has a checkpoint within the file."""
    with pytest.raises(Killed):
        files.adapt(name, checkpoint=folder, on_progress=stopped_after(pieces))
    record = _checkpoint.Checkpoint(folder).load()
    return record is not None and record.current is not None


@pytest.mark.usefixtures("_often")
def test_a_type_that_widens_after_a_checkpoint() -> None:
    rows = 1_500_000
    Path("late.csv").write_text("n\n" + f"{2**53 + 1}\n" * rows + "0.5\n")
    expected = files.adapt("late.csv")
    assert expected.mean()[0] == float(2**53) * rows / (rows + 1)
    for pieces in (1, 2, 3, 5):  # the last of them has begun to read again, as float64
        with pytest.raises(Killed):
            files.adapt("late.csv", checkpoint="progress", on_progress=stopped_after(pieces))
    assert files.adapt("late.csv", checkpoint="progress") == expected


def test_new_files_are_learned_and_old_ones_are_not_read_again() -> None:
    for i in range(4):
        pq.write_table(numbers(100, i), f"{i}.parquet")
    assert files.adapt(["0.parquet", "1.parquet"], checkpoint="c") == files.adapt(["0.parquet", "1.parquet"])
    reads: list[files.Progress] = []
    assert files.adapt("*.parquet", checkpoint="c", on_progress=reads.append) == files.adapt("*.parquet")
    assert reads[-1].rows == 200
    assert reads[-1].bytes == pytest.approx(reads[-1].total)


def test_what_does_not_fit_a_checkpoint() -> None:
    for i in range(3):
        pq.write_table(numbers(100, i), f"{i}.parquet")
    files.adapt(["0.parquet", "1.parquet"], checkpoint="c")
    before = Path("c/checkpoint.zip").read_bytes()
    for options in ({"columns": ["x"]}, {"by": "k"}, {"weights": "k"}):
        with pytest.raises(ValueError, match=r"c: this checkpoint is of other arguments: .*'x', 'n', 'k'"):
            files.adapt(["0.parquet", "1.parquet"], checkpoint="c", **options)
    with pytest.raises(ValueError, match=r"has read 1.parquet, which is not among the files"):
        files.adapt(["0.parquet", "2.parquet"], checkpoint="c")
    pq.write_table(numbers(101, 1), "1.parquet")
    with pytest.raises(
        ValueError, match=r"1.parquet: it has changed since it was read \(\d+ bytes then, \d+ now\)"
    ):
        files.adapt(["0.parquet", "1.parquet"], checkpoint="c")
    pq.write_table(numbers(100, 1), "1.parquet")
    with pytest.raises(ValueError, match=r"1.parquet: it has changed since it was read \(another time"):
        files.adapt(["0.parquet", "1.parquet", "2.parquet"], checkpoint="c")
    assert Path("c/checkpoint.zip").read_bytes() == before
    Path("c/checkpoint.zip").write_bytes(before[:100])
    with pytest.raises(ValueError, match=r"c/checkpoint.zip: not a checkpoint that can be used"):
        files.adapt("0.parquet", checkpoint="c")
    Path("c/checkpoint.zip").write_bytes(before.replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(ValueError, match=r"c/checkpoint.zip: not a checkpoint that can be used"):
        files.adapt("0.parquet", checkpoint="c")
    Path("c/checkpoint.zip").unlink()
    with _checkpoint.Checkpoint("c").locked(), pytest.raises(ValueError, match="c: another process is using"):
        files.adapt("0.parquet", checkpoint="c")


def test_adding_to_a_state_happens_once() -> None:
    pq.write_table(numbers(100, 0), "today.parquet")
    base = en.Moments.from_data(numbers(50, 1))
    both = files.adapt("today.parquet", add_to=base, checkpoint="c")
    assert both == base + en.Moments.from_data(numbers(100, 0))
    assert files.adapt("today.parquet", add_to=base, checkpoint="c") == both
    assert (
        files.adapt("today.parquet", add_to=both, checkpoint="c") == both
    )  # as after `-o STATE --add-to STATE`
    with pytest.raises(
        ValueError, match="c: the state to add to is not the one that this checkpoint began with"
    ):
        files.adapt("today.parquet", add_to=base + both, checkpoint="c")
    with pytest.raises(ValueError, match="c: the state to add to is not the one"):
        files.adapt("today.parquet", checkpoint="c")


@pytest.mark.usefixtures("_often")
def test_a_file_that_changes_while_it_is_read() -> None:
    pq.write_table(numbers(100, 0), "a.parquet")

    def change(_: files.Progress) -> None:
        os.utime("a.parquet", ns=(1, 1))

    with pytest.raises(ValueError, match=r"a.parquet: it has changed since it was read"):
        files.adapt("a.parquet", checkpoint="c", on_progress=change)


def test_killed_at_random() -> None:
    """kill -9, often, while a process reads and writes checkpoints."""
    for i in range(12):
        pq.write_table(numbers(100_000, i), f"{i:02}.parquet", row_group_size=10_000)
        pa.csv.write_csv(numbers(50_000, 100 + i), f"{i:02}.csv")
    expected = files.adapt(".").digest
    code = (
        "from exactnorm import files; from exactnorm.files import _checkpoint; _checkpoint._COST = 0\n"
        "print('ready', flush=True); files.adapt('.', checkpoint='c').save('out.json')"
    )
    rng, kills, runs = random.Random(5), 0, 0  # noqa: S311
    while not Path("out.json").exists():
        runs += 1
        assert runs < 200
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)  # noqa: S603
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            if kills < 8:
                time.sleep(rng.uniform(0, 0.15))
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    kills += 1
        assert process.returncode in (0, -signal.SIGKILL)
    assert kills > 1
    assert en.load("out.json").digest == expected
    assert files.adapt(".", checkpoint="c").digest == expected


@pytest.mark.usefixtures("_often")
def test_a_bad_file_that_is_mended() -> None:
    """What was read of it before it turned out to be bad has left nothing, on disk neither."""
    lines = ["1234567\n"] * 1_500_000
    Path("a.csv").write_text("n\n" + "".join(lines))
    expected = files.adapt("a.csv")
    good = Path("a.csv").read_bytes()
    status = Path("a.csv").stat()
    pq.write_table(pa.table({"n": [1]}), "b.parquet")
    Path("a.csv").write_bytes(good[:10_000_002] + b"x" + good[10_000_003:])
    os.utime("a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    bad: dict[str, Exception] = {}
    learned = files.adapt(["a.csv", "b.parquet"], checkpoint="c", on_bad_file=bad.__setitem__)
    assert list(bad) == ["a.csv"]
    assert learned == files.adapt("b.parquet")
    Path("a.csv").write_bytes(good)
    os.utime("a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    both = files.adapt(["a.csv", "b.parquet"], checkpoint="c")
    assert both == learned + expected
    Path("d").mkdir()
    Path("a.csv").write_bytes(good[:10_000_002] + b"x" + good[10_000_003:])
    files.adapt(["b.parquet", "a.csv"], checkpoint="d", on_bad_file=bad.__setitem__)
    Path("a.csv").unlink()
    assert files.adapt("b.parquet", checkpoint="d") == learned


@pytest.mark.usefixtures("_often")
def test_a_crash_on_the_second_day() -> None:
    for i in range(4):
        pq.write_table(numbers(100, i), f"{i}.parquet")
    names = [f"{i}.parquet" for i in range(4)]
    base = en.Moments.from_data(numbers(50, 9))
    first = files.adapt(names[:2], add_to=base, checkpoint="c")
    with pytest.raises(Killed):
        files.adapt(names, add_to=first, checkpoint="c", on_progress=stopped_after(1))
    assert files.adapt(names, add_to=first, checkpoint="c") == base + files.adapt(names)
    assert files.adapt(names, add_to=base, checkpoint="c") == base + files.adapt(names)


def test_a_file_that_is_done_and_gone_bad() -> None:
    pq.write_table(numbers(100, 0), "a.parquet")
    pq.write_table(numbers(100, 1), "b.parquet")
    files.adapt(["a.parquet"], checkpoint="c")
    Path("a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"a.parquet: it has changed since it was read"):
        files.adapt(["a.parquet", "b.parquet"], checkpoint="c", on_bad_file=lambda *_: None)


@pytest.mark.usefixtures("_often")
def test_a_file_that_turns_out_to_be_bad_after_a_crash() -> None:
    Path("a.csv").write_text("n\n" + "1234567\n" * 1_500_000)
    expected, good, status = files.adapt("a.csv"), Path("a.csv").read_bytes(), Path("a.csv").stat()
    with pytest.raises(Killed):
        files.adapt("a.csv", checkpoint="c", on_progress=stopped_after(4))
    pq.write_table(pa.table({"n": [1]}), "b.parquet")
    Path("a.csv").write_bytes(good[:10_000_002] + b"x" + good[10_000_003:])
    os.utime("a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    bad: dict[str, Exception] = {}
    names = ["a.csv", "b.parquet"]
    assert files.adapt(names, checkpoint="c", on_bad_file=bad.__setitem__) == files.adapt("b.parquet")
    assert list(bad) == ["a.csv"]
    Path("a.csv").write_bytes(good)
    os.utime("a.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert files.adapt(names, checkpoint="c") == files.adapt("b.parquet") + expected
