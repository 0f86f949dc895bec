"""Whatever road the data took, the digest is the same, and what is made of them has the same bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import exactnorm as en
import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import duckdb
    import exactnorm.keras
    import exactnorm.onnx
    import exactnorm.sklearn
    import exactnorm.tf_keras
    import exactnorm.torch
    import jax
    import onnxruntime
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    import tensorflow as tf
    import torch

ROWS, FEATURES = 5000, 7
NAMES = [f"x{i}" for i in range(FEATURES)]


def data() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Columns of very different sizes, with values of the largest and the smallest exponents that occur."""
    x = np.random.default_rng(7).normal(size=(ROWS, FEATURES)) * np.logspace(-2, 8, FEATURES) + 3
    return x.astype(np.float32)


X = data()
DIGEST = en.Moments.from_data(X).digest
TABLE = {name: X[:, i] for i, name in enumerate(NAMES)}


def adapted(layer: Any, source: Any) -> str:
    layer.adapt(source)
    return str(layer.moments.digest)


def relation() -> Any:
    table = pa.table(TABLE)
    return duckdb.connect().from_arrow(table)


ROADS: dict[str, Callable[[], str]] = {
    "batches": lambda: en.Moments.from_data(X[i : i + 33] for i in range(0, ROWS, 33)).digest,
    "reversed rows": lambda: en.Moments.from_data(X[::-1]).digest,
    "float64": lambda: en.Moments.from_data(X.astype(np.float64)).digest,
    "layer": lambda: adapted(en.Normalization(), X),
    "dict": lambda: en.Moments.from_data(TABLE).digest,
    "pandas": lambda: en.Moments.from_data(pd.DataFrame(TABLE)).digest,
    "polars": lambda: en.Moments.from_data(pl.DataFrame(TABLE)).digest,
    "pyarrow": lambda: en.Moments.from_data(pa.table(TABLE)).digest,
    "duckdb": lambda: en.Moments.from_data(relation()).digest,
    "jax": lambda: en.Moments.from_data(jax.numpy.asarray(X)).digest,
    "torch tensor": lambda: adapted(exactnorm.torch.Normalization(), torch.from_numpy(X)),
    "DataLoader": lambda: adapted(
        exactnorm.torch.Normalization(),
        torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.from_numpy(X), torch.zeros(ROWS)),
            batch_size=64,
            shuffle=True,
        ),
    ),
    "tf.data": lambda: en.Moments.from_data(tf.data.Dataset.from_tensor_slices(X).batch(32)).digest,
    "tf.data of (x, y)": lambda: adapted(
        exactnorm.keras.Normalization(),
        tf.data.Dataset.from_tensor_slices((X, np.zeros(ROWS))).shuffle(ROWS).batch(100),
    ),
    "Keras layer": lambda: adapted(exactnorm.keras.Normalization(), X),
    "tf_keras layer": lambda: adapted(exactnorm.tf_keras.Normalization(), X),
    "StandardScaler": lambda: exactnorm.sklearn.StandardScaler().fit(X).moments_.digest,
    "StandardScaler, frame": lambda: (
        exactnorm.sklearn.StandardScaler().fit(pd.DataFrame(TABLE)).moments_.digest
    ),
    "a document": lambda: en.from_bytes(en.Moments.from_data(X).to_bytes()).digest,
}


@pytest.mark.parametrize("road", ROADS)
def test_every_road_gives_the_same_digest(road: str) -> None:
    assert ROADS[road]() == DIGEST


def from_onnx_runtime(layer: Any) -> Any:
    model = exactnorm.onnx.to_onnx(layer)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})[0]


@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
def test_every_framework_gives_the_same_bits(constant_policy: str) -> None:
    options: dict[str, Any] = {"constant_policy": constant_policy}
    plain = en.Normalization(**options)
    plain.adapt(X)
    expected = plain(X)
    mean, variance = X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
    np.testing.assert_allclose(expected, (X - mean) / np.sqrt(variance), rtol=1e-3, atol=1e-5)
    results: dict[str, Any] = {"ONNX Runtime": from_onnx_runtime(plain)}
    for name, module in (
        ("Keras", exactnorm.keras),
        ("tf_keras", exactnorm.tf_keras),
        ("torch", exactnorm.torch),
    ):
        layer = module.Normalization(**options)
        layer.adapt(X)
        results[name] = np.asarray(
            layer(torch.from_numpy(X) if module is exactnorm.torch else tf.constant(X))
        )
        results[f"{name}, by ONNX"] = from_onnx_runtime(layer)
        results[f"{name}, taken out"] = layer.to_exactnorm()(X)
    if constant_policy == "unit":
        scaler = exactnorm.sklearn.StandardScaler().fit(X)
        results["StandardScaler"] = scaler.transform(X)
        results["StandardScaler, by ONNX"] = from_onnx_runtime(scaler)
    for name, result in results.items():
        assert result.dtype == np.float32, name
        np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32), err_msg=name)
