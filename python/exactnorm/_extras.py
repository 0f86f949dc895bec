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
        package = (error.name or extra).partition(".")[0]
        raise ImportError(
            f"{adapter} needs {package}: pip install 'exactnorm[{extra}]'", name=error.name
        ) from error
