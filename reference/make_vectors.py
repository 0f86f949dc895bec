"""Writes vectors/*.json from reference.py and cases/: `python reference/make_vectors.py`.

Deterministic. vectors/README.md describes the files.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cases import algebra, apply, arguments, documents, rounding, values
from cases.elements import Case

FILES: dict[str, list[Callable[[], Iterator[Case]]]] = {
    "moments.json": [
        values.every_dtype,
        values.scales,
        values.ties,
        arguments.axes,
        arguments.weights,
        arguments.nulls,
    ],
    "algebra.json": [algebra.merges, algebra.subtractions, algebra.refusals],
    "rounding.json": [rounding.rounding],
    "apply.json": [apply.every_dtype, apply.divisors, apply.steps, apply.from_states],
    "documents.json": [documents.good, documents.broken],
}


def vectors() -> dict[str, str]:
    """The text of every file, by its name: a case on each line."""
    texts = {}
    for file, parts in FILES.items():
        cases = [case for part in parts for case in part()]
        names = [case["name"] for case in cases]
        assert len(set(names)) == len(names), [n for n in names if names.count(n) > 1]
        texts[file] = "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n"
    return texts


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1] / "vectors"
    for file, text in vectors().items():
        (folder / file).write_text(text, encoding="utf-8")
        print(f"{file}: {text.count(chr(10)) - 2} cases, {len(text.encode()):,} bytes")
