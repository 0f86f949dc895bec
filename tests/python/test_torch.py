"""exactnorm.torch.Normalization: what it learns, applies, keeps and gives back, in eager mode."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
import torch
from exactnorm._torch.data import host, pieces
from exactnorm.torch import Normalization
from support import NDArray, assert_same_bits, finite_values
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
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


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


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


# ---- moves


@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
def test_changes_of_dtype(constant_policy: str) -> None:
    data = np.concatenate([X, np.full((500, 1), 0.1, np.float32)], 1)
    layer = adapted(data, constant_policy=constant_policy)
    model = torch.nn.Sequential(layer)
    float32 = state_of(layer)
    for dtype in (torch.float16, torch.bfloat16):
        model.to(dtype)
        assert layer.dtype == layer(tensor(data)).dtype == dtype
        assert state_of(layer)[:3] == float32[:3]
    model.double()
    theirs = plain(data, constant_policy=constant_policy, dtype="float64")
    wide = data.astype(np.float64)
    assert_same_bits(layer.mean.numpy(), theirs.mean)
    assert_same_bits(layer.variance.numpy(), theirs.variance)
    assert_same_bits(layer(tensor(wide)).numpy(), theirs(wide))
    layer.update_state(data)
    layer.forget(data)
    model.float()
    assert state_of(layer) == float32
    model.type(torch.float16)
    assert layer.count.dtype == torch.int64
    assert layer.mean.dtype == torch.float32
    with pytest.raises(TypeError, match="expected dtype float16"):
        model.type(torch.complex64)
    assert state_of(layer)[:3] == float32[:3]


def test_a_layer_not_built_remembers_where_it_was_moved() -> None:
    layer = Normalization().to("meta", torch.float64)
    layer.adapt(X)
    assert layer.mean.is_meta
    assert layer.mean.dtype == torch.float64


def test_pending_data_do_not_come_out_by_a_change_of_dtype() -> None:
    layer = adapted(X[:100])
    layer.update_state(X[100:])
    layer.double()
    assert_same_bits(layer.mean.numpy(), plain(X[:100], dtype="float64").mean)
    layer.finalize_state()
    assert_same_bits(layer.mean.numpy(), plain(X, dtype="float64").mean)


def test_from_meta() -> None:
    layer = adapted(device="meta")
    assert layer.mean.is_meta
    layer.to_empty(device="cpu")
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))
    assert layer.count == len(X)
    fresh = Normalization(device="meta")
    fresh.build((None, 5))
    fresh.load_state_dict(layer.state_dict(), assign=True)
    fresh.double()
    assert_same_bits(fresh.mean.numpy(), plain(dtype="float64").mean)


# ---- numbers from outside


def test_buffers_written_by_hand() -> None:
    layer = adapted()
    with torch.no_grad():
        layer.mean.fill_(1.0)
        layer.variance.copy_(torch.tensor([[4.0, 9.0, 0.0, np.nan, 3.0]]))
    held = layer.variance.clone()
    for learn in (layer.update_state, layer.merge_state, layer.forget):
        with pytest.raises(RuntimeError, match="written from outside"):
            learn([layer] if learn == layer.merge_state else X)
    with pytest.raises(RuntimeError, match="cannot read moments"):
        _ = layer.moments
    with pytest.raises(RuntimeError, match="cannot merge_state"):
        adapted().merge_state(layer)
    layer.finalize_state()
    root = np.sqrt(np.float32(3.0))
    assert_same_bits(layer.divisor.numpy(), np.array([[2, 3, 1e-7, np.nan, root]], np.float32))
    assert layer(torch.full((1, 5), 5.0))[0, 0] == 2.0
    layer.double()
    assert torch.equal(layer.variance.nan_to_num(), held.double().nan_to_num())
    layer.float().reset_state()
    layer.update_state(X)
    layer.finalize_state()
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))


def test_a_negative_variance_is_refused() -> None:
    layer = adapted(constant_policy="raise")
    for wrong, message in ((-1.0, "negative"), (0.0, "exactly 0")):
        layer.variance.fill_(wrong)
        with pytest.raises(ValueError, match=message):
            layer.finalize_state()
    assert_same_bits(layer.divisor.numpy(), adapted().divisor.numpy())
    layer.adapt(X)
    assert layer.moments == en.Moments.from_data(X)


# ---- state dicts, copies


@pytest.mark.parametrize("before", ["not built", "built", "adapted"])
def test_a_loaded_module_goes_on(before: str) -> None:
    model = torch.nn.Sequential(adapted(X[:300]), torch.nn.Linear(5, 1))
    state = through_a_file(model.state_dict())
    assert set(state) >= {"0.mean", "0.variance", "0.divisor", "0.count", "0._extra_state"}
    layer = {"not built": Normalization, "adapted": lambda: adapted(X * 3)}.get(before, Normalization)()
    if before == "built":
        layer.build((None, 5))
    loaded = torch.nn.Sequential(layer, torch.nn.Linear(5, 1))
    loaded.load_state_dict(state)
    assert torch.equal(loaded(tensor(X)), model(tensor(X)))
    assert layer.is_adapted
    assert layer.moments == model[0].moments
    layer.update_state(X[300:])
    layer.finalize_state()
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))


def test_pending_data_survive_saving() -> None:
    layer = adapted(X[:300])
    layer.update_state(X[300:])
    loaded = Normalization()
    loaded.load_state_dict(through_a_file(layer.state_dict()))
    assert torch.equal(loaded.mean, layer.mean)
    assert loaded.count == len(X)
    loaded.update_state(X[:1])
    loaded.forget(X[:1])
    assert_same_bits(loaded(tensor(X)).numpy(), plain()(X))


def test_a_layer_that_was_never_adapted_is_not_after_loading() -> None:
    layer = Normalization()
    layer.build((None, 5))
    layer.update_state(X)
    layer.finalize_state()
    loaded = Normalization()
    loaded.load_state_dict(layer.state_dict())
    assert not loaded.is_adapted
    assert_same_bits(loaded.double().mean.numpy(), plain(dtype="float64").mean)
    empty = Normalization()
    empty.load_state_dict(Normalization().state_dict())
    assert not empty.built


def test_the_arguments_stay_those_of_the_module() -> None:
    """A decoder is the encoder's statistics, inverted."""
    encoder, decoder = adapted(), Normalization(invert=True, dtype=torch.float64, epsilon=1e-3)
    decoder.load_state_dict(encoder.state_dict())
    assert decoder.invert
    assert decoder.mean.dtype == torch.float64
    assert decoder.moments == encoder.moments
    assert decoder(encoder(tensor(X))).allclose(tensor(X).double())


def test_the_extra_state_is_a_document() -> None:
    document = adapted().state_dict()["_extra_state"]
    assert document.dtype == torch.uint8
    layer = en.from_bytes(document.numpy().tobytes())
    assert isinstance(layer, en.Normalization)
    assert_same_bits(layer(X), plain()(X))


def test_given_statistics_are_loaded() -> None:
    given = Normalization(mean=3.0, variance=4.0)
    given.build((None, 5))
    x = torch.full((1, 5), 7.0)
    for layer in (Normalization(), Normalization(mean=0.0, variance=1.0)):
        layer.load_state_dict(given.state_dict())
        assert torch.equal(layer(x), torch.full((1, 5), 2.0))
        assert not layer.is_adapted
    before = state_of(given)
    with pytest.raises(RuntimeError, match="given mean and variance: it takes nothing that was learned"):
        given.load_state_dict(adapted().state_dict())
    assert state_of(given) == before


def test_statistics_without_the_exact_state() -> None:
    layer = adapted()
    statistics = {"mean": torch.ones(1, 5), "variance": torch.full((1, 5), 4.0)}
    with pytest.raises(RuntimeError, match="Missing key"):
        adapted().load_state_dict(statistics)
    for target in (layer, Normalization()):
        missing, unexpected = target.load_state_dict(statistics, strict=False)
        assert set(missing) == {"count", "_extra_state"}
        assert unexpected == []
        assert torch.equal(target(torch.full((1, 5), 5.0)), torch.full((1, 5), 2.0))
    with pytest.raises(RuntimeError, match="written from outside"):
        layer.update_state(X)


def damaged(state: Tensor) -> Tensor:
    broken = state.clone()
    broken[len(broken) // 2] ^= 1
    return broken


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": torch.zeros(1, 4), "variance": torch.zeros(1, 4)}, "size mismatch for 0."),
        ({"_extra_state": damaged(adapted().get_extra_state())}, r'while loading "0\.\*"'),
        ({"_extra_state": torch.zeros(3)}, "expected the state as a tensor of uint8, got torch.float32"),
        ({"_extra_state": b"abc"}, "expected the state as a tensor of uint8, got bytes"),
        (
            {"_extra_state": adapted(X[:, :4]).get_extra_state()},
            r"shape \(1, 5\), got axes \(1,\) and shape \(1, 4\)",
        ),
        ({"_extra_state": adapted(axis=0).get_extra_state()}, r"keeps axes \(1,\)"),
        (
            {"_extra_state": torch.tensor(list(en.Moments.from_data(X).to_bytes()), dtype=torch.uint8)},
            "got that of Moments",
        ),
        ({"variance": torch.full((1, 5), -1.0), "divisor": None}, "negative"),
        ({"surprise": torch.zeros(1)}, "Unexpected key"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_what_does_not_load_changes_nothing(built: bool, changes: dict[str, Any], message: str) -> None:
    layer = adapted(X * 2) if built else Normalization()
    before = state_of(layer)
    state = {**adapted().state_dict(), **changes}
    state = {f"0.{name}": value for name, value in state.items() if value is not None}
    with pytest.raises(RuntimeError, match=message):
        torch.nn.Sequential(layer).load_state_dict(state)
    if "surprise" not in changes:  # torch loads what it knows before it complains
        assert state_of(layer) == before


def test_a_policy_may_refuse_what_another_took() -> None:
    holed = X.copy()
    holed[3, 1] = np.nan
    state = adapted(holed, nan_policy="omit").state_dict()
    layer = Normalization(nan_policy="raise")
    with pytest.raises(RuntimeError, match="NaN"):
        layer.load_state_dict(state)
    assert not layer.built
    Normalization().load_state_dict(state)  # which propagates, and has been warned of


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_copies_are_their_own(how: str) -> None:
    layer = adapted().double()
    if how == "torch.save":
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    else:
        other = copy.deepcopy(layer) if how == "deepcopy" else pickle.loads(pickle.dumps(layer))  # noqa: S301
    before = state_of(layer)
    assert state_of(other) == before
    other.adapt(X * 2)
    assert state_of(layer) == before
    assert state_of(other) != before


def test_repr() -> None:
    assert repr(Normalization()) == "Normalization(not built)"
    layer = adapted(invert=True).half()
    assert (
        repr(layer) == "Normalization(invert=True, dtype=torch.float16, adapted, 5 features, 500 values each)"
    )
    assert "mean=3.0, variance=2.0, given mean and variance" in repr(Normalization(mean=3.0, variance=2.0))


# ---- several processes and devices


def test_replicas_of_data_parallel() -> None:
    layer = adapted()
    replica = layer._replicate_for_data_parallel()
    for name, buffer in layer.named_buffers():
        setattr(replica, name, buffer.clone())
    assert torch.equal(replica(tensor(X)), layer(tensor(X)))


WORKER = """
import sys, numpy as np, torch, torch.distributed as dist, exactnorm as en, exactnorm.torch
rank, world, store = int(sys.argv[1]), 2, sys.argv[2]
dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=world)
x = torch.from_numpy(np.random.default_rng(0).normal(1000.0, 3.0, (500, 5)).astype(np.float32))
layer = exactnorm.torch.Normalization()
layer.adapt(x[rank::world])
everyones = [None] * world
dist.all_gather_object(everyones, layer.moments)
layer.adapt(sum(everyones[1:], everyones[0]))
assert layer.moments == en.Moments.from_data(x)
torch.manual_seed(rank)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Sequential(layer, torch.nn.Linear(5, 1)))
model(x[rank::world]).square().mean().backward()
layer.update_state(x[:1])  # the buffers that came from rank 0 are the ones it knows
layer.forget(x[:1])
assert layer.moments == en.Moments.from_data(x)
gradients = [torch.empty_like(model.module[1].weight.grad) for _ in range(world)]
dist.all_gather(gradients, model.module[1].weight.grad)
assert torch.equal(*gradients)
dist.destroy_process_group()
"""


def test_distributed_data_parallel(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", WORKER]
    workers = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "store")], stderr=subprocess.PIPE, text=True)  # noqa: S603
        for rank in range(2)
    ]
    errors = [worker.communicate()[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], errors


# ---- without torch


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


def test_warnings_are_the_learners() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="feature of its own"):
            adapted([1.0, 2.0])


def test_big_state(tmp_path: Path) -> None:
    x: NDArray = np.random.default_rng(8).normal(size=(3, 20_000)).astype(np.float32)
    layer = adapted(x)
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    loaded = Normalization()
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert loaded.moments == layer.moments
