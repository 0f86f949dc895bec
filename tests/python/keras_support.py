"""What the tests of the Keras layers share. They run on the backend that KERAS_BACKEND names."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from exactnorm.keras import Normalization
from support import NDArray

BACKEND = keras.config.backend()
assert os.environ["KERAS_BACKEND"] == BACKEND
ULPS = {"tensorflow": 0, "torch": 2, "jax": 2}[BACKEND]
"""How far calls may be from numpy.

JAX multiplies by the reciprocal of the divisor, even eagerly; torch's roots are off by a unit in the last
place.
"""

X = np.array([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]], "float32")


def adapted(data: Any = X, **options: Any) -> Normalization:
    layer = Normalization(**options)
    layer.adapt(data)
    return layer


def built(shape: tuple[int | None, ...] = (None, 3), **options: Any) -> Normalization:
    layer = Normalization(**options)
    layer.build(shape)
    return layer


def values(x: Any) -> NDArray:
    """A tensor or variable of the backend, as numpy has it."""
    x = x.value if isinstance(x, keras.Variable) else x
    if BACKEND == "torch" and str(x.dtype) != "torch.bfloat16":
        x = x.detach()
        return x.numpy()  # type: ignore[no-any-return]
    array: NDArray = x.numpy() if BACKEND == "tensorflow" else keras.ops.convert_to_numpy(x)
    return array


def sequential(*layers: Any, shape: tuple[int | None, ...] = (3,)) -> Any:
    return keras.Sequential([keras.Input(shape), *layers])


def predict(model: Any, x: Any) -> NDArray:
    result: NDArray = model.predict(x, verbose=0)
    return result


def ulps_apart(a: NDArray, b: NDArray) -> int:
    """The greatest distance of two float32 arrays, in units of the last place."""
    assert a.dtype == b.dtype == np.float32
    assert a.shape == b.shape

    def ordered(x: NDArray) -> NDArray:
        bits = x.view(np.int32).astype(np.int64)
        return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)

    return int(np.abs(ordered(a) - ordered(b)).max(initial=0))
