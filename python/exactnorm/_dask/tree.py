"""States of chunks, added up in a tree."""

from __future__ import annotations

from typing import Any

from dask.base import tokenize
from dask.core import flatten
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from exactnorm._documents import from_bytes
from exactnorm.distributed import merge


def sum_of(states: Any, split_every: int) -> Delayed:
    """Return the sum of the states, as bytes, that are the chunks of a dask collection: Moments, lazy.

    The collection is optimized, since a Delayed is not. A task adds up at most `split_every` states.
    """
    keys = list(flatten([states.__dask_keys__()]))
    token = tokenize(keys, split_every)
    name = f"moments-{token}"
    tasks: dict[Any, Any] = {}
    level = 0
    while len(keys) > split_every:
        groups = [keys[i : i + split_every] for i in range(0, len(keys), split_every)]
        keys = [(f"merge-{token}", level, i) for i in range(len(groups))]
        tasks.update({key: (merge, group) for key, group in zip(keys, groups, strict=True)})
        level += 1
    tasks[name] = (_finish, keys)
    return Delayed(name, HighLevelGraph.from_collections(name, tasks, dependencies=[states]))


def _finish(states: list[bytes]) -> Any:
    return from_bytes(merge(states))
