"""What a command that writes a state has done, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import typer

from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments


def print_summary(
    state: Moments | GroupedMoments, output: str, *, rows: int, skipped: Mapping[str, str]
) -> None:
    """Print one JSON object."""
    known = {
        "output": output,
        "kind": type(state).__name__,
        "digest": state.digest,
        "features": math.prod(state.shape),
        "rows": rows,
        "skipped": dict(skipped),
    }
    if isinstance(state, GroupedMoments):
        known["groups"] = len(state)
    typer.echo(json.dumps(known, ensure_ascii=False))
