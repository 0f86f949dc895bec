"""Kinds of types that pyarrow has several of."""

from __future__ import annotations

import pyarrow as pa

_TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def is_text(kind: pa.DataType) -> bool:
    """Whether these are strings, of any layout, or indices of strings."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(is_of(kind) for is_of in _TEXT)
