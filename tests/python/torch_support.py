"""What the tests of exactnorm.torch share."""

from __future__ import annotations

from typing import Any

import exactnorm as en
import numpy as np
import torch
from exactnorm.torch import Normalization
from torch import Tensor

X = np.random.default_rng(0).normal(1000.0, 3.0, (500, 5)).astype(np.float32)


def tensor(x: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x))


def adapted(data: Any = X, **arguments: Any) -> Normalization:
    layer = Normalization(**arguments)
    layer.adapt(data)
    return layer


def plain(data: Any = X, **arguments: Any) -> en.Normalization:
    layer = en.Normalization(**arguments)
    layer.adapt(data)
    return layer


def state_of(layer: Normalization) -> tuple[Any, ...]:
    """All that a failure must leave as it was."""
    buffers = {name: buffer.numpy().tobytes() for name, buffer in layer.named_buffers()}
    return buffers, layer.get_extra_state().numpy().tobytes(), layer.is_adapted, layer.dtype
