"""The drift table."""

from __future__ import annotations

import math

import exactnorm as en
import numpy as np
import pytest

NAN = float("nan")
BEFORE = {
    "same": [1.0, 2.0, 3.0, 6.0],
    "moved": [0.0, 2.0, 0.0, 2.0],
    "wider": [-1.0, 1.0, -1.0, 1.0],
    "constant": [5.0, 5.0, 5.0, 5.0],
    "still constant": [5.0, 5.0, 5.0, 5.0],
    "holes": [1.0, 2.0, 1.0, 2.0],
}
AFTER = BEFORE | {
    "moved": [3.0, 5.0, 3.0, 5.0],
    "wider": [-3.0, 3.0, -3.0, 3.0],
    "constant": [6.0, 7.0, 6.0, 7.0],
    "holes": np.ma.MaskedArray([1.0, 2.0, NAN, 2.0], mask=[0, 0, 0, 1]),
}


def drift() -> en.Drift:
    return en.compare(en.Moments.from_data(BEFORE), en.Moments.from_data(AFTER))


def test_rows() -> None:
    table = drift()
    assert len(table) == 6
    assert [row.feature for row in table] == list(BEFORE)
    assert table["same"] == table[0] == ("same", 0, 1, 0, 0, 0, 0)
    assert (table["moved"].shift, table["moved"].variance_ratio) == (3, 1)
    assert (table["wider"].shift, table["wider"].variance_ratio) == (0, 9)
    assert (table["constant"].shift, table["constant"].variance_ratio) == (math.inf, math.inf)
    assert (table["still constant"].shift, table["still constant"].variance_ratio) == (0, 1)
    holes = table["holes"]
    assert (holes.null_rate_before, holes.null_rate_after) == (0, 0.25)
    assert (holes.nan_rate_before, holes.nan_rate_after) == (0, 0.25)
    assert table[1:3].rows == table.rows[1:3]
    with pytest.raises(KeyError):
        table["other"]


def test_sorting() -> None:
    table = drift()
    assert [row.feature for row in table.sort()][:3] == ["constant", "moved", "same"]
    assert next(iter(table.sort("variance_ratio"))).feature == "constant"
    assert table.sort("variance_ratio")[1].feature == "wider"
    assert table.sort("null_rate")[0].feature == table.sort("nan_rate")[0].feature == "holes"
    assert [row.feature for row in table.sort("feature")] == sorted(BEFORE)
    with pytest.raises(ValueError, match="shift"):
        table.sort("size")  # type: ignore[arg-type]
    empty = en.compare(en.Moments(shape=2), en.Moments.from_data([[1.0, 2.0]]))
    assert math.isnan(empty.sort()[0].shift)


def test_what_it_looks_like() -> None:
    lines = repr(drift()).splitlines()
    assert len(lines) == 7
    assert lines[0].startswith("feature ")
    assert lines[2].split() == ["moved", "+3", "1", "0.00%", "0.00%", "0.00%", "0.00%"]
    assert "25.00%" in lines[6]
    assert "<td>25.00%</td>" in drift()._repr_html_()
    many = en.Moments.from_data(np.ones((2, 100)))
    assert repr(en.compare(many, many)).endswith("… 70 more")
    cube = en.Moments.from_data(np.ones((2, 2, 2)), axis=(1, 2))
    assert [row.feature for row in en.compare(cube, cube)] == ["(0, 0)", "(0, 1)", "(1, 0)", "(1, 1)"]


def test_layers_and_names() -> None:
    layer = en.Normalization()
    layer.adapt(BEFORE)
    assert en.compare(layer, en.Moments.from_data(AFTER)).rows == drift().rows
    unnamed = en.Moments.from_data(np.stack(list(BEFORE.values()), axis=1))
    assert [row.feature for row in en.compare(unnamed, layer)] == list(BEFORE)
    with pytest.raises(ValueError, match="names"):
        en.compare(layer, en.Moments(shape=6, names="abcdef"[:6].split() or None) if False else _renamed())
    with pytest.raises(ValueError, match=r"\(6,\).*\(2,\)"):
        en.compare(layer, en.Moments(shape=2))
    with pytest.raises(TypeError, match="dict"):
        en.compare(BEFORE, AFTER)  # type: ignore[arg-type]


def _renamed() -> en.Moments:
    return en.Moments.from_data({name.upper(): values for name, values in BEFORE.items()})
