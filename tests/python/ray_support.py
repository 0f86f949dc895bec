"""A small Ray on this machine alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def local_ray() -> Iterator[None]:
    """Run Ray with two workers; conftest.py keeps it to the loopback interface."""
    import ray
    from ray.data import DataContext

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=150_000_000,
        log_to_driver=False,
        logging_level="ERROR",
    )
    logging.getLogger("ray.data").setLevel("CRITICAL")
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        yield
    finally:
        ray.shutdown()
