"""Frameworks that an adapter needs and that may not be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(extra: str, adapter: str) -> Iterator[None]:
    """Around the imports of an adapter: if a package is missing, say which extra has it."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{adapter} needs {error.name}: pip install 'exactnorm[{extra}]'", name=error.name
        ) from error
