"""JAX arrays as data, and the statistics inside jit: what docs/jax.md says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import exactnorm as en
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exactnorm._arrays import from_array
from support import NDArray, assert_same_bits

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(20_001, 7)) * np.exp(RNG.normal(size=7) * 4) + 100 * RNG.normal(size=7)).astype(
    np.float32
)
EPSILON = np.float32(1e-7)


def adapted(data: Any = X, **arguments: Any) -> en.Normalization:
    layer = en.Normalization(**arguments)
    layer.adapt(data)
    return layer


def statistics(layer: en.Normalization) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(layer.mean), jnp.asarray(np.maximum(np.sqrt(layer.variance), EPSILON))


def normalize(x: jax.Array, mean: jax.Array, divisor: jax.Array) -> jax.Array:
    return (x - mean) / divisor


def normalize_exactly(x: jax.Array, mean: jax.Array, divisor: jax.Array) -> jax.Array:
    divisor = jax.lax.optimization_barrier(jnp.broadcast_to(divisor, x.shape))
    return (x - mean) / divisor


def take_back(z: jax.Array, mean: jax.Array, divisor: jax.Array) -> jax.Array:
    return mean + z * divisor


def ulps(a: Any, b: Any) -> NDArray:
    """How many float32 numbers lie between a and b."""
    ordered = []
    for x in (a, b):
        bits = np.asarray(x).view(np.int32).astype(np.int64)
        ordered.append(np.where(bits < 0, -(bits & 0x7FFFFFFF), bits))
    return np.abs(ordered[0] - ordered[1])


def every_mantissa() -> tuple[NDArray, NDArray]:
    """Quotients of numbers in [1, 2): what XLA's reciprocal does to them holds at every exponent."""
    rng = np.random.default_rng(1)
    x, divisor = (1 + rng.integers(0, 2**23, shape) * 2.0**-23 for shape in ((1000, 4096), (1, 4096)))
    return x.astype(np.float32), divisor.astype(np.float32)


# ---- data


def test_arrays_are_read_where_they_are() -> None:
    x = jnp.asarray(X)
    assert from_array(x).values.ctypes.data == x.unsafe_buffer_pointer()
    half = x.astype(jnp.bfloat16)
    assert from_array(half).values.ctypes.data == half.unsafe_buffer_pointer()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint32", "bool"])
def test_same_state_and_bits_as_numpy(dtype: str) -> None:
    x = jnp.asarray(X).astype(dtype)
    ours, theirs = adapted(x), adapted(np.asarray(x))
    assert ours.moments.digest == theirs.moments.digest
    result = ours(x)
    assert isinstance(result, np.ndarray)
    assert_same_bits(result, theirs(np.asarray(x)))
    assert_same_bits(ours.inverse(jnp.asarray(result)), theirs.inverse(result))


def test_batches_tuples_and_dicts() -> None:
    x = jnp.asarray(X)
    expected = en.Moments.from_data(X)
    assert adapted([x[:5000], x[5000:]]).moments == expected
    assert adapted((x[i : i + 1000], None) for i in range(0, len(X), 1000)).moments == expected
    assert adapted({str(i): x[:, i] for i in range(7)}).moments.digest == expected.digest


def test_sharded_arrays() -> None:
    code = """
import jax, numpy as np, exactnorm as en
from jax.sharding import Mesh, NamedSharding, PartitionSpec
x = np.random.default_rng(0).normal(size=(1000, 3)).astype("float32")
sharding = NamedSharding(Mesh(jax.devices(), "d"), PartitionSpec("d"))
sharded = jax.device_put(x, sharding)
assert len(sharded.addressable_shards) == 2
whole = en.Moments.from_data(x)
assert en.Moments.from_data(sharded) == whole
assert sum((en.Moments.from_data(s.data) for s in sharded.addressable_shards), en.Moments(shape=3)) == whole
"""
    environment = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | environment)  # noqa: S603


def test_what_is_not_taken() -> None:
    layer = adapted()
    for data in (jnp.ones((3, 7), jnp.complex64), jax.random.key(0), jnp.ones((3, 7), jnp.float8_e4m3fn)):
        with pytest.raises(TypeError):
            layer.adapt(data)
    for transform in (jax.jit, jax.vmap):
        with pytest.raises(jax.errors.TracerArrayConversionError):
            transform(layer)(jnp.asarray(X))
    assert layer.moments == en.Moments.from_data(X)


# ---- the statistics inside JAX


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_normalizing_differs_by_one_ulp(compile_: Callable[[Any], Any]) -> None:
    layer = adapted()
    mean, divisor = statistics(layer)
    off = ulps(compile_(normalize)(jnp.asarray(X), mean, divisor), layer(X))
    assert off.max() <= 1
    x, d = every_mantissa()
    off = ulps(compile_(normalize)(jnp.asarray(x), jnp.float32(0), jnp.asarray(d)), x / d)
    assert off.max() <= 1
    assert 0.1 < (off > 0).mean() < 0.3  # as the page says: a quarter


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_behind_a_barrier_the_bits_are_ours(compile_: Callable[[Any], Any]) -> None:
    layer = adapted()
    mean, divisor = statistics(layer)
    assert_same_bits(np.asarray(compile_(normalize_exactly)(jnp.asarray(X), mean, divisor)), layer(X))
    x, d = every_mantissa()
    result = compile_(normalize_exactly)(jnp.asarray(x), jnp.float32(0), jnp.asarray(d))
    assert_same_bits(np.asarray(result), x / d)


def test_taking_back_is_fused_in_jit() -> None:
    layer = adapted()
    mean, divisor = statistics(layer)
    z = layer(X)
    exact = layer.inverse(z)
    assert_same_bits(np.asarray(take_back(jnp.asarray(z), mean, divisor)), exact)
    fused = np.asarray(jax.jit(take_back)(jnp.asarray(z), mean, divisor))
    largest = np.maximum(np.maximum(np.abs(layer.mean), np.abs(z * np.asarray(divisor))), np.abs(exact))
    off = np.abs(fused.astype(np.float64) - exact) / np.spacing(largest)
    assert off.max() <= 1
    assert off.max() > 0


def test_gradients() -> None:
    mean, divisor = statistics(adapted())
    gradient = jax.grad(lambda x: normalize(x, mean, divisor).sum())(jnp.asarray(X))
    assert np.abs(np.asarray(gradient) * np.asarray(divisor) - 1).max() < 1e-6


def test_float64_data_need_numpy_or_x64() -> None:
    """What the page warns of: jnp.asarray makes them float32, before anybody has counted."""
    seconds = np.array([[1.7e9], [1.7e9 + 1.0]])
    assert adapted(seconds)(seconds).ravel().tolist() == [-1.0, 1.0]
    with pytest.warns(UserWarning, match="float64"):
        narrowed = jnp.asarray(seconds, dtype=np.float64)
    assert adapted(narrowed).variance == 0
