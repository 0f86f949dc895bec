"""exactnorm.distributed: what all engines do with the batches that they are given."""

from __future__ import annotations

import exactnorm as en
import numpy as np
import pyarrow as pa
import pytest
from exactnorm.distributed import merge, partial


def test_batches_of_groups_whose_schemas_differ() -> None:
    """Few rows beside many groups wait for others: not for such as cannot be put together with them."""
    keys = [f"k{i}" for i in range(1000)]
    x = np.arange(1000.0)
    strings, coded = pa.array(keys), pa.array(keys).dictionary_encode()
    required = pa.schema([pa.field("k", pa.string(), nullable=False), pa.field("x", pa.float64())])
    batches = [
        pa.record_batch({"k": strings, "x": x}),
        pa.record_batch({"k": strings, "x": x}),
        pa.record_batch({"k": coded, "x": x}),
        pa.record_batch({"k": strings, "x": x.astype(int)}),
        pa.record_batch([strings, pa.array(x)], schema=required),
        pa.record_batch({"k": strings, "x": x}, metadata={"of": "no matter"}),
    ]
    expected = en.GroupedMoments.from_data({"x": np.tile(x, 6)}, keys * 6)
    assert en.from_bytes(partial(batches, by="k")) == expected
    assert en.from_bytes(merge([partial(batches[i::2], by="k") for i in range(2)])) == expected


def test_a_string_is_no_sequence_of_columns() -> None:
    with pytest.raises(TypeError, match="expected a sequence of columns, got 'ab'"):
        partial([pa.record_batch({"a": [1.0], "b": [2.0]})], columns="ab")
