"""What Spark's workers do with Arrow batches; `exactnorm.spark._shipping` brings them here.

Not in `exactnorm.spark`, which imports pyspark.ml: no worker needs that.

Columns have numbers for names on the way, since Spark takes names apart at dots; `names` are the right ones.
"""

from __future__ import annotations

import contextlib
import functools
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from pyarrow.fs import FileSystem
from pyarrow.parquet import ParquetFile

from exactnorm._core import StateError
from exactnorm._documents import from_bytes
from exactnorm.distributed import merge, partial

STATES = "state binary, error string"
ERRORS = {kind.__name__: kind for kind in (StateError, OSError, TypeError, ValueError, RuntimeError)}
_ROWS = 1 << 16
_AT_ONCE = 128 << 20  # bytes of a row group that is read whole
_SCHEMA = pa.schema({"state": pa.binary(), "error": pa.string()})


# Some row groups of a Parquet file: its path, the first, and the step to the next. A plain tuple, since a
# class of exactnorm's would have to be imported before a worker can say that it has another version.
Part = tuple[str, int, int]


def learn(
    batches: Iterable[pa.RecordBatch],
    names: Sequence[str],
    widths: Mapping[str, int],
    columns: Sequence[str],
    by: str | None,
    weights: str | None,
) -> Iterator[pa.RecordBatch]:
    """Give the state of a partition as a row of STATES, or no row."""
    tables = (_with_vectors(batch.rename_columns(list(names)), widths) for batch in batches if batch.num_rows)
    yield from _row(lambda: partial(tables, columns=columns, by=by, weights=weights))


def learn_files(
    batches: Iterable[pa.RecordBatch],
    names: Sequence[str],
    widths: Mapping[str, int],
    columns: Sequence[str],
    by: str | None,
    weights: str | None,
    shares: Sequence[Sequence[Part]],
) -> Iterator[pa.RecordBatch]:
    """Give the state of shares of Parquet files, of which the batches have the numbers."""
    chosen = (part for batch in batches for number in batch.column(0).to_pylist() for part in shares[number])
    tables = (_with_vectors(table, widths) for part in chosen for table in _read(part, list(names)))
    yield from _row(lambda: partial(tables, columns=columns, by=by, weights=weights))


def parts_of(paths: Iterable[str], size: int) -> list[Part]:
    """Cut files into parts of about that many bytes. OSError naming a file that is not there."""
    parts = []
    for path in paths:
        with _naming(path):
            system, place = _place(path)
            step = 1 + system.get_file_info(place).size // size
        parts += [(path, first, step) for first in range(step)]
    return parts


def _place(path: str) -> tuple[FileSystem, str]:
    """Return where a URI leads to: Java leaves letters in it that have no place in one."""
    found: tuple[FileSystem, str] = FileSystem.from_uri(quote(path, safe=string.punctuation))
    return found


def _read(part: Part, names: list[str]) -> Iterator[pa.RecordBatch]:
    path, first, step = part
    with _naming(path):
        system, place = _place(path)
        with ParquetFile(system.open_input_file(place)) as file:
            missing = [name for name in names if name not in file.schema_arrow.names]
            if missing:
                raise ValueError(f"{path}: no column {missing[0]!r}")
            how = {"columns": names, "use_threads": False}
            for group in range(first, file.num_row_groups, step):
                if file.metadata.row_group(group).total_byte_size <= _AT_ONCE:  # is faster
                    yield from file.read_row_group(group, **how).to_batches()
                else:
                    yield from file.iter_batches(_ROWS, row_groups=[group], **how)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise OSError(f"{path}: {error}") from error


def add_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give the sum of rows of STATES as one, or their first error."""
    yield from _row(lambda: merge(_states(batches)))


def apply(
    batches: Iterable[pa.RecordBatch],
    names: Sequence[str],
    widths: Mapping[str, int],
    document: bytes,
    columns: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """Give each batch with columns normalized by the layer of a document."""
    layer = _layer(document)
    for batch in batches:
        if batch.num_rows > 0:
            vectors = _with_vectors(batch.rename_columns(list(names)), widths)
            result = layer.transform_frame(vectors, columns, threads=1)
            yield _with_lists(result, widths).rename_columns(batch.schema.names)


class Reported(Exception):  # noqa: N818 - it is what a worker has reported
    """The error that a row of STATES has."""


def _states(batches: Iterable[pa.RecordBatch]) -> Iterator[bytes]:
    for batch in batches:
        for state, error in zip(batch.column("state"), batch.column("error"), strict=True):
            if error.is_valid:
                raise Reported(error.as_py())
            yield state.as_py()


def _row(work: Any) -> Iterator[pa.RecordBatch]:
    """Give a row of STATES. Errors of the data travel that way: raised, Spark would try again."""
    try:
        state, error = work(), None
    except Reported as reported:
        state, error = None, str(reported)
    except tuple(ERRORS.values()) as raised:
        kind = next(name for name, error_type in ERRORS.items() if isinstance(raised, error_type))
        state, error = None, f"{kind}: {raised}"
    if state != b"":
        yield pa.RecordBatch.from_pydict({"state": [state], "error": [error]}, schema=_SCHEMA)


@functools.lru_cache(maxsize=8)
def _layer(document: bytes) -> Any:
    """Spark's workers do many tasks: each layer is read once."""
    return from_bytes(document)


def _with_vectors(batch: pa.RecordBatch, widths: Mapping[str, int]) -> pa.RecordBatch:
    """Give the lists of these columns a fixed size, which makes features of their elements."""
    for name, width in widths.items():
        i = batch.schema.get_field_index(name)
        lists = batch.column(i)
        try:
            vectors = lists.cast(pa.list_(lists.type.value_type, width))
        except pa.ArrowInvalid:
            sizes = {len(row) for row in lists if row.is_valid}
            raise ValueError(
                f"column {name!r} has rows of {' and '.join(map(str, sorted(sizes | {width})))} numbers: "
                "expected as many in every row"
            ) from None
        batch = batch.set_column(i, name, vectors)
    return batch


def _with_lists(batch: pa.RecordBatch, widths: Mapping[str, int]) -> pa.RecordBatch:
    for name in widths:
        i = batch.schema.get_field_index(name)
        vectors = batch.column(i)
        batch = batch.set_column(i, name, vectors.cast(pa.list_(vectors.type.value_type)))
    return batch
