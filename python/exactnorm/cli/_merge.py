"""States out of states: added up, and taken apart."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from exactnorm._documents import State, load
from exactnorm._normalization import Normalization
from exactnorm.cli._states import moments_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def merged(paths: Sequence[str]) -> State:
    """Return all that these states have learned, as one of their kind.

    Layers must be configured alike, names apart; the result has the first one's configuration, and calls use
    all of it.

    Raises
    ------
    ValueError
        Naming the file that does not go with the first one.
    """
    first = paths[0]
    state = load(first)
    total: Any = moments_of(state, first) if isinstance(state, Normalization) else state
    for path in paths[1:]:
        other = load(path)
        _refuse_another(state, other, first, path)
        with _naming(path, first):
            total += moments_of(other, path) if isinstance(other, Normalization) else other
    if isinstance(state, Normalization):
        result = copy.copy(state)
        with _naming(first):
            result.adapt(total)
        return result
    return state


def subtracted(path: str, part: str) -> State:
    """Return what is left of a state without another that is part of it; kinds as for `merged`."""
    whole, other = load(path), load(part)
    _refuse_another(whole, other, path, part)
    with _naming(part, path):
        if isinstance(whole, Normalization):
            moments_of(whole, path)
            whole.forget(moments_of(other, part))  # type: ignore[arg-type]  # of one kind
            return whole
        whole -= other  # type: ignore[operator]
    return whole


def _refuse_another(one: State, other: State, path: str, other_path: str) -> None:
    if type(one) is not type(other):
        raise ValueError(
            f"{other_path}: expected {type(one).__name__}, as {path} holds, got {type(other).__name__}"
        )
    if isinstance(one, Normalization) and isinstance(other, Normalization):
        ours, theirs = one.get_config(), other.get_config()
        for key in ours:
            if key != "name" and ours[key] != theirs[key]:
                raise ValueError(
                    f"{other_path}: a layer of {key} {theirs[key]!r} does not go with {path}, "
                    f"of {ours[key]!r}"
                )


@contextmanager
def _naming(path: str, beside: str | None = None) -> Iterator[None]:
    """Put the names of the files into errors of the library."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        if str(error).startswith(path):
            raise
        raise ValueError(f"{path}{f' beside {beside}' if beside else ''}: {error}") from error
