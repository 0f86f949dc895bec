"""What every cluster does: states of parts of the data, as bytes, and their sum.

An engine sends batches of rows to `partial`, wherever its workers are, and the bytes that come back to
`merge`, in any order, grouping and number of steps. The result is, to the bit, what one machine learns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from exactnorm._documents import from_bytes
from exactnorm._normalization import Normalization
from exactnorm._table_learner import TableLearner, add_up


def partial(
    batches: Iterable[Any],
    *,
    columns: Sequence[str] | None = None,
    by: str | None = None,
    weights: str | None = None,
    threads: int | None = 1,
) -> bytes:
    """Return the state of some batches of a table, as bytes for `merge`.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch, pyarrow.Table or pandas.DataFrame
        All of the same columns.
    columns : sequence of str, optional
        The columns to learn. The default is all but those of keys and weights.
    by : str, optional
        The column of keys, integers or strings: the state is one of groups then.
    weights : str, optional
        The column of weights.
    threads : int, default 1
        How many to sum with: engines run a worker on each CPU.

    Returns
    -------
    bytes
        A CBOR document of Moments, or of GroupedMoments; no bytes at all if there was no batch.

    Raises
    ------
    ValueError
        For columns that are not there, and as `Moments.update` and `GroupedMoments.update`.
    TypeError
        For columns that are not numbers or booleans, and for a string that should be a sequence of columns.

    Examples
    --------
    >>> import exactnorm as en
    >>> import pyarrow as pa
    >>> from exactnorm.distributed import merge, partial
    >>> batches = [pa.record_batch({"delay": delays}) for delays in ([3.0, 5.0], [4.0], [8.0])]
    >>> en.from_bytes(merge([partial(batches[:2]), partial([]), partial(batches[2:])])).mean()
    array([5.])
    """
    learner = TableLearner(columns, by, weights, threads)
    for batch in batches:
        learner.add(batch)
    return b"" if learner.state is None else learner.state.to_bytes()


def merge(states: Iterable[bytes]) -> bytes:
    """Return the sum of states that `partial` or `merge` has returned; no bytes if no state has any.

    Raises
    ------
    ValueError
        For states of other columns, or of groups and not of groups together.
    StateError
        For a damaged document, and for one that a later version of exactnorm has written.
    """
    return b"" if (total := add_up(_read(state) for state in states if state)) is None else total.to_bytes()


def _read(document: bytes) -> Any:
    state = from_bytes(document)
    if isinstance(state, Normalization):
        raise ValueError("expected the state of Moments or GroupedMoments, got a Normalization")
    return state
