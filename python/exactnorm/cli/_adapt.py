"""Files into Moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from exactnorm._moments import Moments
from exactnorm.files import naming, open_table, read


def learn(files: Sequence[str], columns: Sequence[str] | None) -> Moments:
    """Return the Moments of all rows of all files: of these columns, else of all that are numbers."""
    schema = _schema_to_learn(files, columns)
    with naming(files[0]):
        moments = Moments.from_data(schema.empty_table())
    for path in files:
        reader = open_table(path, schema.names)
        with naming(path):
            read(reader, lambda opened: moments.update(opened.batches(schema.names)))
    return moments


class _Seen(NamedTuple):
    """A column of a file."""

    path: str
    type: pa.DataType
    is_guess: bool


def _schema_to_learn(files: Sequence[str], columns: Sequence[str] | None) -> pa.Schema:
    """Look at all files first: an error after hours of reading would be late."""
    seen: dict[str, list[_Seen]] = {name: [] for name in columns or ()}
    for path in files:
        reader = open_table(path)
        for name, kind in zip(reader.schema.names, reader.schema.types, strict=True):
            if columns is None or name in seen:
                seen.setdefault(name, []).append(_Seen(path, kind, not reader.has_types))
    if columns is None:
        seen = {name: places for name, places in seen.items() if _are_numbers(places)}
    if not seen:
        raise ValueError(f"{files[0]}: no column of numbers")
    return pa.schema([(name, _common_type(name, places, files)) for name, places in seen.items()])


def _are_numbers(places: Sequence[_Seen]) -> bool:
    """Whether it is a number somewhere, or has no value anywhere."""
    return any(map(_is_number, places)) or all(pa.types.is_null(place.type) for place in places)


def _is_number(place: _Seen) -> bool:
    return bool(pa.types.is_integer(place.type) or pa.types.is_floating(place.type))


def _common_type(name: str, places: Sequence[_Seen], files: Sequence[str]) -> pa.DataType:
    missing = set(files).difference(place.path for place in places)
    if missing:
        path = next(path for path in files if path in missing)
        raise ValueError(f"{path}: no column {name!r}" + (f", which {places[0].path} has" if places else ""))
    typed = [place for place in places if not pa.types.is_null(place.type)] or places
    first = typed[0]
    for place in typed:
        both_numbers = _is_number(first) and _is_number(place)
        if place.type != first.type and not (both_numbers and (first.is_guess or place.is_guess)):
            raise ValueError(
                f"{place.path}: column {name!r} is {place.type}, but {first.type} in {first.path}"
            )
    return first.type
