"""exactnorm.torch.Normalization traced: torch.compile, torch.export."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch_support
from exactnorm.torch import Normalization
from support import assert_same_bits, finite_values
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend
from torch_support import adapted, tensor

X = tensor(torch_support.X)
ROWS = {"x": {0: torch.export.Dim("rows")}}


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("invert", [False, True])
def test_one_graph_for_all_batches_and_statistics(invert: bool) -> None:
    layer = adapted(invert=invert)
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(layer, fullgraph=True, backend=counter, dynamic=True)
    for rows in (500, 7, 64, 30):
        x = X[:rows].clone()  # of views, torch guards the base too
        assert torch.equal(compiled(x), layer(x))
    layer.adapt(X * 2)
    assert torch.equal(compiled(X), layer(X))
    assert counter.frame_count == 1


def test_the_inverse_compiles_too() -> None:
    layer = adapted(dtype=torch.float16)
    compiled = torch.compile(layer.inverse, fullgraph=True, backend="aot_eager")
    for x in (X, X.half(), X.double(), X.to(torch.int32)):
        assert torch.equal(compiled(x), layer.inverse(x))


def test_gradients() -> None:
    layer = adapted()
    compiled = torch.compile(torch.nn.Sequential(layer), fullgraph=True, backend="aot_eager")
    x = X.clone().requires_grad_()
    (ours,) = torch.autograd.grad(compiled(x).square().sum(), x)
    (expected,) = torch.autograd.grad(layer(x).square().sum(), x)
    assert torch.equal(ours, expected)


def test_inductor_gives_the_same_bits_on_the_cpu() -> None:
    """Of docs/torch.md. It fuses, but contracts no product and sum into an fma."""
    rng = np.random.default_rng(1)
    data = (rng.normal(size=(1000, 9)) * np.exp(rng.normal(size=9) * 10)).astype(np.float32)
    layer = adapted(data)
    hard = torch.from_numpy(np.concatenate([data, finite_values("float32", (5000, 9), 2)]))

    @torch.compile(fullgraph=True)
    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        return layer(x), layer.inverse(x)

    for ours, eager in zip(both(hard), (layer(hard), layer.inverse(hard)), strict=True):
        assert_same_bits(ours.numpy(), eager.numpy())


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("invert", "operations"), [(False, ["sub", "div"]), (True, ["mul", "add"])])
def test_export(strict: bool, invert: bool, operations: list[str]) -> None:
    layer = adapted(invert=invert)
    program = torch.export.export(layer, (X,), dynamic_shapes=ROWS, strict=strict)
    calls = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert [call._schema.name for call in calls] == [f"aten::{name}" for name in operations]
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    exported = torch.export.load(file).module()
    for rows in (500, 3):
        assert torch.equal(exported(X[:rows]), layer(X[:rows]))
    layer.adapt(X * 2)
    assert not torch.equal(exported(X), layer(X))  # what was exported stays as it is


def test_not_built() -> None:
    layer = Normalization(mean=1.0, variance=4.0)
    with pytest.raises(RuntimeError, match="the layer is not built: call build or adapt before it is traced"):
        torch.export.export(layer, (X,))
    with pytest.raises(torch._dynamo.exc.Unsupported, match="the layer is not built: call build or adapt"):
        torch.compile(layer, fullgraph=True, backend="eager")(X)
    compiled = torch.compile(layer, backend="eager")  # without fullgraph, the first call builds it
    assert torch.equal(compiled(X), (X - 1) / 2)
    assert layer.built


def test_a_layer_not_adapted_is_the_identity_and_no_graph_warns() -> None:
    layer = Normalization()
    layer.build((None, 5))
    assert torch.equal(torch.compile(layer, fullgraph=True, backend="eager")(X), X)
    with pytest.warns(RuntimeWarning, match="not adapted"):
        layer(X)


def test_other_shapes() -> None:
    layer = adapted()
    wrong = X[:, :4]
    message = r"built for inputs of shape \(None, 5\), got shape \(500, 4\)"
    with pytest.raises(ValueError, match=message):
        torch.export.export(layer, (wrong,))
    with pytest.raises(torch._dynamo.exc.Unsupported, match=message):
        torch.compile(layer, fullgraph=True, backend="eager")(wrong)
    with pytest.raises(ValueError, match=message):
        torch.compile(layer, backend="eager")(wrong)
