"""What to read of each file, from a look at all of them: an error after hours of reading would be late."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from exactnorm._warn import warn
from exactnorm.files._columns import Seen, common_schema, is_number, matching
from exactnorm.files._kinds import is_text
from exactnorm.files._locations import Location
from exactnorm.files._readers import Piece


class Columns(NamedTuple):
    """What a user asks for."""

    learned: Sequence[str] | None
    """Names and patterns; None for all numbers."""
    by: str | None
    weights: str | None


class Plan(NamedTuple):
    """What to read of each file."""

    schema: pa.Schema
    """The columns to learn, with their types, then those of keys and of weights."""
    learned: list[str]
    by: str | None
    weights: str | None
    partitions: frozenset[str]
    """Those columns that are not in the files, but in the names of their folders."""

    @property
    def stored(self) -> list[str]:
        """The columns that are in the files."""
        return [name for name in self.schema.names if name not in self.partitions]

    @property
    def numbers(self) -> list[str]:
        """The columns that must be numbers."""
        return [name for name in self.schema.names if name != self.by]

    @property
    def has_text_keys(self) -> bool:
        """Whether keys are text, even where they look like numbers."""
        return self.by is not None and is_text(self.schema.field(self.by).type)

    def complete(self, location: Location, piece: Piece) -> pa.RecordBatch:
        """Return a batch with the columns that the folders' names tell."""
        batch = piece.batch
        for name in self.schema.names:
            if name in self.partitions:
                value, kind = dict(location.partitions)[name], self.schema.field(name).type
                batch = batch.append_column(name, repeated(value, kind, len(batch)))
        return batch

    def settings(self) -> Mapping[str, Any]:
        """Return what a checkpoint must agree with."""
        return {"columns": self.learned, "by": self.by, "weights": self.weights}


def plan(
    wanted: Columns, default: Sequence[str] | None, schemas: Sequence[tuple[Location, pa.Schema, bool]]
) -> Plan:
    """Find the columns.

    Parameters
    ----------
    wanted : Columns
    default : sequence of str, optional
        The columns to learn if none are asked for, instead of all numbers.
    schemas : sequence of (Location, pyarrow.Schema, bool)
        What the files have, and whether their types are guesses.

    Raises
    ------
    ValueError
        As `exactnorm.files.adapt`.
    """
    files = [location.name for location, _, _ in schemas]
    seen: dict[str, list[Seen]] = {}
    for location, schema, guessed in schemas:
        for name, kind in zip(schema.names, schema.types, strict=True):
            seen.setdefault(name, []).append(Seen(location.name, kind, guessed))
    partitions = partition_columns([location for location, _, _ in schemas], seen)
    others = [name for name in (wanted.by, wanted.weights) if name is not None]
    numbers = [name for name, places in seen.items() if _are_numbers(places) and name not in others]
    if wanted.learned is not None:
        learned = matching(wanted.learned, [*seen, *partitions], numbers)
        if default is not None and sorted(learned) == sorted(default):
            learned = list(default)
    elif default is not None:
        learned = list(default)
    else:
        learned = numbers
        _tell_of_decimals(seen, others)
    both = next((name for name in others if name in learned), None)
    if both is not None:
        raise ValueError(f"column {both!r} is of keys or weights, so it is not learned")
    if not learned:
        raise ValueError(f"{files[0]}: no column of numbers")
    if wanted.by in seen:
        seen[wanted.by] = _as_keys(seen[wanted.by])
    places = {name: seen.get(name, partitions.get(name, [])) for name in [*learned, *others]}
    used = frozenset(name for name in places if name in partitions)
    return Plan(common_schema(places, files), learned, wanted.by, wanted.weights, used)


def _are_numbers(places: Sequence[Seen]) -> bool:
    """Whether it is a number somewhere, or has no value anywhere."""
    return any(is_number(place.type) for place in places) or all(
        pa.types.is_null(place.type) for place in places
    )


def _as_keys(places: Sequence[Seen]) -> list[Seen]:
    """Take keys for text if some are text: what only looks like something else, and text of any layout."""
    known = [place.type for place in places if not pa.types.is_null(place.type)]
    if known and all(map(pa.types.is_integer, known)):
        return list(places)
    return [
        place._replace(type=pa.string()) if place.guessed or is_text(place.type) else place
        for place in places
    ]


def _tell_of_decimals(seen: dict[str, list[Seen]], others: Sequence[str]) -> None:
    left_out = [
        f"{name!r} ({places[0].type})"
        for name, places in seen.items()
        if pa.types.is_decimal(places[0].type) and name not in others
    ]
    if left_out:
        warn([f"not learned, since float64 does not hold it exactly: {', '.join(left_out)}"], RuntimeWarning)


def partition_columns(locations: Sequence[Location], stored: Collection[str]) -> dict[str, list[Seen]]:
    """Find the columns that only folders' names have: of integers, if all their values are."""
    values: dict[str, list[tuple[str, str | None]]] = {}
    for location in locations:
        for name, value in location.partitions:
            if name not in stored:
                values.setdefault(name, []).append((location.name, value))
    return {
        name: [Seen(path, _type_of([value for _, value in found]), False) for path, _ in found]
        for name, found in values.items()
    }


def _type_of(values: Sequence[str | None]) -> pa.DataType:
    texts = [value for value in values if value is not None]
    are_integers = all(text.removeprefix("-").isdecimal() and -(2**63) <= int(text) < 2**63 for text in texts)
    return pa.int64() if are_integers else pa.string()


def repeated(value: str | None, kind: pa.DataType, rows: int) -> pa.Array:
    is_integer = value is not None and pa.types.is_integer(kind)
    return pa.repeat(pa.scalar(int(value or 0) if is_integer else value, kind), rows)
