"""Exact mean and variance of every feature, and the normalization that uses them.

`Moments` learns: exact sums that neither order nor batches nor machines change, that merge and can be taken
apart. `GroupedMoments` learns them for every group of rows. `Normalization` learns and applies
``(x - mean) / sqrt(variance)``, as the Keras layer of that name does. `load` and `from_bytes` read what any
of them has saved; `compare` tells how two data sets differ, `report` shows it on a page; `targets` lists the
kernels.
"""

from exactnorm._compare import Drift, DriftRow, compare
from exactnorm._core import StateError
from exactnorm._documents import from_bytes, load
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._report.page import report
from exactnorm._targets import Target, targets

__all__ = [
    "Drift",
    "DriftRow",
    "GroupedMoments",
    "Moments",
    "Normalization",
    "StateError",
    "Target",
    "compare",
    "from_bytes",
    "load",
    "report",
    "targets",
]

for _name in ("Drift", "DriftRow", "GroupedMoments", "Moments", "Normalization", "StateError", "Target"):
    globals()[_name].__module__ = "exactnorm"  # where it is public: pickles and messages say so


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return globals().setdefault(name, version("exactnorm"))  # it takes 50 ms to look up
    raise AttributeError(f"module 'exactnorm' has no attribute {name!r}")
