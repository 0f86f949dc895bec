"""A state applied to a file, into another file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from exactnorm._frames import features_by_column
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm.cli._states import load_single
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
    state = load_single(state_path)
    names = state.names or ()
    reader = open_table(source, columns or names, as_text=is_csv(target))
    present = reader.schema.names
    with naming(state_path):
        features = _features_by_column(names, present, columns)
        layer = _layer(state, [name for column in features.values() for name in column], settings)
    missing = [column for column in features if column not in present]
    if missing:
        raise ValueError(f"{source}: no column {', '.join(map(repr, missing))}, which {state_path} has")
    kept = [name for name in present if name in features or not drop_others]
    with naming(source):
        read(reader, lambda opened: _write(layer, opened, kept, target, inverse=inverse))


def _features_by_column(
    names: Sequence[str], present: Sequence[str], columns: Sequence[str] | None
) -> dict[str, list[str]]:
    """Find the columns to normalize, and the features in each."""
    if not names:
        raise ValueError("the state does not name any columns: it was not learned from a table")
    features = features_by_column(names, present)
    for column in columns or ():
        if column not in features:
            raise ValueError(f"the state has no column {column!r}")
    return features if columns is None else {column: features[column] for column in columns}


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


def _write(
    layer: Normalization, reader: TableReader, columns: Sequence[str], target: str, *, inverse: bool
) -> None:
    before = pa.schema([reader.schema.field(name) for name in columns], reader.schema.metadata)
    after = layer.transform_frame(before.empty_table(), inverse=inverse).schema
    batches = (batch for batch in reader.batches(columns) if batch.num_rows > 0)
    write_table(target, after, (layer.transform_frame(batch, inverse=inverse) for batch in batches))
