"""Moments of Ray datasets, a layer's call on them, and a preprocessor: in their blocks.

A block's state is computed where the block is, and states are added up in a tree of tasks. What comes out is,
to the bit, what `exactnorm.Moments.from_data` learns from the same values on one machine.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Self

from exactnorm._arguments import columns_of
from exactnorm._documents import from_bytes
from exactnorm._extras import needs
from exactnorm._grouped import GroupedMoments
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.distributed import merge, partial

with needs("ray", "exactnorm.ray"):
    import pyarrow as pa
    import ray
    from ray.data import Dataset
    from ray.data.preprocessor import Preprocessor, SerializablePreprocessorBase
    from ray.data.preprocessors.version_support import SerializablePreprocessor

__all__ = ["ExactStandardScaler", "adapt", "transform"]

_STATES_PER_TASK = 16

# Blocks as they are, whole: Ray's conversion of pandas to Arrow makes nulls of NaN.
_BLOCKS = {"batch_size": None, "batch_format": None, "zero_copy_batch": True}


def adapt(
    ds: Dataset, columns: Sequence[str] | None = None, by: str | None = None, weights: str | None = None
) -> Moments | GroupedMoments:
    """Learn the Moments of a dataset: now, as its own `mean` and `std` do.

    Parameters
    ----------
    ds : ray.data.Dataset
        Of Arrow or pandas blocks. If Ray does not know its columns yet, it runs the first block to see them.
    columns : sequence of str, optional
        What to learn. The default is all columns but those of keys and weights.
    by : str, optional
        The column of keys, integers or strings. There are Moments for every key then.
    weights : str, optional
        The column of weights.

    Returns
    -------
    Moments, or with `by` GroupedMoments

    Raises
    ------
    ValueError
        For columns that are not there, before the dataset runs; and for a dataset of no rows whose columns
        Ray does not know, without `columns` or with `by`.
    TypeError
        For columns that are not numbers or booleans, before the dataset runs.
    StateError
        If workers have different exactnorms, and one does not know the documents of another.
    ray.exceptions.RayTaskError
        With the message of the error, when a task fails: for what `Moments.from_data` refuses in the values.

    Examples
    --------
    >>> import ray
    >>> from exactnorm.ray import adapt
    >>> ds = ray.data.from_items([{"delay": 3.0}, {"delay": 5.0}])
    >>> adapt(ds).mean()
    array([4.])
    """
    if columns is not None:
        columns = columns_of(columns)
        if by is None and isinstance(ds, Dataset) and ds.schema() is None:
            names = [*columns, *([] if weights is None else [weights])]
            no_rows = pa.table({name: pa.array([], pa.float64()) for name in names})
            empty: Any = from_bytes(partial([no_rows], columns=columns, weights=weights))
            return empty
    no_rows = _no_rows(ds)
    others = [name for name in (by, weights) if name is not None]
    if columns is None:
        columns = [name for name in ds.columns() if name not in others]
    how: dict[str, Any] = {"columns": columns, "by": by, "weights": weights}
    nothing = partial([no_rows], **how)  # what is wrong with the columns is said now
    states = ds.select_columns(list(dict.fromkeys([*columns, *others]))).map_batches(
        _state, fn_kwargs=how, **_BLOCKS
    )
    tables = states.to_arrow_refs()
    add_up = ray.remote(_add_up)
    while len(tables) > 1:
        groups = [tables[i : i + _STATES_PER_TASK] for i in range(0, len(tables), _STATES_PER_TASK)]
        tables = [add_up.remote(*group) for group in groups]
    total = [state for table in ray.get(tables) for state in _states(table)]
    learned: Any = from_bytes(merge(total) or nothing)
    return learned


def _state(block: Any, columns: Sequence[str], by: str | None, weights: str | None) -> pa.Table:
    return _table(partial([block], columns=columns, by=by, weights=weights))


def _add_up(*tables: pa.Table) -> pa.Table:
    return _table(merge(state for table in tables for state in _states(table)))


def _table(state: bytes) -> pa.Table:
    return pa.table({"state": pa.array([state], pa.large_binary())})


def _states(table: pa.Table) -> list[bytes]:
    return table.column("state").to_pylist() if table.num_rows > 0 else []


def transform(ds: Dataset, layer: Normalization, columns: Sequence[str] | None = None) -> Dataset:
    """Normalize columns of a dataset, block by block, when it is read.

    Parameters
    ----------
    ds : ray.data.Dataset
        Of Arrow or pandas blocks. Ray makes Arrow blocks of the results, and then nulls of pandas' NaN.
    layer : exactnorm.Normalization
        As it is now: what it learns later changes nothing.
    columns : sequence of str, optional
        What to normalize, as for `Normalization.transform_frame`.

    Returns
    -------
    ray.data.Dataset
        With the other columns as they were. The bits are those of ``layer.transform_frame``. The order of
        rows is kept within blocks, and as for any map of Ray that of blocks if the context's
        ``execution_options.preserve_order`` is set.

    Raises
    ------
    ValueError
        Before the dataset runs, for columns that are not the layer's.
    TypeError
        Before the dataset runs, for columns that are not numbers or booleans.

    Examples
    --------
    >>> import ray
    >>> import exactnorm as en
    >>> from exactnorm.ray import adapt, transform
    >>> ds = ray.data.from_items([{"delay": 3.0}, {"delay": 5.0}])
    >>> layer = en.Normalization()
    >>> layer.adapt(adapt(ds))
    >>> transform(ds, layer).take_all()
    [{'delay': -1.0}, {'delay': 1.0}]
    """
    if not isinstance(layer, Normalization):
        raise TypeError(f"expected an exactnorm.Normalization, got a {_kind(layer)}")
    how: dict[str, Any] = {
        "layer": copy.copy(layer),
        "columns": columns if columns is None else columns_of(columns),
    }
    _transform(_no_rows(ds), **how)
    return ds.map_batches(_transform, fn_kwargs=how, **_BLOCKS)


def _transform(block: Any, layer: Normalization, columns: Sequence[str] | None) -> Any:
    return layer.transform_frame(block, columns, threads=1)


def _no_rows(ds: Dataset) -> Any:
    """Return a table or frame with the columns of a dataset."""
    if not isinstance(ds, Dataset):
        raise TypeError(f"expected a ray.data.Dataset, got a {_kind(ds)}")
    schema = ds.schema()
    if schema is None:
        raise ValueError("expected a dataset with columns, got one of no rows and no schema")
    if isinstance(schema.base_schema, pa.Schema):
        return schema.base_schema.empty_table()
    pd = import_module("pandas")
    columns = zip(schema.base_schema.names, schema.base_schema.types, strict=True)
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in columns})


def _kind(x: object) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"


@SerializablePreprocessor(version=1, identifier="exactnorm.ray.ExactStandardScaler")
class ExactStandardScaler(SerializablePreprocessorBase):
    """Subtract the mean of columns and divide by their standard deviation: Ray's StandardScaler, exact.

    It takes the place of `ray.data.preprocessors.StandardScaler`. The statistics are those of exact sums,
    rounded once: blocks, retries and the cluster change no bit. NaN and nulls are left out, and stay what
    they are. A column whose values are all equal gives zeros.

    Parameters
    ----------
    columns : list of str
        What to learn and to scale.
    output_columns : list of str, optional
        Where to put the results, one for each of columns; the default is in their place.
    dtype : {"float64", "float32", "float16"}
        Of the results.

    Attributes
    ----------
    stats_ : dict
        ``mean(column)`` and ``std(column)`` of each column, as Ray's scaler has them.

    Examples
    --------
    >>> import ray
    >>> from exactnorm.ray import ExactStandardScaler
    >>> ds = ray.data.from_items([{"delay": 3.0}, {"delay": 5.0}])
    >>> scaler = ExactStandardScaler(["delay"]).fit(ds)
    >>> scaler.stats_
    {'mean(delay)': 4.0, 'std(delay)': 1.0}
    >>> scaler.transform(ds).take_all()
    [{'delay': -1.0}, {'delay': 1.0}]
    """

    def __init__(
        self, columns: list[str], output_columns: list[str] | None = None, dtype: str = "float64"
    ) -> None:
        super().__init__()
        self._columns = list(columns)
        self._output_columns = Preprocessor._derive_and_validate_output_columns(self._columns, output_columns)
        self._layer = Normalization(dtype=dtype, nan_policy="omit", constant_policy="unit")

    @property
    def moments_(self) -> Moments:
        """A copy of the exact sums that were learned."""
        return self._layer.moments

    def _fit(self, ds: Dataset) -> Self:
        moments = adapt(ds, self._columns)
        self._layer.adapt(moments)
        for what in ("mean", "std"):
            values = getattr(moments, what)(nan_policy="omit").tolist()
            self.stats_ |= {
                f"{what}({name})": value for name, value in zip(moments.names or (), values, strict=True)
            }
        return self

    def _transform_arrow(self, table: pa.Table) -> pa.Table:
        scaled = _transform(table.select(self._columns), self._layer, None)
        for name, output in zip(self._columns, self._output_columns, strict=True):
            place = table.schema.get_field_index(output)
            values = scaled.column(name)
            table = (
                table.append_column(output, values) if place < 0 else table.set_column(place, output, values)
            )
        return table

    def _get_serializable_fields(self) -> dict[str, Any]:
        return {
            "columns": self._columns,
            "output_columns": self._output_columns,
            "layer": self._layer.to_bytes(),
        }

    def _set_serializable_fields(self, fields: dict[str, Any], version: int) -> None:  # noqa: ARG002
        self._columns, self._output_columns = fields["columns"], fields["output_columns"]
        self._layer = Normalization._from_document(fields["layer"])
