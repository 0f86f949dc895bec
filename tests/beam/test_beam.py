"""Beam's section of docs/engines.md runs, and learns what one machine learns, whatever the bundles."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import apache_beam as beam
import exactnorm as en
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
RNG = np.random.default_rng(3)
ROWS = 600
FLIGHTS = pa.table(
    {
        "delay": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(10, 30, ROWS)),
        "distance": pa.array(RNG.integers(100, 3000, ROWS), mask=RNG.random(ROWS) < 0.1),
        "carrier": RNG.integers(0, 9, ROWS).astype(str),
        "weight": RNG.integers(0, 3, ROWS),
    }
)
FEATURES = FLIGHTS.select(["delay", "distance"])


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the code of the page has defined, when it has run beside these flights."""
    monkeypatch.chdir(tmp_path)
    Path("flights").mkdir()
    for first, last in itertools.pairwise((0, 1, 400, ROWS)):
        pq.write_table(FLIGHTS[first:last], f"flights/{first}.parquet")
    code = re.search(r"```python\n(import apache_beam.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    names: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(code[1], str(PAGE), "exec"), names)  # noqa: S102
    return names


def learned(recipe: dict[str, Any], parts: list[pa.Table], **how: Any) -> Any:
    """What the CombineFn makes of parts, in bundles of Beam's choice."""
    file = Path("state").resolve()  # the pipeline has copies of all objects
    with beam.Pipeline("FnApiRunner") as pipeline:
        tables = pipeline | beam.Create(parts) | beam.Reshuffle()
        tables | beam.CombineGlobally(recipe["Learn"](**how)) | beam.Map(file.write_bytes)
    return en.from_bytes(file.read_bytes())


def test_the_page(recipe: dict[str, Any]) -> None:
    layer = en.load("layer.json")
    assert layer.moments == en.Moments.from_data(FEATURES)
    lines = [line for path in Path().glob("normalized*") for line in path.read_text().splitlines()]
    assert sorted(lines) == sorted(map(str, layer.transform_frame(FLIGHTS).to_pylist()))


@pytest.mark.parametrize("count", [1, 7, 200])
def test_any_bundles(recipe: dict[str, Any], count: int) -> None:
    ends = [0, *np.sort(RNG.integers(0, ROWS + 1, count - 1)).tolist(), ROWS]
    parts = [FLIGHTS[a:b] for a, b in itertools.pairwise(ends)]
    moments = learned(recipe, parts, columns=["delay", "distance"])
    assert moments.digest == en.Moments.from_data(FEATURES).digest
    groups = learned(recipe, parts, by="carrier", weights="weight")
    assert groups == en.GroupedMoments.from_data(FEATURES, FLIGHTS["carrier"], weights=FLIGHTS["weight"])


def test_a_column_that_is_not_there(recipe: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="no column 'q' in a table of 'delay', 'distance'"):
        learned(recipe, [FLIGHTS], columns=["q"])
