"""States from files, for commands that want one state."""

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
