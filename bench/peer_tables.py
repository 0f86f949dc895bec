"""Tables and plots of what bench/compare.py measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

from figures import figure, number, table
from plots import Bar, bars

Row = dict[str, Any]
WANTED_OF = "(4000000, 16) float32"
WANTED = {"numpy, float64": 40, "scikit-learn": 50, "Keras": 35, "Polars": 3, "JAX": 2.5}
LEARNING = ["adapt", "GB/s", "exactnorm is × faster", "worst error of mean; of variance", "extra memory", ""]


def answered(peers: Row) -> Iterator[Row]:
    """The tools that ran, of all shapes."""
    return (row for shape in peers["shapes"] for row in shape["tools"] if "version" in row)


def part(shape: Row, row: Row) -> float:
    """How much of the data the tool got."""
    return row["rows"] / shape["rows"]


def speeds(shape: Row, row: Row, pairs: list[list[float]]) -> tuple[list[float], list[float]]:
    """GB/s of ours and theirs."""
    size = shape["bytes"] / 1e9
    return [size / ours for ours, _ in pairs], [size * part(shape, row) / theirs for _, theirs in pairs]


def times_faster(shape: Row, row: Row, pairs: list[list[float]]) -> list[float]:
    return [mine / other for mine, other in zip(*speeds(shape, row, pairs), strict=True)]


def size(count: float) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 100 << 20 else f"{count / 2**20:.0f} MiB"


def error(row: Row) -> str:
    """The worst of mean and variance."""
    if "errors" not in row:
        return ""
    worst = row["errors"].values()
    parts = [f"{e['relative']:.0e} ({e['ulp']:.2g} ulp)" if e["ulp"] > 0.5 else "≤ ½ ulp" for e in worst]
    return f"{'; '.join(parts)}, {row['dtype']}"


def remarks(shape: Row, row: Row) -> str:
    notes = list(row.get("notes", []))
    if shape["shape"] == WANTED_OF and row["tool"] in WANTED:
        notes.append(f"wanted: × {WANTED[row['tool']]:g}")
    if "rows" in row and row["rows"] < shape["rows"]:
        notes.append(f"{row['rows']} rows")
    if "reason" in row:
        notes.append(row["reason"].replace("|", "/"))
    return "; ".join(notes)


def ours_of(shape: Row) -> list[float]:
    return [shape["bytes"] / 1e9 / ours for row in shape["tools"] for ours, _ in row.get("adapt", [])]


def learning(peers: Row) -> str:
    """A table per shape."""
    text = ""
    for shape in peers["shapes"]:
        own = ours_of(shape)
        speed = figure(own) if own else ""
        rows = [["**exactnorm**", speed, "", "≤ ½ ulp; ≤ ½ ulp, float64", size(shape["memory"]), ""]]
        for row in shape["tools"]:
            pairs = row.get("adapt")
            rows.append(
                [
                    row["tool"],
                    figure(speeds(shape, row, pairs)[1]) if pairs else "",
                    figure(times_faster(shape, row, pairs)) if pairs else "",
                    error(row),
                    size(row["memory"]) if "memory" in row else "",
                    remarks(shape, row),
                ]
            )
        text += f"**{shape['shape']}, {shape['bytes'] / 2**20:.0f} MiB**\n\n{table(LEARNING, rows)}\n"
    return text


def applying(peers: Row) -> str:
    """One table."""
    rows = []
    for shape in peers["shapes"]:
        for row in shape["tools"]:
            for mode, pairs in row.get("apply", {}).items():
                mine, other = speeds(shape, row, pairs)
                faster = figure(times_faster(shape, row, pairs))
                rows.append([shape["shape"], row["tool"], mode, figure(other), figure(mine), faster])
    return table(["apply", "tool", "mode", "GB/s", "exactnorm's", "× faster"], rows)


def short_calls(peers: Row) -> str:
    """One table, in microseconds."""
    rows = []
    for row in peers["short"]:
        if "reason" in row:
            rows.append([row["shape"], "", row["tool"], row["reason"]])
        else:
            call = "update" if row["call"] == "update" else f"apply, {row['call']}"
            rows.append([row["shape"], call, row["tool"], figure([1e6 * s for s in row["seconds"]])])
    return table(["float32 array", "call from Python", "tool", "µs"], rows)


def plot_adapt(peers: Row, pairs: Row) -> str:
    """The first shape, beside reading."""
    shape = peers["shapes"][0]
    rows = [Bar("exactnorm (exact)", statistics.median(ours_of(shape)), "")]
    for row in shape["tools"]:
        if "adapt" in row:
            speed = statistics.median(speeds(shape, row, row["adapt"])[1])
            rows.append(Bar(row["tool"], speed, "", ours=False))
    for bar in rows:
        bar.text = f"{number(bar.value)} GB/s"
    rows.sort(key=lambda bar: -bar.value)
    read = next(work for work in pairs["works"] if work["name"] == "float32, 16 features")
    speed = statistics.median(read["bytes"] / theirs / 1e9 for theirs, _ in read["pairs"])
    subtitle = f"{shape['shape']}, all features at once"
    return bars("Learning mean and variance", subtitle, rows, (speed, "plain read"))


def plot_apply(peers: Row) -> str:
    """The first shape, by mode."""
    shape = peers["shapes"][0]
    own: dict[str, list[float]] = {}
    theirs = []
    for row in shape["tools"]:
        for mode, pairs in row.get("apply", {}).items():
            mine, other = speeds(shape, row, pairs)
            own.setdefault(mode.partition(" (")[0], []).extend(mine)
            theirs.append((mode, row["tool"], statistics.median(other)))
    rows = []
    for mode, values in own.items():
        rows.append(Bar(f"{mode}: exactnorm", statistics.median(values), ""))
        same = [each for each in theirs if each[0].partition(" (")[0] == mode]
        for how, tool, speed in sorted(same, key=lambda each: -each[2]):
            rows.append(Bar(tool + how.removeprefix(mode), speed, "", ours=False))
    for bar in rows:
        bar.text = f"{number(bar.value)} GB/s"
    subtitle = f"{shape['shape']}, input payload; fresh output, out= with touched pages, in place"
    return bars("Normalizing", subtitle, rows)
