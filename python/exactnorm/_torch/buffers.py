"""A module's buffers, and the exact sums beside them: where they move, and what a state dict has of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from exactnorm._core import Adaptation, StateError
from exactnorm._divisor import divisor_of
from exactnorm._documents import from_bytes
from exactnorm._normalization import Normalization as Learner

NDArray = npt.NDArray[Any]

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_STATISTICS = ("mean", "variance", "divisor")


class ExactBuffers(torch.nn.Module):  # type: ignore[misc]
    """The part of exactnorm.torch.Normalization that neither learns nor applies.

    The learner is a layer without torch, which knows the exact sums. What it uses is written into the
    buffers; `_shown` keeps what that was, to notice when others write there.
    """

    mean: Tensor  # None before the layer is built, as they all are
    variance: Tensor
    divisor: Tensor
    count: Tensor
    dtype: torch.dtype
    """Of results."""

    def __init__(self, dtype: torch.dtype | None, device: Any) -> None:
        super().__init__()
        self.dtype = _supported(torch.get_default_dtype() if dtype is None else dtype)
        self._unbuilt_device = torch.empty(0, device=device).device
        self._learner: Learner
        self._kept: tuple[int, ...] = ()
        self._shown: tuple[NDArray, ...] | None = None
        self._may_be_identity = True  # since the buffers were written, no call has looked
        for name in (*_STATISTICS, "count"):
            self.register_buffer(name, None)

    @property
    def _statistics_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def _is_given(self) -> bool:
        return self._learner.get_config()["mean"] is not None

    # ---- from the learner into the buffers

    def _readings(self) -> dict[str, NDArray]:
        values = self._learner._impl.statistics(self._statistics_dtype == torch.float64)
        return dict(zip(_STATISTICS, values, strict=True))

    def _are_readings(self) -> bool:
        """Whether the buffers are what the learner uses, not what was loaded beside it."""
        return all(_same(self._buffers[k].cpu().numpy(), v) for k, v in self._readings().items())

    def _show(self) -> None:
        """Make calls use what the learner has finalized."""
        if not self._learner.built:
            return
        values = self._readings()
        if self.mean is None:
            self._make_buffers(values["mean"].shape)
        self._write(**values)
        self._vouch()

    def _make_buffers(self, shape: tuple[int, ...]) -> None:
        self._kept = tuple(self._learner._impl.axes)
        with torch.inference_mode(False):  # what is made in that mode is good for nothing outside it
            for name in _STATISTICS:
                self._buffers[name] = torch.empty(
                    shape, dtype=self._statistics_dtype, device=self._unbuilt_device
                )
            self._buffers["count"] = torch.zeros((), dtype=torch.int64, device=self._unbuilt_device)

    def _write(self, **values: NDArray) -> None:
        with torch.no_grad():
            for name, value in values.items():
                self._buffers[name].copy_(torch.from_numpy(value))
        self._may_be_identity = True

    def _vouch(self) -> None:
        """Take the buffers for what the learner knows."""
        self._show_count()
        self._shown = self._statistics()

    def _show_count(self) -> None:
        self._write(count=np.array(self._learner.count))

    def _statistics(self) -> tuple[NDArray, ...] | None:
        """Return what mean and variance hold; None if that is nothing yet."""
        if self.mean is None or self.mean.is_meta:
            return None
        return tuple(buffer.detach().cpu().numpy().copy() for buffer in (self.mean, self.variance))

    def _knows_its_buffers(self) -> bool:
        held = self._statistics()
        return held is None or self._shown is None or all(map(_same, held, self._shown))

    def _require_known_buffers(self, what: str) -> None:
        if not self._is_given and not self._knows_its_buffers():
            raise RuntimeError(
                f"cannot {what}: mean or variance were written from outside, and what data they come from is "
                "not known. adapt or reset_state begin anew"
            )

    def _accept_buffers(self) -> None:
        """Bring the divisor up to date with a variance that was written from outside."""
        config = self._learner.get_config()
        variance = self.variance.cpu().numpy()
        self._write(
            divisor=divisor_of(variance, variance.dtype.name, config["epsilon"], config["constant_policy"])
        )

    # ---- moves

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Do what `.to` and its kind do; statistics stay float32, or are read anew as float64.

        So they are when they come from the meta device, where they had no values.
        """
        device = self._unbuilt_device if self.mean is None else self.mean.device
        target = fn(torch.empty(0, dtype=self.dtype, device=device))
        dtype = _supported(target.dtype)
        before = {name: buffer for name, buffer in self._buffers.items() if buffer is not None}
        is_wider_or_narrower = (dtype == torch.float64) != (self.dtype == torch.float64)
        known = is_wider_or_narrower and self._knows_its_buffers()
        are_read = self.mean is not None and (device.type == "meta" or (known and self._are_readings()))
        super()._apply(fn, recurse)
        self.dtype, self._unbuilt_device = dtype, target.device
        self._keep_dtypes(before)
        if are_read and target.device.type != "meta":
            self._show()
        elif known:
            self._shown = self._statistics()
        return self

    def _keep_dtypes(self, source: Mapping[str, Any]) -> None:
        """Give buffers of another dtype theirs, with the values that the source has."""
        for name, buffer in source.items():
            dtype = torch.int64 if name == "count" else self._statistics_dtype
            held = self._buffers[name]
            if held is not None and held.dtype != dtype:
                self._buffers[name] = buffer.to(held.device, dtype)

    # ---- state dicts

    def get_extra_state(self) -> Tensor:
        """Return the exact state, as the bytes of a document that `exactnorm.from_bytes` reads.

        A tensor of uint8, since that is what files of tensors hold and torch.load reads with
        weights_only=True.
        """
        return torch.frombuffer(bytearray(self._learner.to_bytes()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over the exact state of another layer, not its arguments.

        Raises
        ------
        ValueError
            For a damaged document, for another axis or shape, for what this layer's policies refuse, and
            for data learned by another layer if this one was given mean and variance.
        """
        loaded = _learner_in(state)
        if loaded.built:
            self._learner = self._learner_with(loaded)

    def _learner_with(self, loaded: Learner) -> Learner:
        """Return a learner with these arguments that knows what the loaded one does."""
        config = self._learner.get_config()
        if config["mean"] is not None:
            if loaded.count > 0:
                raise ValueError("this layer was given mean and variance: it takes nothing that was learned")
            return self._learner
        learner = Learner.from_config(config)
        core = learner._impl
        core.build(loaded.mean.shape)
        expected = tuple(core.axes), loaded.mean.shape if self.mean is None else tuple(self.mean.shape)
        found = tuple(loaded._impl.axes), loaded.mean.shape
        if expected != found:
            raise ValueError(
                f"expected the state of a layer that keeps axes {expected[0]} and whose mean has shape "
                f"{expected[1]}, got axes {found[0]} and shape {found[1]}"
            )
        if config == loaded.get_config():
            return loaded  # with its readings, which data that are not finalized yet are no part of
        if loaded.is_adapted:
            adaptation = Adaptation(core)
            adaptation.merge(loaded.moments._impl)
            adaptation.commit()
        elif loaded.count > 0:
            core.update_state(loaded.moments._impl)
            core.finalize_state()
        core.take_warnings()  # they have been given to whoever learned
        return learner

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Load all, or nothing; build if need be.

        A divisor that is missing, or belongs to another variance, is derived from the variance.
        """
        before = {name: None if buffer is None else buffer.clone() for name, buffer in self._buffers.items()}
        learner, kept, shown = self._learner, self._kept, self._shown
        keys = {name: prefix + name for name in (*_STATISTICS, "_extra_state")}
        errors = len(error_msgs)
        try:
            if self.mean is None and keys["mean"] in state_dict:
                self._learner = copy.copy(learner)
                self._learner._impl.build(state_dict[keys["mean"]].shape)
                self._show()
            super()._load_from_state_dict(
                state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )
            if keys["variance"] in state_dict and keys["divisor"] not in state_dict:
                self._accept_buffers()
                missing_keys[:] = [key for key in missing_keys if key != keys["divisor"]]
            self._keep_dtypes(self._buffers)
            if self.mean is not None and keys["_extra_state"] in state_dict and len(error_msgs) == errors:
                self._compare_with(_learner_in(state_dict[keys["_extra_state"]]))
        except ValueError as error:
            error_msgs.append(f'while loading "{prefix}*": {error}')
        if len(error_msgs) > errors:
            self._buffers.update(before)
            self._learner, self._kept, self._shown = learner, kept, shown
            return
        self._may_be_identity = True

    def _compare_with(self, loaded: Learner) -> None:
        """See whether the buffers are what the learner loaded with them reads, or come from outside."""
        if self.mean.is_meta:
            self._vouch()
            return
        config = loaded.get_config()
        is_learned = loaded.built and config["mean"] is None and not self._is_given
        core = (loaded if is_learned else self._learner)._impl
        mean, variance, divisor = (self._buffers[name].detach().cpu().numpy() for name in _STATISTICS)
        # a module of one dtype may have been loaded into one of the other
        readings = [
            tuple(values.astype(between).astype(mean.dtype) for values in core.statistics(is_wide))
            for is_wide, between in ((mean.dtype == np.float64, mean.dtype), (False, "f4"), (True, "f4"))
        ]
        known = [read for read in readings if _same(mean, read[0]) and _same(variance, read[1])]
        if not any(_same(variance, read[1]) and _same(divisor, read[2]) for read in readings):
            if known:
                self._write(divisor=known[0][2])
            elif not _same(
                divisor, divisor_of(variance, mean.dtype.name, config["epsilon"], config["constant_policy"])
            ):
                self._accept_buffers()
        self._show_count()
        self._shown = (known or readings)[0][:2]


def _supported(dtype: torch.dtype) -> torch.dtype:
    if dtype not in _DTYPES:
        raise TypeError(f"expected dtype float16, bfloat16, float32 or float64, got {dtype}")
    return dtype


def _learner_in(state: Any) -> Learner:
    if not isinstance(state, Tensor) or state.dtype != torch.uint8:
        found = getattr(state, "dtype", type(state).__name__)
        raise StateError(f"expected the state as a tensor of uint8, got {found}")
    learner = from_bytes(state.cpu().numpy().tobytes())
    if not isinstance(learner, Learner):
        raise StateError("expected the state of a Normalization, got that of Moments")
    return learner


def _same(a: NDArray, b: NDArray) -> bool:
    return np.array_equal(a, b, equal_nan=True)
