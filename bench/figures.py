"""Numbers as text, and tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def number(value: float, digits: int | None = None) -> str:
    """Three significant digits, or so many after the point."""
    if digits is not None:
        return f"{value:.{digits}f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def median(values: Sequence[float], digits: int | None = None) -> str:
    """A median alone."""
    return number(statistics.median(values), digits)


def figure(values: Sequence[float], digits: int | None = None) -> str:
    """A median with minimum and maximum."""
    if len(values) == 1:
        return f"{number(values[0], digits)} (once)"
    return f"{median(values, digits)} ({number(min(values), digits)}–{number(max(values), digits)})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
