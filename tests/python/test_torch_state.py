"""exactnorm.torch.Normalization: moves, numbers from outside, state dicts, copies, several processes."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import exactnorm as en
import numpy as np
import pytest
import torch
from exactnorm.torch import Normalization
from support import NDArray, assert_same_bits
from torch import Tensor
from torch_support import X, adapted, plain, state_of, tensor


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


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


def test_pending_data_survive_saving_and_a_change_of_dtype() -> None:
    layer = adapted(X[:300], dtype=torch.float64)
    layer.update_state(X[300:])
    loaded = Normalization(dtype=torch.float64)
    loaded.load_state_dict(layer.state_dict())
    loaded.float()
    assert torch.equal(loaded.mean, layer.mean.float())
    loaded.finalize_state()
    assert_same_bits(loaded(tensor(X)).numpy(), plain()(X))


def test_assigned_buffers_stay_float32() -> None:
    state = adapted().state_dict()
    state |= {name: state[name].half() for name in ("mean", "variance", "divisor")}
    layer = Normalization()
    layer.load_state_dict(state, assign=True)
    assert layer.mean.dtype == layer.divisor.dtype == torch.float32
    assert torch.equal(layer.mean, state["mean"].float())


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


def rounded(state: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.half().to(value.dtype) if value.is_floating_point() else value
        for name, value in state.items()
    }


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("before", ["not built", "adapted"])
@pytest.mark.parametrize("change", ["mean", "variance", "variance, not finalized", "rounded"])
def test_loaded_numbers_that_the_loaded_sums_do_not_give(change: str, before: str, assign: bool) -> None:
    source = adapted()
    if change != "rounded":
        getattr(source, change.split(",")[0]).fill_(4.0)
    if not change.endswith("not finalized"):
        source.finalize_state()
    state = rounded(source.state_dict()) if change == "rounded" else source.state_dict()
    layer = Normalization() if before == "not built" else adapted(X * 3)
    layer.load_state_dict(state, assign=assign)
    for learn in (lambda: layer.moments, lambda: layer.update_state(X)):
        with pytest.raises(RuntimeError, match="written from outside"):
            learn()
    assert torch.equal(layer.mean, state["mean"])
    assert torch.equal(layer.variance, state["variance"])
    if change.startswith("variance"):
        assert (layer.divisor == 2).all()
    if change == "rounded":
        assert_same_bits(layer.divisor.numpy(), np.sqrt(state["variance"].numpy()))
    layer.double()
    assert torch.equal(layer.mean, state["mean"].double())
    again = Normalization()
    again.load_state_dict(layer.float().state_dict())
    with pytest.raises(RuntimeError, match="written from outside"):
        again.update_state(X)
    layer.reset_state()
    layer.update_state(X)
    layer.finalize_state()
    assert_same_bits(layer(tensor(X)).numpy(), plain()(X))


def test_a_rounded_divisor_beside_statistics_that_are_whole() -> None:
    source = adapted([[0.0], [1.0], [2.0], [5.0]])  # mean 2, variance 3.5
    layer = Normalization()
    layer.load_state_dict(rounded(source.state_dict()))
    assert layer.moments == source.moments
    assert torch.equal(layer.divisor, source.divisor)


def test_given_numbers_are_from_outside_for_who_loads_them() -> None:
    given = Normalization(mean=3.0, variance=4.0)
    given.build((None, 5))
    x = np.full((1, 5), 7.0, np.float32)
    for layer in (Normalization(), Normalization(mean=0.0, variance=1.0)):
        layer.load_state_dict(given.state_dict())
        layer.finalize_state()
        assert (layer(tensor(x)) == 2).all()
        assert (layer.to_exactnorm()(x) == 2).all()


@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
def test_the_divisor_of_other_arguments_is_kept(constant_policy: str) -> None:
    source = Normalization(epsilon=1e-3, constant_policy=constant_policy)
    source.adapt(np.zeros((3, 2)))
    for _ in range(2):
        layer = Normalization()
        layer.load_state_dict(source.state_dict())
        assert torch.equal(layer.divisor, source.divisor)
        source.variance.copy_(torch.tensor([[0.0, 4.0]]))
        source.finalize_state()


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("constant_policy", ["epsilon", "unit"])
@pytest.mark.parametrize("theirs", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("ours", [torch.float16, torch.float32, torch.float64])
def test_numbers_that_the_loaded_sums_give_are_known(
    ours: torch.dtype, theirs: torch.dtype, constant_policy: str, pending: bool
) -> None:
    source = adapted(X[:300], constant_policy=constant_policy).to(theirs)
    if pending:
        source.update_state(X[300:])
    layer = Normalization(constant_policy=constant_policy, dtype=ours)
    between = Normalization(constant_policy=constant_policy)
    between.load_state_dict(source.to(theirs).state_dict())
    layer.load_state_dict((between if theirs == torch.float16 else source).state_dict())
    assert layer.moments == source.moments
    assert torch.equal(layer.divisor, source.divisor.to(layer.divisor.dtype))
    if not pending:
        layer.update_state(X[300:])
    layer.finalize_state()
    expected = plain(X, constant_policy=constant_policy, dtype=str(layer.mean.dtype).removeprefix("torch."))
    assert_same_bits(layer.mean.numpy(), expected.mean)
    assert_same_bits(layer.variance.numpy(), expected.variance)


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
    layer = Normalization()
    layer.load_state_dict(state)  # it propagates, which whoever learned has been warned of
    layer.build((None, 5))


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


def test_big_state(tmp_path: Path) -> None:
    x: NDArray = np.random.default_rng(8).normal(size=(3, 20_000)).astype(np.float32)
    layer = adapted(x)
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    loaded = Normalization()
    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert loaded.moments == layer.moments


def test_to_exactnorm_takes_what_was_learned_along() -> None:
    layer = Normalization(constant_policy="unit")
    layer.adapt([[1.0, 5.0], [2.0, 5.0]])
    plain = layer.to_exactnorm()
    plain.update_state([[7.0, 1.0]])
    plain.finalize_state()
    layer.update_state([[7.0, 1.0]])
    layer.finalize_state()
    assert plain.moments == layer.moments
    x = np.array([[0.1, 0.3]], np.float32)
    np.testing.assert_array_equal(plain(x), layer(torch.from_numpy(x)).numpy())


def test_to_exactnorm_of_numbers_from_outside() -> None:
    layer = Normalization(axis=1)
    layer.build((None, 2, 5))
    layer.mean.copy_(torch.tensor([1.0, 2.0]).reshape(1, 2, 1))
    layer.variance.copy_(torch.tensor([3.0, 4.0]).reshape(1, 2, 1))
    layer.finalize_state()
    plain = layer.to_exactnorm()
    x = np.random.default_rng(0).normal(size=(3, 2, 5)).astype(np.float32)
    np.testing.assert_array_equal(plain(x), layer(torch.from_numpy(x)).numpy())
    assert plain.get_config()["mean"] is not None
