"""exactnorm.torch.Normalization: what it learns and applies, in eager mode."""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import exactnorm as en
import numpy as np
import pytest
import torch
from exactnorm._torch.data import host, pieces
from exactnorm.torch import Normalization
from support import assert_same_bits, finite_values
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch_support import X, adapted, plain, state_of, tensor

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


# ---- the same bits as without torch


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
def test_bits_of_float32(constant_policy: str, invert: bool) -> None:
    rng = np.random.default_rng(1)
    data = (rng.normal(size=(300, 40)) * np.exp(rng.normal(size=40) * 10)).astype(np.float32)
    data[:, ::7] = data[0, ::7]  # constant
    arguments = {"constant_policy": constant_policy, "invert": invert}
    ours, theirs = adapted(tensor(data), **arguments), plain(data, **arguments)
    hard = np.concatenate(
        [data, finite_values("float32", (300, 40), 2), np.full((1, 40), np.nan, np.float32)]
    )
    assert_same_bits(ours.mean.numpy(), theirs.mean)
    assert_same_bits(ours.variance.numpy(), theirs.variance)
    assert_same_bits(ours(tensor(hard)).numpy(), theirs(hard))
    assert_same_bits(ours.inverse(tensor(hard)).numpy(), theirs.inverse(hard))


def test_the_divisor_is_rounded_correctly_where_torch_rounds_its_root_otherwise() -> None:
    data = np.random.default_rng(3).normal(size=(50, 2000)).astype(np.float32)
    layer = adapted(tensor(data))
    assert_same_bits(layer.divisor.numpy(), np.sqrt(layer.variance.numpy()))


def test_the_divisor_of_constant_policy_unit_is_rounded_once() -> None:
    data = np.random.default_rng(3).normal(size=(50, 2000)).astype(np.float32)
    layer = adapted(tensor(data), constant_policy="unit")
    assert_same_bits(layer.divisor.numpy()[0], layer.moments.std("float32"))
    assert (layer.divisor.numpy() != np.sqrt(layer.variance.numpy())).any()


@pytest.mark.parametrize("given", [{"mean": [1.0, 2.0, 0.5], "variance": [0.0, 1 / 3, 1e-60]}, {}])
@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_of_given_numbers(dtype: str, constant_policy: str, given: dict[str, Any]) -> None:
    given = given or {"mean": torch.tensor(1.5, dtype=torch.bfloat16), "variance": torch.tensor([3.0])}
    plain_given = {
        key: np.asarray(torch.as_tensor(value, dtype=torch.float64)) for key, value in given.items()
    }
    x = np.array([[1.0, 2.0, 7.0], [0.1, -3.0, 0.5]], dtype)
    ours = Normalization(**given, constant_policy=constant_policy, dtype=getattr(torch, dtype))
    theirs = en.Normalization(**plain_given, constant_policy=constant_policy, dtype=dtype)
    with np.errstate(divide="ignore"):
        assert_same_bits(ours(tensor(x)).numpy(), theirs(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "uint8", "int16", "bool"])
@pytest.mark.parametrize("result", ["float16", "bfloat16", "float32"])
def test_dtypes(dtype: str, result: str) -> None:
    x = torch.from_numpy(np.random.default_rng(4).integers(0, 200, (100, 3))).to(getattr(torch, dtype))
    ours, theirs = adapted(x, dtype=getattr(torch, result)), plain(x, dtype=result)
    assert ours.mean.dtype == ours.variance.dtype == ours.divisor.dtype == torch.float32
    assert ours(x).dtype == ours.dtype == getattr(torch, result)
    if dtype != "float64":  # which computes with float32 statistics here, with float64 ones there
        assert np.array_equal(ours(x).double().numpy(), theirs(x).astype(np.float64))


def test_float64_for_what_float32_cannot_hold() -> None:
    seconds = 1.7e9 + np.random.default_rng(5).uniform(0, 60, (100, 1))
    layer = adapted(seconds, dtype=torch.float64)
    assert_same_bits(layer(tensor(seconds)).numpy(), plain(seconds, dtype="float64")(seconds))
    assert layer.mean.dtype == torch.float64
    whole = seconds.astype(np.int64)
    assert_same_bits(layer(tensor(whole)).numpy(), layer(tensor(whole.astype(np.float64))).numpy())


def test_default_dtype_and_device_are_those_of_torch() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert Normalization().dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    with torch.device("meta"):
        assert adapted().mean.is_meta
    with pytest.raises(
        TypeError, match=r"expected dtype float16, bfloat16, float32 or float64, got torch.int8"
    ):
        Normalization(dtype=torch.int8)


@pytest.mark.parametrize(
    ("axis", "shape", "broadcast"),
    [
        (-1, (6, 4), (1, 4)),
        (1, (6, 3, 5, 5), (1, 3, 1, 1)),
        ((1, -1), (6, 3, 5), (1, 3, 5)),
        (None, (6, 3), (1, 1)),
        (0, (6, 3), (6, 1)),
    ],
)
def test_axis(axis: Any, shape: tuple[int, ...], broadcast: tuple[int, ...]) -> None:
    x = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    ours, theirs = adapted(tensor(x), axis=axis), plain(x, axis=axis)
    assert ours.mean.shape == ours.variance.shape == ours.divisor.shape == broadcast
    assert ours.axis == theirs.axis
    assert_same_bits(ours(tensor(x)).numpy(), theirs(x))
    assert ours.count == theirs.count
    assert ours.count.dtype == torch.int64


def test_a_scalar_is_taken_by_a_layer_of_one_axis() -> None:
    layer = adapted([0.0, 2.0], axis=None)
    assert torch.equal(layer(torch.tensor(2.0)), torch.tensor([1.0]))


# ---- data


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((tensor(X[i]), 0) for i in itertools.count())


class Rows(Dataset[Any]):
    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return tensor(X[i]), i


SOURCES: dict[str, Any] = {
    "tensor": lambda: tensor(X),
    "tensor with a gradient": lambda: tensor(X).requires_grad_(),
    "parameter": lambda: torch.nn.Parameter(tensor(X)),
    "strided": lambda: tensor(np.repeat(X, 2, 1))[:, ::2],
    "transposed": lambda: tensor(X.T).T,
    "numpy": lambda: X,
    "lists": lambda: X.tolist(),
    "dict": lambda: {str(i): tensor(column) for i, column in enumerate(X.T)},
    "Moments": lambda: en.Moments.from_data(X),
    "list of tensors": lambda: [tensor(part) for part in np.array_split(X, 7)],
    "tuple from a generator": lambda: ((tensor(part), None) for part in np.array_split(X, 7)),
    "DataLoader": lambda: DataLoader(TensorDataset(tensor(X)), batch_size=33),
    "shuffled": lambda: DataLoader(TensorDataset(tensor(X)), batch_size=32, shuffle=True),
    "labelled": lambda: DataLoader(TensorDataset(tensor(X), torch.zeros(len(X))), batch_size=64),
    "dataset": Rows,
    "its loader": lambda: DataLoader(Rows(), batch_size=50),
    "numpy collated": lambda: DataLoader(X, batch_size=50, collate_fn=np.stack),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_road_gives_the_same_state(source: str) -> None:
    layer = adapted(SOURCES[source]())
    assert layer.moments.digest == en.Moments.from_data(X).digest
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))
    assert layer.is_adapted
    assert layer.built


def test_bfloat16_data() -> None:
    x = tensor(X).bfloat16()
    for data in (x, DataLoader(TensorDataset(x), batch_size=100)):
        assert adapted(data).moments == en.Moments.from_data(x.float())


def test_steps() -> None:
    layer = Normalization()
    layer.adapt(DataLoader(Endless(), batch_size=10), steps=3)
    assert layer.moments == en.Moments.from_data(X[:30])
    layer.adapt(tensor(X), batch_size=10, steps=4)
    assert layer.moments == en.Moments.from_data(X[:40])
    with pytest.warns(UserWarning, match="the data ended after 5 of the 9 batches that steps asked for"):
        layer.adapt(DataLoader(TensorDataset(tensor(X)), batch_size=100), steps=9)
    with pytest.warns(UserWarning, match="batch_size is ignored"):
        layer.adapt(DataLoader(TensorDataset(tensor(X)), batch_size=100), batch_size=9)
    with pytest.raises(ValueError, match="the data are infinite"):
        layer.adapt(itertools.cycle([tensor(X)]))
    with pytest.raises(ValueError, match="expected batch_size to be at least 1"):
        layer.adapt(tensor(X), batch_size=0)


def test_sample_weights_of_a_loader() -> None:
    weights = torch.arange(len(X)).float()
    loader = DataLoader(TensorDataset(tensor(X), torch.zeros(len(X)), weights), batch_size=64)
    layer = Normalization()
    layer.adapt(loader, use_sample_weight=True)
    assert layer.moments == en.Moments.from_data(X, weights=weights.numpy())


def test_names_of_a_table() -> None:
    layer = adapted({"a": torch.tensor([1.0, 3.0]), "b": torch.tensor([2.0, 2.0])})
    assert layer.names == ("a", "b")
    assert torch.equal(layer.mean, torch.tensor([[2.0, 2.0]]))


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 2), (0, 1, 2)])
def test_a_tensor_on_a_device_is_copied_in_pieces(axis: Any) -> None:
    """The cut is the same on the CPU."""
    x = tensor(np.random.default_rng(7).normal(size=(6, 50, 4)).astype(np.float32))
    layer = en.Normalization(axis=axis)
    parts = pieces(x, layer.axis, 500)
    if axis != (0, 1, 2):  # of which nothing can be cut
        parts = list(parts)
        assert len(parts) > 1
        least = x.nbytes // max(n for i, n in enumerate(x.shape) if i not in np.atleast_1d(axis) % 3)
        assert all(part.nbytes <= max(500, least) for part in parts)
    layer.adapt(parts)
    assert layer.moments == plain(x, axis=axis).moments
    assert isinstance(pieces(x, layer.axis, x.nbytes), np.ndarray)


@pytest.mark.parametrize("device", DEVICES)
def test_devices(device: str) -> None:
    x = tensor(X).to(device)
    for data in (x, [x, x[:3]], ((part, part) for part in x.split(100)), {"a": x[:, 0]}):
        layer = adapted(data, device=device)
        assert layer.mean.device.type == layer.count.device.type == device
        layer.update_state(x[:, : layer.mean.shape[-1]])
    layer = adapted(X).to(device)
    assert_same_bits(layer(x).cpu().numpy(), plain()(X))
    layer.adapt(x, batch_size=10, steps=2)
    assert layer.moments == en.Moments.from_data(X[:20])
    assert_same_bits(layer.cpu()(tensor(X)).numpy(), plain(X[:20])(X))


def test_what_is_no_data() -> None:
    layer = adapted()
    before = state_of(layer)
    for data, error in (
        (torch.ones(3, 5, dtype=torch.complex64), TypeError),
        (torch.ones(3, 4), ValueError),
        (DataLoader(TensorDataset(torch.ones(3, 4))), ValueError),
        ([tensor(X), torch.ones(3, 4)], ValueError),
        (torch.eye(5).to_sparse(), TypeError),
        ("abc", TypeError),
    ):
        for learn in (layer.adapt, layer.update_state, layer.forget):
            with pytest.raises(error):
                learn(data)
    with pytest.raises(ValueError, match="no value"):
        layer.adapt(torch.ones(0, 5))
    with pytest.raises(NotImplementedError, match="meta"):
        layer.adapt(torch.ones(3, 5, device="meta"))
    assert state_of(layer) == before


def test_tensors_with_the_negative_bit() -> None:
    x = torch.imag(torch.conj(torch.complex(tensor(X), tensor(X))))
    assert x.is_neg()
    for data in (x, [x[:100], x[100:]]):
        assert adapted(data).moments == en.Moments.from_data(-X)


def test_layouts_that_are_not_dense() -> None:
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)
    for x, layout in ((tensor(X).to_sparse(), "sparse_coo"), (nested, "nested")):
        for data in (x, [x]):
            with pytest.raises(TypeError, match=f"expected a dense tensor, got one of layout {layout}"):
                Normalization().adapt(data)


def test_host_leaves_alone_what_holds_no_tensor() -> None:
    for data in (X, [1.0, 2.0], "x", None, iter([1])):
        assert host(data, (-1,)) is data


# ---- learning


def test_update_and_finalize() -> None:
    layer = Normalization()
    with pytest.raises(RuntimeError, match="not built"):
        layer.update_state(X)
    layer.build((None, 5))
    assert torch.equal(layer.mean, torch.zeros(1, 5))
    assert torch.equal(layer.divisor, torch.ones(1, 5))
    for part in tensor(X).split(99):
        layer.update_state(part)
    assert layer.count == len(X)
    assert torch.equal(layer.mean, torch.zeros(1, 5))
    layer.finalize_state()
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))
    assert not layer.is_adapted
    layer.reset_state()
    assert layer.count == 0
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))
    layer.finalize_state()
    with pytest.warns(RuntimeWarning, match="not adapted"):
        assert torch.equal(layer(tensor(X)), tensor(X))


def test_merge_and_forget() -> None:
    a, b, c = adapted(X[:100]), adapted(X[100:300]), plain(X[300:])
    a.merge_state([b, c])
    assert a.moments == en.Moments.from_data(X)
    a.merge_state(b)
    a.forget(tensor(X[100:300]))
    assert_same_bits(a(tensor(X)).numpy(), plain()(X))
    before = state_of(a)
    with pytest.raises(ValueError, match="never added"):
        a.forget(X * 2)
    with pytest.raises(ValueError, match="keeps other axes"):
        a.merge_state(adapted(X[:, :2]))
    with pytest.raises(TypeError, match="expected layers"):
        a.merge_state([3])  # type: ignore[list-item]
    assert state_of(a) == before


def test_policies() -> None:
    holed = X.copy()
    holed[3, 1] = np.nan
    with pytest.warns(RuntimeWarning, match="NaN"):
        assert adapted(holed).mean[0, 1].isnan()
    assert_same_bits(adapted(holed, nan_policy="omit")(tensor(X)).numpy(), plain(holed, nan_policy="omit")(X))
    layer = adapted(X, nan_policy="raise", constant_policy="raise")
    before = state_of(layer)
    with pytest.raises(ValueError, match="NaN"):
        layer.adapt(holed)
    with pytest.raises(ValueError, match="constant_policy"):
        layer.adapt(np.ones((3, 5)))
    assert state_of(layer) == before


def test_given_layers_learn_nothing() -> None:
    layer = Normalization(mean=1.0, variance=4.0)
    layer.build((None, 5))
    for learn in (layer.adapt, layer.update_state, layer.forget, layer.merge_state):
        with pytest.raises(ValueError, match="static `mean` and `variance`"):
            learn([] if learn == layer.merge_state else X)
    with pytest.raises(RuntimeError, match="it has learned nothing"):
        _ = layer.moments
    layer.reset_state()
    layer.finalize_state()
    assert torch.equal(layer(torch.full((1, 5), 5.0)), torch.full((1, 5), 2.0))


# ---- calls


def test_other_shapes_are_refused() -> None:
    layer = adapted()
    for shape in ((3, 4), (5,), (2, 3, 5), ()):
        for call in (layer, layer.inverse):
            with pytest.raises(
                ValueError, match=r"built for inputs of shape \(None, 5\), got shape \("
            ) as error:
                call(torch.zeros(shape))
            assert str(shape) in str(error.value)
    with pytest.raises(TypeError, match="expected a Tensor, got a ndarray"):
        layer(X)
    with pytest.raises(TypeError, match="expected real numbers or booleans"):
        layer(torch.zeros(1, 5, dtype=torch.complex64))


def test_a_call_before_adapt_is_the_identity_and_warns_once_where_it_was_made() -> None:
    layer = Normalization()
    with pytest.warns(RuntimeWarning, match="not adapted") as caught:
        assert torch.equal(torch.nn.Sequential(layer)(tensor(X)), tensor(X))
    assert [warning.filename for warning in caught] == [__file__]
    layer(tensor(X))
    layer.update_state(X)
    layer.finalize_state()
    layer(tensor(X))  # and no warning, which would be an error


def test_numbers_written_by_hand_are_no_identity() -> None:
    layer = Normalization()
    layer.build((None, 1))
    layer.mean.fill_(3.0)
    assert layer(torch.tensor([[5.0]])) == 2.0  # and no warning


def test_gradients() -> None:
    layer = adapted(dtype=torch.float64)
    x = tensor(X[:4].astype(np.float64)).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradcheck(layer.inverse, x)
    (gradient,) = torch.autograd.grad(layer(x).sum(), x)
    assert torch.equal(gradient, (1 / layer.divisor).expand_as(x))


def test_training_changes_no_statistics() -> None:
    layer = adapted()
    model = torch.nn.Sequential(layer, torch.nn.Linear(5, 1))
    assert list(layer.parameters()) == []
    before = state_of(layer)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(3):
        model.train()(tensor(X)).square().mean().backward()
        optimizer.step()
    assert state_of(layer) == before
    assert torch.equal(model.eval()[0](tensor(X)), layer(tensor(X)))


def test_built_in_inference_mode_it_can_be_trained_through() -> None:
    layer = Normalization(mean=1.0, variance=4.0)
    with torch.inference_mode():
        layer(tensor(X))
    x = tensor(X).requires_grad_()
    layer(x).sum().backward()
    assert torch.equal(x.grad, torch.full_like(x, 0.5))


def test_functional_call_takes_other_statistics() -> None:
    layer = adapted()
    others = {"mean": torch.zeros(1, 5), "divisor": torch.full((1, 5), 2.0)}
    assert torch.equal(torch.func.functional_call(layer, others, torch.ones(1, 5)), torch.full((1, 5), 0.5))


def test_vmap() -> None:
    layer = adapted()
    x = tensor(X).reshape(10, 50, 5)
    assert torch.equal(torch.func.vmap(layer)(x), layer(tensor(X)).reshape(10, 50, 5))


def test_warnings_are_the_learners() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="feature of its own"):
            adapted([1.0, 2.0])


def test_a_warning_made_an_error_finds_buffers_and_moments_agreeing() -> None:
    holed = X.copy()
    holed[0, 1] = np.nan
    other = adapted(X, nan_policy="omit")
    other.update_state(holed)
    pending = adapted(X)
    pending.update_state(holed)
    learning = [
        (adapted(), lambda layer: layer.adapt(holed)),
        (adapted(), lambda layer: layer.merge_state(other)),
        (pending, lambda layer: layer.finalize_state()),
        (copy.deepcopy(pending), lambda layer: layer.forget(X)),
        (Normalization(), lambda layer: layer.adapt(holed)),
    ]
    for layer, learn in learning:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(RuntimeWarning, match="1 NaN"):
                learn(layer)
        assert_same_bits(layer.mean.numpy()[0], layer.moments.mean("float32"))
        assert_same_bits(layer.variance.numpy()[0], layer.moments.variance("float32"))
        assert np.isnan(layer.mean.numpy()[0, 1])
        assert layer.count == layer.moments.count[0] + layer.moments.nan_count[0]
    given = Normalization(mean=0.0, variance=1e300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="float32"):
            given(tensor(X))
    assert given.built
    assert (given(tensor(X)) == 0).all()


def test_warnings_that_come_late_point_at_the_user() -> None:
    with pytest.warns(RuntimeWarning, match="1 NaN") as warned:
        adapted([[np.nan], [1.0]])
    assert warned[0].filename.endswith("torch_support.py")


def test_the_package_needs_no_torch() -> None:
    code = """
import sys
import exactnorm
assert "torch" not in sys.modules
sys.modules["torch"] = None
try:
    import exactnorm.torch
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "exactnorm.torch needs torch: pip install 'exactnorm[torch]'\n"
