"""States from files, of the kinds that a command wants."""

from __future__ import annotations

from exactnorm._documents import load
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization


def load_single(path: str) -> Moments | Normalization:
    """Load a state; ValueError for one of groups."""
    state = load(path)
    if isinstance(state, GroupedMoments):
        raise ValueError(f"{path}: expected one state, got those of {len(state):,} groups")
    return state


def load_moments(path: str) -> Moments | GroupedMoments:
    """Load what can be added up: that of a layer is what it has learned. ValueError for one without that."""
    state = load(path)
    if not isinstance(state, Normalization):
        return state
    try:
        return state.moments
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error
