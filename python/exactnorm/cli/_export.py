"""A state as what other programs serve."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from exactnorm._moments import Moments
from exactnorm._normalization import Normalization
from exactnorm._scale import layer_of
from exactnorm.cli._states import load_chosen


class Format(StrEnum):
    """Of what export writes."""

    onnx = "onnx"
    keras = "keras"
    c = "c"
    sql = "sql"
    json = "json"


OWN_OPTIONS = {
    "name": (Format.c,),
    "table": (Format.sql,),
    "columns": (Format.sql,),
    "keep": (Format.sql,),
    "input_dtype": (Format.onnx,),
    "inverse": (Format.onnx, Format.keras, Format.sql),
}
"""Which formats take an option that not all of them take."""


def exported(
    path: str,
    key: str | None,
    *,
    total: bool,
    form: Format,
    settings: Mapping[str, Any],
    own: Mapping[str, Any],
) -> bytes:
    """Return what a file of that format is to hold.

    Settings are arguments of Normalization, own are those of the format, as in `OWN_OPTIONS`.

    Raises
    ------
    ValueError
        Naming the state's file, if the format cannot hold it.
    ImportError
        If the format needs a package that is missing.
    """
    state = load_chosen(path, key, total=total)
    options = dict(own)
    inverse = options.pop("inverse", False)
    try:
        layer = layer_for(state, settings, inverse=inverse)
        return _WRITERS[form](layer, **options)
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: {error}") from error


def layer_for(
    state: Moments | Normalization, settings: Mapping[str, Any], *, inverse: bool = False
) -> Normalization:
    """Return a layer of these arguments that has learned what the state has, or the state if it is that."""
    if isinstance(state, Moments):
        rank = len(state.shape)
        axis: Any = None if rank == 0 else -1 if rank == 1 else tuple(range(-rank, 0))
        layer = Normalization(axis=axis, invert=inverse, **settings)
        layer.adapt(state)
        return layer
    if not settings and not inverse:
        return state
    plain = layer_of(state)
    config = plain.get_config()
    layer = Normalization(**{**config, **settings, "invert": plain.invert != inverse})
    layer.build([n if axis in plain._impl.axes else None for axis, n in enumerate(plain.mean.shape)])
    if config["mean"] is None:
        layer.adapt(plain.moments)
    return layer


def _onnx(layer: Normalization, input_dtype: str = "float32") -> bytes:
    from exactnorm.onnx import to_onnx

    return bytes(to_onnx(layer, input_dtype).SerializeToString())


def _keras(layer: Normalization) -> bytes:
    os.environ.setdefault("KERAS_BACKEND", "numpy")  # always there; the file does not tell
    from exactnorm.export import to_keras

    return to_keras(layer)


def _c(layer: Normalization, name: str = "exactnorm") -> bytes:
    from exactnorm.export import to_c

    return to_c(layer, name).encode()


def _sql(
    layer: Normalization,
    table: Sequence[str] = ("data",),
    columns: Sequence[str] | None = None,
    keep: Sequence[str] = (),
) -> bytes:
    from exactnorm.export import to_sql

    return (to_sql(layer, table, columns, keep=keep) + "\n").encode()


def _json(layer: Normalization) -> bytes:
    from exactnorm.export import to_json

    return to_json(layer).encode()


_WRITERS: dict[Format, Callable[..., bytes]] = {
    Format.onnx: _onnx,
    Format.keras: _keras,
    Format.c: _c,
    Format.sql: _sql,
    Format.json: _json,
}
