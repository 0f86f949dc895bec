"""Run the C++ benchmarks and write their table into docs/benchmarks.md, between its two marker lines.

    python bench/report.py build/release/bench/adapt_bench [--repetitions 15]

Benchmarks are repeated in random order, so that a slow moment of a shared machine falls on all of them alike.
Figures are medians; a ratio is the median over the read of as many bytes by as many threads in that run.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured -->\n", "<!-- end of measured -->\n"


def measure(program: str, repetitions: int) -> dict:
    """The benchmark program's own JSON."""
    command = [
        program,
        f"--benchmark_repetitions={repetitions}",
        "--benchmark_enable_random_interleaving=true",
        "--benchmark_min_time=0.05",
        "--benchmark_format=json",
    ]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)  # noqa: S603


def cpu_name() -> str:
    """The processor's own name for itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def table(results: dict) -> str:
    """A row per benchmark: GB/s as median (min to max), and the ratio to reading."""
    speeds: dict[str, list[float]] = defaultdict(list)
    for run in results["benchmarks"]:
        if run["run_type"] == "iteration":
            speeds[run["run_name"].removesuffix("/real_time")].append(run["bytes_per_second"] / 1e9)
    lines = ["| work | GB/s, median (min to max) | of reading |", "|---|---|---|"]
    for name, values in sorted(speeds.items()):
        dtype, _, rest = name.partition("/")
        read = speeds.get(f"{dtype}/read/threads:{rest[-1]}") or speeds["float32/read/threads:" + rest[-1]]
        ratio = statistics.median(values) / statistics.median(read)
        lines.append(
            f"| {dtype}, {rest.replace('/', ', ').replace('threads:', 'threads ')} "
            f"| {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) | {ratio:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and rewrite the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("program")
    parser.add_argument("--repetitions", type=int, default=15)
    arguments = parser.parse_args()
    results = measure(arguments.program, arguments.repetitions)
    context = results["context"]
    where = f"{cpu_name()}, {context['num_cpus']} CPUs; {context['date'][:10]}"
    machine = f"{where}; {arguments.repetitions} repetitions.\n\n"
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(head + BEGIN + machine + table(results) + END + tail)


if __name__ == "__main__":
    main()
