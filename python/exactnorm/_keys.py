"""Keys of rows: integers or strings, from whatever holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from exactnorm import _core
from exactnorm._arrays import is_array
from exactnorm._extras import needs
from exactnorm._tables import is_lazy_frame, library_of, table_kind

_EXPECTED = "expected keys that are integers or strings, got {}"


class Keys(NamedTuple):
    """A key for each row."""

    codes: npt.NDArray[np.int64] | npt.NDArray[np.int32]
    """The keys themselves, in int64; or, in int32, their places in the dictionary."""
    dictionary: list[str] | None = None

    def core(self) -> _core.Keys:
        """Return them, for C++."""
        codes = np.require(self.codes, requirements=["C_CONTIGUOUS", "ALIGNED"])
        return _core.Keys(_core.View(codes, codes.dtype.name), self.dictionary)


def read_keys(keys: Any) -> Keys:
    """Read an array, a list, or a column of any library; ValueError for nulls, TypeError for other types."""
    library = library_of(keys)
    if library == "polars":
        return _from_polars(keys)
    if library == "pandas":
        return _from_pandas(keys)
    if hasattr(keys, "__arrow_c_stream__") or hasattr(keys, "__arrow_c_array__"):
        return _from_arrow(keys)
    if is_array(keys):
        return _from_numpy(keys if isinstance(keys, np.ndarray) else np.asarray(keys))
    if isinstance(keys, (str, bytes)) or not isinstance(keys, Iterable):
        raise TypeError(_EXPECTED.format(f"a {type(keys).__qualname__}"))
    return _from_objects(list(keys))


def split_table(x: Any, column: str, *, at_once: bool) -> Iterator[tuple[Any, Any]]:
    """Take the column of keys out of a table: pairs of what is left and the keys.

    One pair, but for what is read piece by piece, a polars query or an Arrow stream; unless all is wanted
    at once.
    """
    if is_lazy_frame(x):
        pieces = x.collect_batches() if hasattr(x, "collect_batches") and not at_once else [x.collect()]
        for frame in pieces:
            yield from split_table(frame, column, at_once=at_once)
        return
    if table_kind(x) is None:
        raise TypeError(
            f"keys={column!r} names a column of a table, and the data are a {type(x).__qualname__}"
        )
    library = library_of(x)
    if isinstance(x, Mapping):
        _check_column(column, list(x))
        yield {name: values for name, values in x.items() if name != column}, x[column]
    elif library == "pandas":
        _check_column(column, [str(label) for label in getattr(x, "columns", [])])
        labels = [label for label in x.columns if str(label) == column]
        yield x.drop(columns=labels), x[labels[0]]
    elif library == "polars":
        _check_column(column, getattr(x, "columns", []))
        yield x.drop(column), x[column]
    else:
        with needs("cli", "a column of keys in an Arrow stream"):
            import pyarrow as pa
        if isinstance(x, (pa.Table, pa.RecordBatch)):
            parts: Iterable[Any] = (x,)
        elif at_once:
            parts = (pa.table(x),)
        else:
            parts = pa.RecordBatchReader.from_stream(x)
        for part in parts:
            _check_column(column, part.schema.names)
            others = [name for name in part.schema.names if name != column]
            yield part.select(others), part.column(column)


def _check_column(column: str, names: list[str]) -> None:
    count = names.count(column)
    if count != 1:
        found = "no" if count == 0 else "more than one"
        raise ValueError(f"the table has {found} column {column!r} of keys; it has {', '.join(names)}")


def _no_nulls(count: int) -> None:
    if count > 0:
        raise ValueError(
            f"expected a key in every row, got {count:,} without (null): fill them, or leave those rows out"
        )


def _from_numpy(keys: npt.NDArray[Any]) -> Keys:
    if keys.ndim != 1:
        raise ValueError(f"expected keys of shape (rows,), got {keys.shape}")
    if isinstance(keys, np.ma.MaskedArray):
        _no_nulls(int(np.ma.getmaskarray(keys).sum()))
        keys = np.ma.getdata(keys)
    if keys.dtype.kind in "iu":
        return _integers(keys)
    if keys.dtype.kind in "UTO":
        return _from_objects(keys.tolist())
    raise TypeError(_EXPECTED.format(f"an array of dtype {keys.dtype}"))


def _integers(keys: npt.NDArray[Any]) -> Keys:
    if keys.dtype.kind == "u" and keys.dtype.itemsize == 8 and keys.size > 0:
        most = int(keys.max())
        if most > np.iinfo(np.int64).max:
            raise ValueError(f"expected keys below 2^63, got {most}")
    return Keys(keys.astype(np.int64, copy=False))


def _from_objects(keys: list[Any]) -> Keys:
    kinds = set(map(type, keys))
    missing = [kind for kind in kinds if kind is type(None)]
    if missing:
        _no_nulls(keys.count(None))
    if not kinds or all(issubclass(kind, (int, np.integer)) and kind is not bool for kind in kinds):
        try:
            return Keys(np.array([int(key) for key in keys], np.int64))
        except OverflowError:
            raise ValueError(f"expected keys from -2^63 to 2^63-1, got {max(keys, key=abs)}") from None
    if not all(issubclass(kind, str) for kind in kinds):
        names = ", ".join(sorted(kind.__qualname__ for kind in kinds))
        raise TypeError(_EXPECTED.format(f"objects of type {names}"))
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(key, len(places)) for key in keys), np.int32, len(keys))
    return Keys(codes, list(places))


def _from_pandas(keys: Any) -> Keys:
    if not hasattr(keys, "isna") or getattr(keys, "ndim", 1) != 1:
        raise TypeError(_EXPECTED.format(f"a {type(keys).__qualname__}"))
    _no_nulls(int(np.asarray(keys.isna()).sum()))
    dtype = keys.dtype
    kept_as = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "numpy_dtype", None)
    if isinstance(kept_as, np.dtype) and kept_as.kind in "iu":
        return _integers(keys.to_numpy(dtype=kept_as))
    if isinstance(kept_as, np.dtype) and kept_as.kind in "bfcmM":
        raise TypeError(_EXPECTED.format(f"a pandas column of dtype {dtype}"))
    codes, values = keys.factorize()
    return _decoded(np.asarray(codes), list(values))


def _from_polars(keys: Any) -> Keys:
    if not hasattr(keys, "null_count") or not hasattr(keys, "to_physical"):
        raise TypeError(_EXPECTED.format(f"a {type(keys).__qualname__}"))
    _no_nulls(keys.null_count())
    import polars as pl

    if keys.dtype.is_integer():
        return _integers(keys.to_numpy())
    if keys.dtype == pl.Enum:
        return Keys(keys.to_physical().cast(pl.Int32).to_numpy(), keys.dtype.categories.to_list())
    if keys.dtype in (pl.String, pl.Categorical):
        values = keys.unique().cast(pl.String)
        codes = keys.cast(pl.Enum(values)).to_physical()
        return Keys(codes.cast(pl.Int32).to_numpy(), values.to_list())
    raise TypeError(_EXPECTED.format(f"a polars column of dtype {keys.dtype}"))


def _from_arrow(keys: Any) -> Keys:
    with needs("cli", "keys in an Arrow array"):
        import pyarrow as pa
    array = keys if isinstance(keys, (pa.Array, pa.ChunkedArray)) else pa.chunked_array(keys)
    _no_nulls(array.null_count)
    kind = array.type
    if pa.types.is_integer(kind):
        return _integers(array.to_numpy())
    if pa.types.is_string_view(kind):
        array, kind = array.cast(pa.large_string()), pa.large_string()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        array = array.dictionary_encode()
    elif not pa.types.is_dictionary(kind):
        raise TypeError(_EXPECTED.format(f"an Arrow column of type {kind}"))
    if isinstance(array, pa.ChunkedArray):
        array = array.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # of no chunks
        return Keys(np.empty(0, np.int32), [])
    if array.dictionary.null_count:
        array = array.cast(array.type.value_type).dictionary_encode()
        _no_nulls(array.null_count)
    return _decoded(array.indices.to_numpy(), array.dictionary.to_pylist())


def _decoded(codes: npt.NDArray[Any], values: list[Any]) -> Keys:
    """Numbers of keys, and what the keys are."""
    distinct = _from_objects(values)
    if distinct.dictionary is None:
        return Keys(distinct.codes[codes] if len(values) else distinct.codes)
    if len(distinct.dictionary) < len(values):
        codes = distinct.codes[codes]
    return Keys(codes.astype(np.int32, copy=False), distinct.dictionary)
