"""A state applied to a file, into another file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from exactnorm._documents import load
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.files import TableReader, is_csv, naming, open_table, read, write_table


def normalize(
    state_path: str,
    source: str,
    target: str,
    *,
    columns: Sequence[str] | None,
    settings: Mapping[str, Any],
    inverse: bool,
    drop_others: bool,
) -> None:
    """Write source to target, with the state's columns, or only these of them, normalized.

    Settings are arguments of Normalization. Source and target may be the same file.
    """
    state = load(state_path)
    names = state.names or ()
    reader = open_table(source, columns or names, as_text=is_csv(target))
    present = reader.schema.names
    with naming(state_path):
        features = _features_by_column(names, present, columns)
        layer = _layer(state, [name for column in features.values() for name in column], settings)
    missing = [column for column in features if column not in present]
    if missing:
        raise ValueError(f"{source}: no column {', '.join(map(repr, missing))}, which {state_path} has")
    application = _Application(layer, features, inverse=inverse)
    kept = [name for name in present if name in features or not drop_others]
    with naming(source):
        read(reader, lambda opened: application.write(opened, kept, target))


def _features_by_column(
    names: Sequence[str], present: Sequence[str], columns: Sequence[str] | None
) -> dict[str, list[str]]:
    """Find the columns to normalize, and the features in each: emb[0], emb[1], … belong to a column emb."""
    if not names:
        raise ValueError("the state does not name any columns: it was not learned from a table")
    features: dict[str, list[str]] = {}
    for name in names:
        stem = name.rpartition("[")[0]
        is_element = name.endswith("]") and stem in present and name not in present
        features.setdefault(stem if is_element else name, []).append(name)
    for column in columns or ():
        if column not in features:
            raise ValueError(f"the state has no column {column!r}")
    if columns is not None:
        features = {column: features[column] for column in columns}
    return features


def _layer(
    state: Moments | Normalization, names: Sequence[str], settings: Mapping[str, Any]
) -> Normalization:
    """Make a layer for tables of these features, or return the state itself if it is that."""
    config, moments = ({}, state) if isinstance(state, Moments) else (state.get_config(), state.moments)
    config = {**config, **settings, "axis": -1}
    if config.get("dtype") == "bfloat16":
        raise ValueError("files do not hold the layer's bfloat16: choose a type with --dtype")
    if isinstance(state, Normalization) and not settings and tuple(names) == state.names:
        return state
    layer = Normalization(**config)
    index = {name: i for i, name in enumerate(moments.names or ())}
    layer.adapt(Moments._of(moments._impl.select([index[name] for name in names])))
    return layer


class _Application:
    """A layer, and the columns that it is for."""

    def __init__(self, layer: Normalization, features: Mapping[str, Sequence[str]], *, inverse: bool) -> None:
        self._call = layer.inverse if inverse else layer
        self._type = pa.type_for_alias(layer.get_config()["dtype"])
        index = {name: i for i, name in enumerate(layer.names or ())}
        self._places = {column: [index[name] for name in names] for column, names in features.items()}

    def write(self, reader: TableReader, kept: Sequence[str], target: str) -> None:
        """Write these columns of a file."""
        schema = pa.schema([self._field(reader.schema.field(name)) for name in kept], reader.schema.metadata)
        batches = (batch for batch in reader.batches(kept) if batch.num_rows > 0)
        write_table(target, schema, (self._normalized(batch, schema) for batch in batches))

    def _field(self, field: pa.Field) -> pa.Field:
        if field.name not in self._places:
            return field
        is_list = pa.types.is_fixed_size_list(field.type)
        return field.with_type(pa.list_(self._type, field.type.list_size) if is_list else self._type)

    def _normalized(self, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
        values = self._call(batch.select(list(self._places)))
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name, places in self._places.items():
            columns[name] = _with_nulls_of(columns[name], values[:, places])
        return pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)


def _with_nulls_of(column: pa.Array, values: np.ndarray[Any, Any]) -> pa.Array:
    """Return values of shape (rows, features) as a column."""
    if pa.types.is_fixed_size_list(column.type):
        width = column.type.list_size
        elements = column.values.slice(column.offset * width, len(column) * width)
        nulls = column.is_null() if column.null_count else None
        flat = _with_nulls_of(elements, values.reshape(-1, 1))
        return pa.FixedSizeListArray.from_arrays(flat, width, mask=nulls)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    nulls = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
    return pa.array(np.ascontiguousarray(values[:, 0]), mask=nulls)
