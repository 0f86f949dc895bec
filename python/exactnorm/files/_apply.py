"""Files through a state, into files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from exactnorm._arguments import Policy, threads_of
from exactnorm.files._applying import Application, OnProgress, State, Wanted
from exactnorm.files._by_key import Unknown
from exactnorm.files._by_layer import How
from exactnorm.files._locations import (
    ENDINGS,
    STDIN,
    Location,
    filesystem_of,
    folder_before_pattern,
    format_of,
    locate,
)
from exactnorm.files._sinks import STDOUT
from exactnorm.files._tables import with_stdin

_STDOUT = {"csv": "csv", "arrow": "arrows"}


def apply(
    state: State | str | os.PathLike[str],
    source: str,
    target: str,
    *,
    columns: Sequence[str] | None = None,
    by: str | None = None,
    unknown: Unknown = "raise",
    inverse: bool = False,
    drop_others: bool = False,
    empty: Literal["refuse", "pass"] = "refuse",
    dtype: Literal["float16", "float32", "float64"] | None = None,
    nan_policy: Policy | None = None,
    inf_policy: Policy | None = None,
    constant_policy: Literal["epsilon", "unit", "raise"] | None = None,
    epsilon: float | None = None,
    stdout_format: Literal["csv", "arrow"] = "csv",
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> int:
    r"""Normalize the columns of files, which may be larger than memory, into other files.

    All else stays as it is: other columns, nulls, the order of rows and columns. Each column gets the bits
    that `Normalization.transform_frame` gives. What target was before stays if anything fails.

    Parameters
    ----------
    state : Moments, GroupedMoments, Normalization or path of a document
        Learned from a table, whose columns are found by name; or from an array, for arrays. The policies of
        a Normalization count where none are given here.
    source : str
        A path, pattern, folder or URI, or ``"-"`` for standard input, as for `adapt`. Several files are one
        table in the order of their names, with the columns that the names of folders below tell
        (``month=1``).
    target : str
        A file of any format of tables, by the ending of its name, also a URI; ``"-"`` for standard output.
        Or a folder, new or empty: if it ends with a slash, or if source is a folder and the name has no
        ending of a format. It gets a file for each of source, of the same format and relative name. A file
        may take its own place.
    columns : sequence of str, optional
        Names, patterns and regular expressions, as for `adapt`; the default is all that the state has.
    by : str, optional
        The column of keys, of GroupedMoments: each row is normalized with what its key has. It may be one
        that folders' names tell.
    unknown : {"raise", "global"}
        What a row gets whose key has not been learned, or that has none: an error, or the statistics of all
        keys together.
    inverse : bool, default False
        Go back: ``x * sd + mean``.
    drop_others : bool, default False
        Write only the columns to normalize.
    empty : {"refuse", "pass"}
        What becomes of a column of which no value has been learned: an error, or it passes as it is. With
        keys: of a value whose key has none for its column; it passes, in dtype.
    dtype, nan_policy, inf_policy, constant_policy, epsilon
        As for `Normalization`.
    stdout_format : {"csv", "arrow"}
        CSV, or a stream of Arrow IPC.
    threads : int, optional
        How many decode and compute.
    on_progress : callable, optional
        Is told how far reading has come.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    ValueError
        For states that do not fit, columns that are missing, keys that are not known, columns without a
        value, values that are not of their column's type, and damaged files. The message names file, row
        and column.
    TypeError
        For columns that are not numbers.
    OSError
        For files that cannot be read or written, and a folder that is not empty.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import exactnorm as en
    >>> from exactnorm import files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     monday, z = pathlib.Path(folder, "monday.csv"), pathlib.Path(folder, "z.csv")
    ...     _ = monday.write_text("day,delay\nMon,3\nMon,5\n")
    ...     rows = files.apply(files.adapt(str(monday)), str(monday), str(z))
    ...     print(rows, z.read_text())
    2 day,delay
    Mon,-1
    Mon,1
    <BLANKLINE>
    """
    for what, value, known in (
        ("unknown", unknown, ("raise", "global")),
        ("empty", empty, ("refuse", "pass")),
        ("stdout_format", stdout_format, tuple(_STDOUT)),
    ):
        if value not in known:
            raise ValueError(f"expected {what} to be {' or '.join(map(repr, known))}, got {value!r}")
    given = {
        "dtype": dtype,
        "nan_policy": nan_policy,
        "inf_policy": inf_policy,
        "constant_policy": constant_policy,
        "epsilon": epsilon,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    how = How(settings, inverse, empty, threads_of(threads) or None)
    wanted = Wanted(columns, by, unknown, drop_others)
    work = Application(state, how, wanted, on_progress)
    is_folder = _is_folder(source, target)
    form: tuple[str, str | None] = ("", None)
    if not is_folder:
        form = (_STDOUT[stdout_format], None) if target == STDOUT else _target_format(target)
    with with_stdin(locate([source])) as locations:
        base = _base(source, locations)
        if is_folder:
            work.into_folder(locations, base, target)
        else:
            work.into_file(locations, base, target, *form)
    return work.finish()


def _target_format(target: str) -> tuple[str, str | None]:
    """Return format and compression of a file to write. ValueError for one that cannot be written."""
    try:
        found = format_of(target)
    except ValueError:
        found = ("npz", None)
    if found[0] == "npz":
        endings = ", ".join(ending for ending in ENDINGS if ending != ".npz")
        raise ValueError(
            f"{target}: expected a name that ends in {endings}, or .gz or .zst after .csv or .jsonl"
        )
    return found


def _is_folder(source: str, target: str) -> bool:
    """Whether target is a folder. ValueError for a single file that has no name to have there."""
    if target.endswith("/"):
        if source == STDIN:
            raise ValueError(f"{target}: standard input has no name to have in a folder")
        return True
    filesystem, path = filesystem_of(source)
    if target == STDOUT or filesystem is not None or not Path(path).is_dir():
        return False
    try:
        format_of(target)
    except ValueError:
        return True
    return False


def _base(source: str, locations: Sequence[Location]) -> str:
    """Return the folder that source names, or the part of a pattern that is none."""
    filesystem, path = filesystem_of(source)
    if filesystem is None and Path(path).is_dir():
        return path
    if len(locations) == 1 and locations[0].path == path:
        return str(PurePosixPath(path).parent)
    return folder_before_pattern(path)
