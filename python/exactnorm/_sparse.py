"""Sparse matrices, as compressed columns that C++ can read."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from exactnorm import _core
from exactnorm._arrays import Dense, from_array


class Sparse(NamedTuple):
    """The stored values of a matrix, column by column; all others are 0."""

    values: Dense
    row_indices: Dense
    offsets: Dense
    """Where in the values each column begins, and where the last one ends."""
    row_count: int

    @classmethod
    def of(cls, x: Any) -> Self:
        """Read what has scipy.sparse's `tocsc`; entries that are there twice are added up, in a copy."""
        if not hasattr(x, "tocsc"):
            raise TypeError(
                f"expected a matrix or array of scipy.sparse, got {type(x).__module__}.{type(x).__qualname__}"
            )
        if hasattr(x, "check_format"):
            x.check_format(full_check=True)  # scipy's own conversions write out of bounds for bad indices
        columns = x.tocsc()
        if not columns.has_canonical_format:
            columns = columns.copy() if columns is x else columns
            columns.sum_duplicates()
        offsets = np.asarray(columns.indptr)
        stored = slice(0, int(offsets[-1]))  # there may be room for more
        return cls(
            from_array(columns.data[stored]).native(),
            from_array(columns.indices[stored]).native(),
            from_array(offsets).native(),
            columns.shape[0],
        )

    def add_to(self, moments: _core.Moments, weights: Dense | None, threads: int) -> None:
        """Add the matrix: all, or nothing."""
        moments.update_sparse(
            self.values.view(),
            self.row_indices.view(),
            self.offsets.view(),
            self.row_count,
            None if weights is None else weights.view(),
            threads,
        )
