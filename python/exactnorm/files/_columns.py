"""Which columns are meant: names, patterns, or all that are numbers; and that files agree about them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import pyarrow as pa


class Seen(NamedTuple):
    """A column of a file."""

    path: str
    type: pa.DataType
    guessed: bool


def is_number(kind: pa.DataType) -> bool:
    """Whether these are numbers, or indices of numbers. Booleans are none, and lists only if named."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_pattern(name: str) -> bool:
    """Whether a name can stand for several columns: ``dep_*``, or ``/dep_.*/``, a regular expression."""
    return _regex(name) is not None or any(character in name for character in "*?[")


def matching(wanted: Sequence[str], names: Sequence[str], learnable: Collection[str]) -> list[str]:
    """Return the columns that names and patterns stand for, each once.

    Parameters
    ----------
    wanted : sequence of str
        Names, which need not be there; patterns of the shell; regular expressions between slashes, which must
        match the whole name.
    names : sequence of str
        All columns.
    learnable : collection of str
        Those that a pattern may take.

    Raises
    ------
    ValueError
        For a pattern without a column, and a bad regular expression.
    """
    found: dict[str, None] = {}
    for name in wanted:
        if name in names or not is_pattern(name):
            found[name] = None
            continue
        pattern = _regex(name)
        try:
            compiled = re.compile(fnmatch.translate(name) if pattern is None else pattern)
        except re.error as error:
            raise ValueError(f"{name!r} is no regular expression: {error}") from error
        matches = [column for column in names if column in learnable and compiled.fullmatch(column)]
        if not matches:
            raise ValueError(f"no column of numbers matches {name!r}")
        found |= dict.fromkeys(matches)
    return list(found)


def _regex(name: str) -> str | None:
    return name[1:-1] if len(name) > 2 and name.startswith("/") and name.endswith("/") else None


def common_schema(seen: dict[str, list[Seen]], files: Sequence[str]) -> pa.Schema:
    """Return the type that each column has in all files; ValueError naming the file and the column.

    Parameters
    ----------
    seen : dict
        Where each column is.
    files : sequence of str
        Where it must be.
    """
    return pa.schema([(name, _common_type(name, places, files)) for name, places in seen.items()])


def _common_type(name: str, places: Sequence[Seen], files: Iterable[str]) -> pa.DataType:
    with_it = {place.path for place in places}
    missing = next((path for path in files if path not in with_it), None)
    if missing is not None:
        raise ValueError(
            f"{missing}: no column {name!r}" + (f", which {places[0].path} has" if places else "")
        )
    typed = [place for place in places if not pa.types.is_null(place.type)] or places
    first = next((place for place in typed if not place.guessed), typed[0])
    for place in typed:
        both_numbers = is_number(first.type) and is_number(place.type)
        if place.type != first.type and not (both_numbers and (first.guessed or place.guessed)):
            raise ValueError(
                f"{place.path}: column {name!r} is {place.type}, but {first.type} in {first.path}"
            )
    return first.type
