"""Functions on their way to the workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import exactnorm

Batches = Iterator[Any]


def shipped(work: str, *arguments: Any, reports: bool = False) -> Callable[[Batches], Batches]:
    """Return a function of `exactnorm._spark_work`, for mapInArrow.

    Spark pickles it by value, so that a worker that has another exactnorm, or none, can say so: by a
    RuntimeError, or in a row of `_spark_work.STATES` if the work reports its errors that way. So no argument
    may be of a class of exactnorm.
    """
    expected = exactnorm.__version__

    def run(batches: Batches) -> Batches:
        import sys
        from importlib import import_module

        try:
            found = import_module("exactnorm").__version__
        except ImportError:
            found = "none"
        if found == expected:
            yield from getattr(import_module("exactnorm._spark_work"), work)(batches, *arguments)
            return
        complaint = (
            f"expected exactnorm {expected} on the workers, as on the driver, "
            f"got {found} with the Python at {sys.executable}"
        )
        if not reports:
            raise RuntimeError(complaint)
        rows = {"state": [None], "error": ["RuntimeError: " + complaint]}
        yield import_module("pyarrow").RecordBatch.from_pydict(rows)

    return run
