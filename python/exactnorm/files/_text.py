"""Rows as lines of text, made column by column."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

LINES = 1 << 16
"""How many to make at once: they take a multiple of what the columns do."""


def csv_lines(batch: pa.RecordBatch) -> pa.Buffer:
    """Return rows in CSV.

    There are quotes only where needed, the fewest digits that read back as the same number, and empty cells
    for nulls. ValueError for a column that CSV cannot hold.
    """
    cells = [_csv_cells(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
    missing = '""' if len(cells) == 1 else ""  # readers skip a line that is empty
    return _joined([pc.fill_null(column, missing) for column in cells], ",", "\n")


def csv_header(names: Sequence[str]) -> pa.Buffer:
    """Return the first line of a CSV file."""
    return csv_lines(pa.record_batch([pa.array([name]) for name in names], list(names)))


def json_lines(batch: pa.RecordBatch) -> pa.Buffer:
    """Return rows as JSON objects; NaN and infinities as Python writes them.

    Times and what else JSON has no type for become text. ValueError for a column that has none.
    """
    cells: list[pa.Array] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        label = json.dumps(name, ensure_ascii=False) + ": "
        values = pc.fill_null(_json_cells(name, column), "null")
        cells.append(pc.binary_join_element_wise(label, values, ""))
    return _joined(cells, ", ", "}\n", first="{")


def _csv_cells(name: str, column: pa.Array) -> pa.Array:
    """Return cells as they stand in CSV; nulls stay nulls."""
    text = _as_text(name, column, "CSV")
    if pa.types.is_primitive(column.type):
        return text
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(text, '[",\r\n]'), quoted, text)


def _json_cells(name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_nested(kind):
        try:
            return pa.array([json.dumps(value, ensure_ascii=False) for value in column.to_pylist()])
        except TypeError as error:
            raise ValueError(f"column {name!r} of type {kind} does not go into JSON: {error}") from error
    text = _as_text(name, column, "JSON")
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_floating(kind):
        for ours, in_json in (("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity")):
            text = pc.if_else(pc.equal(text, ours), in_json, text)
        return text
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return text
    if pc.any(pc.match_substring_regex(text, r'["\\\x00-\x1f]')).as_py():
        return pa.array(
            [None if value is None else json.dumps(value, ensure_ascii=False) for value in text.to_pylist()],
            pa.string(),
        )
    return pc.binary_join_element_wise('"', text, '"', "")


def _as_text(name: str, column: pa.Array, format_name: str) -> pa.Array:
    try:
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} of type {column.type} does not go into {format_name}") from error


def _joined(cells: Sequence[pa.Array], separator: str, end: str, first: str = "") -> pa.Buffer:
    """Return the bytes of lines."""
    if not cells:
        raise ValueError("no columns to write")
    lines = pc.binary_join_element_wise(*cells, separator)
    text = pc.binary_join_element_wise(first, lines, end, "")
    offsets, content = text.buffers()[1:]
    begin, stop = (int.from_bytes(offsets[4 * i : 4 * i + 4], sys.byteorder) for i in (0, len(text)))
    return content.slice(begin, stop - begin)
