"""How far reading has come: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from exactnorm import files


class Counter:
    """Gets `exactnorm.files.Progress`."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, progress: files.Progress) -> None:
        self.rows = progress.rows


class _Bar(Counter):
    """A counter that shows what it counts."""

    def __init__(self, display: Progress) -> None:
        super().__init__()
        self._display = display
        self._task = display.add_task("", total=None, rows="", speed="")

    def __call__(self, progress: files.Progress) -> None:
        super().__call__(progress)
        task = self._display.tasks[0]
        elapsed = max(task.elapsed or 0, 1e-3)
        self._display.update(
            self._task,
            completed=progress.bytes,
            total=progress.total or None,
            rows=f"{progress.rows:,} rows, {progress.rows / elapsed / 1e6:,.2f} M/s",
            speed=f"{progress.bytes / elapsed / 1e9:.2f} GB/s",
        )


@contextmanager
def counting(threads: int | None = None) -> Iterator[Counter]:
    """Count rows, and show them while stderr is a terminal; let pyarrow have that many threads."""
    if threads is not None:
        pa.set_cpu_count(threads)
        pa.set_io_thread_count(threads)
    if not sys.stderr.isatty():
        yield Counter()
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        yield _Bar(display)
