"""Make the tables and plots of docs/benchmarks.md of what the other programs measured.

    .venv-bench/bin/python bench/report.py FOLDER           writes docs/benchmarks.md and docs/*.svg
    .venv-bench/bin/python bench/report.py FOLDER --print   writes to the terminal instead

FOLDER has pairs.json (bench/pairs.cpp), micro.json (bench/micro.cpp), peers.json (bench/compare.py) and, if
files were measured, files.md (bench/files.py).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peer_tables
from figures import figure, median, number, table
from plots import Bar, bars

DOCS = Path(__file__).parent.parent / "docs"


def machine(pairs: dict[str, Any], micro: dict[str, Any], peers: dict[str, Any]) -> str:
    """What it ran on, and what ran."""
    about = dict(
        line.partition(":")[::2] for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line
    )
    cpu = {key.strip(): value.strip() for key, value in about.items()}
    model = f"family {cpu['cpu family']}, model {cpu['model']}" if "cpu family" in cpu else ""
    caches = ", ".join(
        f"{cache['type'].lower()} L{cache['level']} {cache['size'] >> 10} KiB"
        for cache in micro["context"]["caches"]
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    clock = statistics.median(run["gigahertz"] for run in micro["benchmarks"] if "gigahertz" in run)
    versions = sorted(
        {f"{row['tool'].partition(',')[0]} {row['version']}" for row in peer_tables.answered(peers)}
    )
    rows = [
        ["CPU", f"{cpu.get('model name', platform.machine())} ({model})"],
        ["cores", f"{os.cpu_count()}, at {clock:.2f} GHz"],
        ["caches", caches],
        ["memory", f"{memory:.0f} GiB"],
        ["system", f"Linux {platform.release()}, {pairs['compiler']}, Python {platform.python_version()}"],
        ["exactnorm", f"{peers['exactnorm']}, target {pairs['target']}, {pairs['threads']} threads"],
        ["others", ", ".join(versions)],
        ["measured", micro["context"]["date"][:10]],
    ]
    return table(["", ""], rows)


def ratios(work: dict[str, Any]) -> list[float]:
    return [theirs / ours for theirs, ours in work["pairs"]]


def speeds(work: dict[str, Any]) -> list[float]:
    return [work["bytes"] / ours / 1e9 for _, ours in work["pairs"]]


def baselines(pairs: dict[str, Any]) -> str:
    """How fast each reader and copier was, beside the works of 16 features of float32."""
    rows = []
    for what, group, name in (
        ("read", "adapt", "float32, 16 features"),
        ("copy", "apply", "float32, out of place"),
        ("rewrite in place", "apply", "float32, in place"),
        ("convert float64 to float32", "apply", "float64 to float32"),
        ("convert uint8 to float32", "apply", "uint8 to float32"),
    ):
        for work in pairs["works"]:
            if (work["group"], work["name"]) == (group, name):
                for how, seconds in work["baselines"].items():
                    rows.append([what, how, number(work["bytes"] / seconds / 1e9)])
    return table(["what", "how", "GB/s of input"], rows)


def tiers(work: dict[str, Any]) -> str:
    return " / ".join(f"{share:.1%}" for share in work["tiers"]) if work["tiers"] else "–"


def works(pairs: dict[str, Any], groups: Iterable[str], of: str, *, with_tiers: bool) -> str:
    """A row per work."""
    rows = []
    for work in pairs["works"]:
        if work["group"] in groups:
            row = [
                work["name"],
                figure(speeds(work)),
                figure(ratios(work), digits=2),
                f"{work['goal']:g}" if work["goal"] else "",
                str(len(work["pairs"])),
                work["baseline"],
            ]
            rows.append([*row, tiers(work)] if with_tiers else row)
    head = ["work", "GB/s of input", f"of {of}", "wanted", "pairs", f"fastest {of}"]
    return table([*head, "panels in tier 0 or 1 / tier 2 / integers"] if with_tiers else head, rows)


def microbenchmarks(micro: dict[str, Any]) -> str:
    """Small calls, cycles a value, and each target."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in micro["benchmarks"]:
        if run["run_type"] == "iteration":
            found[run["run_name"].partition("/real_time")[0]].append(run)
    rows = []
    for name, runs in sorted(found.items()):
        group, _, rest = name.partition("/")
        if group == "calls":
            values, unit = [run["real_time"] for run in runs], runs[0]["time_unit"]
        elif group == "cache":
            values, unit = [run["cycles_per_value"] for run in runs], "cycles a value"
        else:
            values, unit = [run["bytes_per_second"] / 1e9 for run in runs], "GB/s"
        kind = {"calls": "call", "cache": "adapt, 256 KiB", "targets": "adapt, 16 features, 1 thread"}[group]
        rows.append([kind, rest.replace("/", ", "), f"{figure(values)} {unit}"])
    return table(["what", "of", "median (min–max)"], rows)


def plot_of_memory(pairs: dict[str, Any]) -> str:
    rows = [
        Bar(
            f"{'apply' if work['group'] == 'apply' else 'adapt'} {work['name']}",
            statistics.median(ratios(work)),
            median(ratios(work), digits=2),
            wanted=work["goal"],
        )
        for work in pairs["works"]
    ]
    subtitle = (
        f"{pairs['threads']} threads, {pairs['target']}; as a share of the speed of the fastest plain read "
        "(adapt) or copy (apply) of the same array; marked: what was wanted"
    )
    return bars("How much of memory's speed is reached", subtitle, rows, (1.0, "plain read or copy"))


def write_page(sections: dict[str, str]) -> None:
    """Replace what stands between each section's two markers."""
    page = DOCS / "benchmarks.md"
    text = page.read_text(encoding="utf-8")
    for name, content in sections.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"docs/benchmarks.md has no markers {begin!r} and {end!r}")
        text = pattern.sub(lambda _, b=begin, c=content, e=end: b + c + e, text)
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--print", action="store_true", help="to the terminal; changes no file")
    arguments = parser.parse_args()
    pairs, micro, peers = (
        json.loads((arguments.folder / f"{name}.json").read_text()) for name in ("pairs", "micro", "peers")
    )
    sections = {
        "machine": machine(pairs, micro, peers),
        "plain": baselines(pairs),
        "adapt": works(pairs, ("adapt", "adversarial"), "reading", with_tiers=True),
        "apply": works(pairs, ("apply",), "copying", with_tiers=False),
        "cache": microbenchmarks(micro),
        "peers": peer_tables.learning(peers) + peer_tables.applying(peers),
        "calls": peer_tables.short_calls(peers),
    }
    files = arguments.folder / "files.md"
    if files.exists():  # a quick run has none
        sections["files"] = files.read_text(encoding="utf-8")
    if arguments.print:
        for name, content in sections.items():
            print(f"== {name}\n\n{content}")
        return
    write_page(sections)
    (DOCS / "memory-speed.svg").write_text(plot_of_memory(pairs), encoding="utf-8")
    (DOCS / "peers-adapt.svg").write_text(peer_tables.plot_adapt(peers, pairs), encoding="utf-8")
    (DOCS / "peers-apply.svg").write_text(peer_tables.plot_apply(peers), encoding="utf-8")


if __name__ == "__main__":
    main()
