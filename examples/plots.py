"""The picture in docs/display.md: flights from New York City in January, and what July changed.

python examples/plots.py docs/plots.svg
"""

from __future__ import annotations

import sys

import exactnorm as en
import matplotlib as mpl
import pyarrow.compute as pc
from flights_demo import FEATURES, read_flights
from matplotlib import pyplot as plt


def main(path: str) -> None:
    mpl.use("svg")
    plt.rcParams |= {
        "svg.hashsalt": "exactnorm",
        "svg.fonttype": "path",
        "font.size": 9,
    }  # the same file each time
    flights = read_flights()
    january, july = (
        en.Moments.from_data(flights.filter(pc.equal(flights["month"], month)).select(FEATURES))
        for month in (1, 7)
    )
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    january.plot(ax=left)
    left.set_title("january.plot()", loc="left")
    en.compare(january, july).plot(ax=right)
    right.set_title("compare(january, july).plot()", loc="left")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
