"""Arguments that several functions take, checked."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal, SupportsIndex

import numpy as np

Axis = SupportsIndex | Iterable[SupportsIndex] | None
Names = Sequence[str] | None
Policy = Literal["propagate", "omit", "raise"]


def ints_of(given: Axis) -> list[int]:
    """Return axes, or a shape, as C++ wants them; None is none."""
    if given is None:
        return []
    return [operator.index(i) for i in ([given] if isinstance(given, SupportsIndex) else given)]


def threads_of(threads: SupportsIndex | None) -> int:
    """Return the number of threads, 0 for the default."""
    return at_least_one(threads, "threads") or 0


def names_of(names: Names) -> list[str]:
    """Return the names as a list, empty if there are none."""
    if isinstance(names, str):
        raise TypeError(f"expected a sequence of names, got the string {names!r}")
    for name in names or ():
        if not isinstance(name, str):
            raise TypeError(f"expected names to be strings, got {name!r}")
    return [] if names is None else list(names)


def columns_of(columns: Iterable[Any]) -> list[Any]:
    """Return labels of columns as a list; a string is no sequence of them."""
    if isinstance(columns, (str, bytes)):
        raise TypeError(f"expected a sequence of columns, got {columns!r}")
    return list(columns)


def at_least_one(value: SupportsIndex | None, what: str) -> int | None:
    """Check a positive integer that may be absent."""
    if value is None:
        return None
    if not isinstance(value, SupportsIndex):
        raise TypeError(f"expected {what} to be an integer or None, got {value!r}")
    number = operator.index(value)
    if number < 1:
        raise ValueError(f"expected {what} to be at least 1, got {number}")
    return number


def given_values(values: Any, what: str) -> tuple[list[int], list[float]] | None:
    """Return the shape and the values of a given mean or variance."""
    if values is None:
        return None
    if hasattr(values, "assign"):  # TensorFlow's and Keras's
        raise ValueError(f"a Normalization takes no Variable as its {what}: its value would be copied once")
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise TypeError(f"expected {what} to be numbers, got dtype {array.dtype}")
    return list(array.shape), array.astype(np.float64).ravel().tolist()
