"""Documents verified, and their digests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from exactnorm._documents import State, load
from exactnorm._normalization import Normalization
from exactnorm.cli._errors import message_of
from exactnorm.cli._states import moments_of


class Verdict(NamedTuple):
    """What is to say about a file."""

    path: str
    kind: str | None
    digest: str | None
    text: str
    """What it holds, or the error, without the file's name."""

    @property
    def ok(self) -> bool:
        """Whether the document is sound."""
        return self.kind is not None


def verdicts(paths: Sequence[str]) -> Iterator[Verdict]:
    """Load each document, which checks format, version, ranges, digest and checksum."""
    for path in paths:
        try:
            state = load(path)
        except (OSError, ValueError) as error:
            said = message_of(error).removeprefix("cannot open ").removeprefix(f"{path}: ")
            yield Verdict(path, None, None, said)
            continue
        knows = not isinstance(state, Normalization) or _has_learned(state)
        digest = _digest(state, path) if knows else None
        yield Verdict(path, type(state).__name__, digest, repr(state).strip("<>"))


def as_json(found: Sequence[Verdict]) -> str:
    """Return all verdicts, for machines."""
    files: list[dict[str, Any]] = [
        {
            "file": each.path,
            "ok": each.ok,
            "kind": each.kind,
            "digest": each.digest,
            "error": None if each.ok else each.text,
        }
        for each in found
    ]
    return json.dumps({"ok": all(each.ok for each in found), "files": files}, ensure_ascii=False)


def digest_of(path: str) -> str:
    """Return a file's digest. ValueError naming the file, if it has learned nothing."""
    return _digest(load(path), path)


def line_of(path: str, wanted: str | None = None) -> str:
    """Return a file's digest and name; with the digest that it is to have, its name and OK.

    Raises
    ------
    ValueError
        Naming the file, if it has another digest or has learned nothing.
    """
    found = digest_of(path)
    if wanted is None:
        return f"{found}  {path}"
    if found != wanted:
        raise ValueError(f"{path}: expected {wanted}, got {found}")
    return f"{path}: OK"


def expected(listings: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Read the files and digests of lists that `exactnorm digest` has printed.

    Raises
    ------
    ValueError
        Naming the list and the line that is none of its.
    """
    for listing in listings:
        for number, line in enumerate(Path(listing).read_text("utf-8").splitlines(), 1):
            found = re.fullmatch(r"(xxh3-128:[0-9a-f]{32})  (.+)", line)
            if found is None:
                raise ValueError(f"{listing}: line {number} is not a digest, two spaces and a file's name")
            yield found[2], found[1]


def _digest(state: State, path: str) -> str:
    return (moments_of(state, path) if isinstance(state, Normalization) else state).digest


def _has_learned(layer: Normalization) -> bool:
    return layer.built and layer.get_config()["mean"] is None
