"""Files into Moments, or into those of groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm.files._learning import Progress, Run
from exactnorm.files._locations import locate
from exactnorm.files._plan import Columns
from exactnorm.files._tables import open_array, with_stdin


def adapt(
    files: str | Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    by: str | None = None,
    weights: str | None = None,
    add_to: Moments | GroupedMoments | None = None,
    checkpoint: str | None = None,
    threads: int | None = None,
    on_bad_file: Callable[[str, Exception], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Moments | GroupedMoments:
    r"""Learn the columns of files, which may be larger than memory.

    Parameters
    ----------
    files : str or sequence of str
        Paths, patterns such as ``"2013-*.parquet"``, folders, also of hive partitions, URIs of pyarrow's
        filesystems, and ``"-"`` for standard input. Parquet, CSV and JSON lines (also .gz and .zst), Arrow
        IPC, .npy and .npz, by the endings of their names. All have the same columns.
    columns : sequence of str, optional
        Names, patterns (``"dep_*"``) and regular expressions between slashes (``"/(dep|arr)_delay/"``). The
        default is all columns of numbers, or those that `add_to` has.
    by : str, optional
        A column of keys, integers or text, of the files or of their folders (``month=1``): learns
        GroupedMoments.
    weights : str, optional
        A column of weights.
    add_to : Moments or GroupedMoments, optional
        What has been learned before. It stays as it is; the result has both.
    checkpoint : str, optional
        A folder in which to note what has been read. The same call after a crash goes on from there, and
        counts nothing twice; after it has ended, the same call reads only files that have come since.
    threads : int, optional
        How many decode and sum. The result does not depend on it.
    on_bad_file : callable, optional
        Gets the name of a file that cannot be read and the error; the file is left out. Without it, the error
        is raised.
    on_progress : callable, optional
        Is told how far reading has come.

    Returns
    -------
    Moments or GroupedMoments
        Of shape (features,) with the columns' names; of arrays (.npy), the shape of their last axis.

    Raises
    ------
    ValueError
        For columns that are missing or have other types in another file, values that are not of their
        column's type, damaged files, a file that has changed since a checkpoint, and a checkpoint of other
        arguments; the message names file and column.
    TypeError
        For columns that are not numbers.
    OSError
        For files that cannot be read, and a checkpoint that cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from exactnorm import files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for day, text in enumerate(["delay,km\n3,100\n", "delay,km\n5,100\n4,\n"]):
    ...         _ = pathlib.Path(folder, f"{day}.csv").write_text(text)
    ...     m = files.adapt(folder)
    >>> m.names, m.count.tolist()
    (('delay', 'km'), [3, 2])
    """
    locations = locate([files] if isinstance(files, str) else list(files))
    if not locations:
        raise ValueError("expected files, got none")
    if checkpoint is not None and any(location.is_stdin for location in locations):
        raise ValueError("standard input cannot be read again, so it goes with no checkpoint")
    with with_stdin(locations) as opened:
        run = Run(opened, threads, on_bad_file, on_progress)
        if open_array(opened[0]) is None:
            return run.tables(Columns(columns, by, weights), add_to, checkpoint)
        given = {"columns": columns, "by": by, "weights": weights, "a checkpoint": checkpoint}
        for what, value in given.items():
            if value is not None:
                raise ValueError(f"{opened[0].name}: an array without names goes without {what}")
        return run.arrays(add_to)
