"""Work shared by threads, with results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_order(work: Callable[[_T], _R], items: Iterable[_T], threads: int) -> Iterator[tuple[_T, _R]]:
    """Give items with their results, in order; a few of them are worked on ahead."""
    pending: deque[tuple[_T, Future[_R]]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for item in items:
            pending.append((item, pool.submit(work, item)))
            if len(pending) > threads:
                first, result = pending.popleft()
                yield first, result.result()
        while pending:
            first, result = pending.popleft()
            yield first, result.result()
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(items: Iterator[_T]) -> Iterator[_T]:
    """Give items, while a thread gets the next one."""
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
    finally:
        pool.shutdown()
