"""files.apply: what becomes of keys and of other columns, of whatever types files hold them in."""

from __future__ import annotations

from pathlib import Path

import exactnorm as en
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
