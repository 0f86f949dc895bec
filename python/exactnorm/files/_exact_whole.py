"""Whole numbers in text that float64 would change: identifiers beyond int64, mostly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from exactnorm.files._blocks import blocks, cut_lines
from exactnorm.files._locations import Location
from exactnorm.files._tables import open_table

_EXACT = 2**53  # float64 has all whole numbers up to here
_OBJECT = re.compile(r"\S")


def holds_float64(kind: pa.DataType) -> bool:
    """Whether these are float64, or have some in them."""
    return pa.types.is_float64(kind) or any(
        holds_float64(kind.field(i).type) for i in range(kind.num_fields if pa.types.is_nested(kind) else 0)
    )


def may_be_changed(column: pa.Array) -> bool:
    """Whether some float64 is so large that it may have been another whole number."""
    return any(pc.any(pc.greater_equal(pc.abs(part), float(_EXACT))).as_py() for part in _float64(column))


def changed_number(location: Location, column: str) -> int | None:
    """Return the first whole number in a column of a file of text that does not fit int64 or float64."""
    values = _csv_numbers(location, column) if location.format == "csv" else _json_numbers(location, column)
    return next((value for value in values if abs(value) >= _EXACT and _is_changed(value)), None)


def _float64(column: pa.Array) -> Iterator[pa.Array]:
    kind = column.type
    if pa.types.is_float64(kind):
        yield column
    elif pa.types.is_list(kind) or pa.types.is_struct(kind):
        for part in column.flatten() if pa.types.is_struct(kind) else [column.flatten()]:
            yield from _float64(part)


def _csv_numbers(location: Location, column: str) -> Iterator[int]:
    reader = open_table(location, as_text=True)
    for piece in reader.pieces([column]):
        cells = piece.batch.column(0)
        for text in cells.filter(pc.match_substring_regex(cells, r"^\s*[+-]?[0-9]{16,}\s*$")).to_pylist():
            yield int(text)


def _json_numbers(location: Location, column: str) -> Iterator[int]:
    decode = json.JSONDecoder().raw_decode
    for block in blocks(location, cut_lines):
        text = block.text.decode()
        start = 0
        while (found := _OBJECT.search(text, start)) is not None:
            row, start = decode(text, found.start())
            yield from _whole(row.get(column))


def _whole(value: Any) -> Iterator[int]:
    """Give the whole numbers in what JSON has become."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _whole(part)


def _is_changed(value: int) -> bool:
    return not -(2**63) <= value < 2**63 or int(float(value)) != value
