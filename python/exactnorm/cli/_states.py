"""States from files, of the kinds that a command wants."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from exactnorm._documents import load
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization


def load_chosen(path: str, key: str | None, *, total: bool = False) -> Moments | Normalization:
    """Load a state; of groups, that of a key or their total.

    Raises
    ------
    ValueError
        Naming the file, for groups without a choice, a key that is not there, and a choice where there are
        no groups.
    """
    state = load(path)
    if not isinstance(state, GroupedMoments):
        if key is not None or total:
            raise ValueError(f"{path}: expected groups to choose from, got {type(state).__name__}")
        return state
    if total:
        return state.total()
    if key is None:
        raise ValueError(
            f"{path}: choose one of {len(state):,} groups with --key, or all together with --total"
        )
    return group_of(state, key, path)


def group_of(state: GroupedMoments, key: str, path: str) -> Moments:
    """Return the Moments of a key, as it is typed. ValueError naming the file if it is not there."""
    if key in state:
        return state[key]
    if key.removeprefix("-").isdecimal() and int(key) in state:
        return state[int(key)]
    few = ", ".join(map(str, state.keys()[:3]))
    there = f"its keys are {few}{', …' if len(state) > 3 else ''}" if few else "it has none"
    raise ValueError(f"{path}: no key {key!r}: {there}")


def moments_of(state: Moments | Normalization, path: str) -> Moments:
    """Return what has been learned. ValueError naming the file if nothing has been."""
    if isinstance(state, Moments):
        return state
    try:
        return state.moments
    except RuntimeError as error:
        raise ValueError(f"{path}: the layer has not learned anything ({error})") from error


def load_moments(path: str) -> Moments | GroupedMoments:
    """Load what can be added up: of a layer, what it has learned."""
    state = load(path)
    return state if isinstance(state, GroupedMoments) else moments_of(state, path)


def check_target(path: str) -> None:
    """Raise an error now if a state cannot be written there, or would take the place of data."""
    from exactnorm.files._locations import ENDINGS

    if path == "-" or path.lower().removesuffix(".gz").removesuffix(".zst").endswith(tuple(ENDINGS)):
        raise ValueError(f"{path}: expected the name of a state document, such as stats.json")
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not os.access(target.parent, os.W_OK | os.X_OK):
        code = errno.EACCES if target.parent.is_dir() else errno.ENOENT
        raise OSError(code, os.strerror(code), path)
