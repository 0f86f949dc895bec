"""A layer as a query."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from exactnorm.export._features import Features, rows_of

_ELEMENT = re.compile(r"(.+)\[\d+\]")


def to_sql(
    layer: Any,
    table: str | Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    keep: Sequence[str] = (),
) -> str:
    """Return a SELECT of standard SQL that normalizes columns of a table.

    It lists the columns to keep and then the normalized ones, under their names. Numbers are doubles,
    whatever the columns' types, and results become REAL if the layer's dtype is float32: the bits are the
    layer's for columns of float64 and of integers of more than 16 bits. NULL stays NULL.

    Parameters
    ----------
    layer : Normalization
        Built, and adapted or with a given mean, keeping the last axis or none, of dtype float32 or float64;
        or an object whose method `to_exactnorm` returns one. With `invert` it goes back.
    table : str or sequence of str
        The table's name; or what qualifies it, and the name: ("schema", "table").
    columns : sequence of str, optional
        Which columns to normalize. A layer that has learned names finds its features by them; the default is
        all. A layer without names needs one column for each feature, in their order.
    keep : sequence of str
        Columns to select as they are.

    Returns
    -------
    str
        A query without a semicolon, so that it can be part of another.

    Raises
    ------
    RuntimeError
        If the layer is not built, or neither adapted nor given a mean.
    ValueError
        For a layer of other axes, of another dtype or of no features; for columns that the layer has not
        learned, are not distinct, or are not as many as its features; and naming the column for a feature
        like ``emb[0]``, an element of a list: standard SQL does not make lists. If a column has that very
        name, say so in `columns`.
    TypeError
        For what is no layer.

    Examples
    --------
    >>> import exactnorm as en
    >>> from exactnorm.export import to_sql
    >>> layer = en.Normalization(dtype="float64")
    >>> layer.adapt({"age": [31.0, 57.0], "income": [2.5, 3.5]})
    >>> print(to_sql(layer, "people", ["age"], keep=["id"]))
    SELECT
      "id",
      (CAST("age" AS DOUBLE PRECISION) - 44.0e0) / 13.0e0 AS "age"
    FROM "people"
    """
    features = rows_of(layer, "SQL")
    parts = [table] if isinstance(table, str) else list(table)
    if not parts or "" in parts:
        raise ValueError(f"expected the name of a table, got {table!r}")
    chosen = _chosen(features, columns)
    twice = sorted(set(keep) & set(chosen))
    if twice:
        raise ValueError(f"cannot keep the column {twice[0]!r} and normalize it under the same name")
    items = [_identifier(name) for name in keep]
    items += [
        f"{_result(features, i, _identifier(name))} AS {_identifier(name)}" for name, i in chosen.items()
    ]
    source = ".".join(map(_identifier, parts))
    return "SELECT\n  " + ",\n  ".join(items) + f"\nFROM {source}"


def _chosen(features: Features, columns: Sequence[str] | None) -> dict[str, int]:
    """Return the columns to normalize, and the number of each one's feature."""
    if columns is not None and len(set(columns)) < len(columns):
        raise ValueError(f"expected distinct columns, got {', '.join(columns)}")
    names = features.layer.names
    if names is None:
        if columns is None:
            raise ValueError("the layer has learned no names: say which columns its features are, in order")
        if len(columns) != len(features.labels):
            raise ValueError(f"expected {len(features.labels)} columns, one a feature, got {len(columns)}")
        return {name: i for i, name in enumerate(columns)}
    index = {name: i for i, name in enumerate(names)}
    if columns is None:
        for name in names:
            if element := _ELEMENT.fullmatch(name):
                raise ValueError(
                    f"column {element[1]!r} is a list, and {name!r} an element: standard SQL makes no lists, "
                    "choose other columns"
                )
        return index
    for name in columns:
        if name not in index:
            raise ValueError(f"the layer has not learned a column {name!r}")
    return {name: index[name] for name in columns}


def _result(features: Features, i: int, column: str) -> str:
    mean, divisor = (_number(float(part[i])) for part in (features.wide.mean, features.wide.divisor))
    value = f"CAST({column} AS DOUBLE PRECISION)"
    back = features.layer.invert
    result = f"{mean} + {value} * {divisor}" if back else f"({value} - {mean}) / {divisor}"
    return f"CAST({result} AS REAL)" if features.layer._impl.dtype == "float32" else result


def _number(value: float) -> str:
    """Return a double of SQL; an exponent keeps it from being a decimal."""
    if not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return f"CAST('{text}' AS DOUBLE PRECISION)"
    digits = repr(value)
    if "e" not in digits:
        digits += "e0"
    return f"({digits})" if digits.startswith("-") else digits


def _identifier(name: str) -> str:
    if "\0" in name:
        raise ValueError(f"no column or table of SQL is named {name!r}")
    return '"' + name.replace('"', '""') + '"'
