"""What errors and warnings look like: a line each, on stderr."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import typer


@contextmanager
def reporting() -> Iterator[None]:
    """Errors and warnings as a line each, on stderr."""
    failure: Exception | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", RuntimeWarning)
        try:
            yield
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (BrokenPipeError, ModuleNotFoundError):
            raise  # whoever read stdout has gone, and typer ends quietly; main says what is missing
        except (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError) as error:
            failure = error
    for warning in caught:
        complain(f"warning: {warning.message}")
    if failure is not None:
        complain(message_of(failure))
        raise typer.Exit(1) from failure


def message_of(error: Exception) -> str:
    """Return what went wrong, with the name of the file."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    return str(error) or type(error).__name__


def complain(message: str) -> None:
    """Print a line on stderr."""
    typer.echo(f"exactnorm: {' '.join(message.split())}", err=True)
