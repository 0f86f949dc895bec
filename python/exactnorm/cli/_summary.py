"""What a command that writes a state has done, as JSON."""

from __future__ import annotations

import json
import math

import typer

from exactnorm._documents import State
from exactnorm._grouped import GroupedMoments
from exactnorm._normalization import Normalization
from exactnorm.cli._states import moments_of


def print_summary(state: State, output: str, **more: object) -> None:
    """Print one JSON object, with more that the command knows."""
    learned = moments_of(state, output) if isinstance(state, Normalization) else state
    known = {
        "output": output,
        "kind": type(state).__name__,
        "digest": learned.digest,
        "features": math.prod(learned.shape),
        **more,
    }
    if isinstance(state, GroupedMoments):
        known["groups"] = len(state)
    typer.echo(json.dumps(known, ensure_ascii=False))
