"""Normalization as a `torch.nn.Module`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from exactnorm._arguments import Axis, Policy, at_least_one
from exactnorm._extras import needs
from exactnorm._moments import Moments
from exactnorm._normalization import Normalization as Learner
from exactnorm._warn import late

with needs("torch", "exactnorm.torch"):
    import torch
    from torch import Tensor

    from exactnorm._torch.buffers import ExactBuffers
    from exactnorm._torch.data import float64_on_host, host

__all__ = ["Normalization"]


class Normalization(ExactBuffers):
    """Learn the mean and variance of every feature and apply ``(x - mean) / divisor``.

    The module has no parameters. What calls use are buffers, in the shape that broadcasts, for example
    (1, 3); None before the layer is built, which adapt, a call, or loading a state does:

    - ``mean`` and ``variance``, float32 or float64;
    - ``divisor``, ``max(sqrt(variance), epsilon)`` or what constant_policy says, rounded as numpy rounds:
      torch's own square root is not always correctly rounded;
    - ``count``, int64: how many elements a feature has had.

    Beside them the module has the exact sums that these numbers were read from. They are always in host
    memory, no move or change of dtype touches them, and a state dict has them as a tensor of bytes, so
    that a loaded module goes on learning. Whoever writes other numbers into the buffers parts the two:
    calls use the buffers (after a change of the variance, `finalize_state` brings the divisor up to date),
    and there is nothing to learn on top of until `adapt` or `reset_state`.

    ``.half()`` and ``.bfloat16()`` change the dtype of results; buffers stay float32. ``.double()`` reads the
    buffers anew from the exact sums, as float64, and ``.float()`` goes back.

    Parameters
    ----------
    axis : int, tuple of int or None, default -1
        The axes to keep: each of their indices has a mean and variance of its own. None: one for all values.
    mean, variance : array_like of float, or Tensor, optional
        Given instead of learned, both or none; they broadcast to the kept axes.
    invert : bool, default False
        Calls return ``mean + x * divisor`` instead.
    epsilon : float, default 1e-7
        The least divisor.
    nan_policy, inf_policy : {"propagate", "omit", "raise"}
        What NaN and infinities among the learned values mean, as for `exactnorm.Normalization`.
    constant_policy : {"epsilon", "unit", "raise"}
        What a feature of variance 0 is divided by: epsilon; 1; nothing, an error.
    device : torch.device or str, optional
        Where the buffers are, by default torch's default device.
    dtype : torch.dtype, optional
        Of results: float16, bfloat16, float32 or float64; by default torch's default dtype. Statistics and
        arithmetic are float64 with float64, which data that float32 cannot hold need, such as times in
        seconds; else float32.

    Raises
    ------
    ValueError
        As `exactnorm.Normalization`.
    TypeError
        For another dtype.

    See Also
    --------
    exactnorm.Normalization : The same without torch. In float32 both give the same bits on the CPU.

    Examples
    --------
    >>> import torch
    >>> import exactnorm.torch
    >>> layer = exactnorm.torch.Normalization()
    >>> layer.adapt(torch.tensor([[0.0, 7.0, 4.0], [2.0, 9.0, 6.0], [0.0, 7.0, 4.0], [2.0, 9.0, 6.0]]))
    >>> layer(torch.tensor([[0.0, 7.0, 4.0]]))
    tensor([[-1., -1., -1.]])
    >>> model = torch.nn.Sequential(layer, torch.nn.Linear(3, 1))
    """

    def __init__(
        self,
        axis: Axis = -1,
        mean: npt.ArrayLike | Tensor | None = None,
        variance: npt.ArrayLike | Tensor | None = None,
        invert: bool = False,
        epsilon: float = 1e-7,
        nan_policy: Policy = "propagate",
        inf_policy: Policy = "propagate",
        constant_policy: Literal["epsilon", "unit", "raise"] = "epsilon",
        *,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(dtype, device)
        self.invert = bool(invert)
        """Whether calls go back."""
        self._learner = Learner(
            axis=axis,
            mean=float64_on_host(mean),
            variance=float64_on_host(variance),
            invert=invert,
            epsilon=epsilon,
            dtype="float64" if self.dtype == torch.float64 else "float32",
            nan_policy=nan_policy,
            inf_policy=inf_policy,
            constant_policy=constant_policy,
        )

    # ---- calls

    def forward(self, x: Tensor) -> Tensor:
        """Normalize, or with invert=True take back.

        Parameters
        ----------
        x : Tensor
            Of the rank the layer was built for, and its kept extents; of any real dtype.

        Returns
        -------
        Tensor of dtype `dtype`

        Raises
        ------
        ValueError
            For another shape than the layer was built for; the message has both.
        TypeError
            For what is no tensor, and for complex numbers.
        """
        return self._transform(x, self.invert)

    def inverse(self, x: Tensor) -> Tensor:
        """Do the opposite of a call: ``mean + x * divisor``, or with invert=True normalize.

        Parameters, result and errors are those of a call.

        Examples
        --------
        >>> import torch
        >>> import exactnorm.torch
        >>> layer = exactnorm.torch.Normalization(mean=3.0, variance=4.0)
        >>> layer.inverse(layer(torch.tensor([[7.0]])))
        tensor([[7.]])
        """
        return self._transform(x, not self.invert)

    def _transform(self, x: Tensor, invert: bool) -> Tensor:
        is_traced = torch.compiler.is_compiling()
        if not isinstance(x, Tensor):
            raise TypeError(f"expected a Tensor, got a {type(x).__name__}")
        if x.is_complex():
            raise TypeError(f"expected real numbers or booleans, got a tensor of dtype {x.dtype}")
        if self.mean is None:
            if is_traced:
                raise RuntimeError("the layer is not built: call build or adapt before it is traced")
            self.build(x.shape)
        mean = self.mean
        self._check_shape(x.shape, mean.shape)
        if not is_traced and self._may_be_identity:
            self._warn_of_identity()
        if x.dtype != mean.dtype and x.dtype != torch.float64:
            x = x.to(mean.dtype)
        y = mean + x * self.divisor if invert else (x - mean) / self.divisor
        return y if y.dtype == self.dtype else y.to(self.dtype)

    def _check_shape(self, shape: Sequence[int], built: Sequence[int]) -> None:
        if len(shape) != len(built):
            fits = len(shape) == 0 and len(built) == 1 and not self._kept  # as the learner's calls
        else:
            fits = all(shape[axis] == built[axis] for axis in self._kept)
        if not fits:
            expected = tuple(n if axis in self._kept else None for axis, n in enumerate(built))
            raise ValueError(f"the layer was built for inputs of shape {expected}, got shape {tuple(shape)}")

    def _warn_of_identity(self) -> None:
        """Have the learner warn, once, if the layer knows nothing and its buffers are those of the identity.

        It looks at the buffers again only after they were written.
        """
        may_be = not (self._learner.is_adapted or self._is_given or self.mean.is_meta)
        if may_be and not self.mean.any() and (self.variance == 1).all():
            self._learner(np.zeros(self.mean.shape, np.float32))
        self._may_be_identity = False

    def to_exactnorm(self) -> Learner:
        """Return a layer without torch that gives the same results, with what this one has learned.

        Numbers that were written into the buffers from outside are its given mean and variance.

        Raises
        ------
        ValueError
            For such a variance that is negative.

        Examples
        --------
        >>> import exactnorm.torch
        >>> layer = exactnorm.torch.Normalization()
        >>> layer.adapt([[1.0], [3.0]])
        >>> layer.to_exactnorm()([[7.0]])
        array([[5.]], dtype=float32)
        """
        if self._knows_its_buffers():
            return copy.copy(self._learner)
        extents = [n if axis in self._kept else None for axis, n in enumerate(self.mean.shape)]
        kept = [n for n in extents if n is not None]
        given = {
            name: getattr(self, name).detach().cpu().numpy().reshape(kept) for name in ("mean", "variance")
        }
        plain = Learner.from_config(self._learner.get_config() | given)
        plain.build(extents)
        return plain

    # ---- learning

    def adapt(
        self,
        data: Any,
        batch_size: int | None = None,
        steps: int | None = None,
        *,
        use_sample_weight: bool = False,
        threads: int | None = None,
    ) -> None:
        """Forget everything, learn data, and use that.

        Parameters
        ----------
        data : Tensor, Moments, array, table, DataLoader, or iterable of batches
            As for `exactnorm.Normalization.adapt`. Of batches (x, y) and (x, y, sample_weight), tuples or
            lists, x counts. Tensors on a device are copied to the host, a large one in pieces.
        batch_size, steps, use_sample_weight, threads
            As for `exactnorm.Normalization.adapt`. An endless DataLoader needs steps.

        Raises
        ------
        ValueError, TypeError
            As `exactnorm.Normalization.adapt`. The layer is as it was.

        Examples
        --------
        >>> import torch
        >>> import exactnorm.torch
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> x, y = torch.arange(8.0).reshape(4, 2), torch.zeros(4)
        >>> layer = exactnorm.torch.Normalization()
        >>> layer.adapt(DataLoader(TensorDataset(x, y), batch_size=2))
        >>> layer.mean
        tensor([[3., 4.]])
        """
        batch_size, steps = at_least_one(batch_size, "batch_size"), at_least_one(steps, "steps")
        rows = None if batch_size is None or steps is None else batch_size * steps
        data = host(data, self._learner.axis, rows)
        with late():
            self._learner.adapt(data, batch_size, steps, use_sample_weight=use_sample_weight, threads=threads)
            self._show()

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Fix the rank and the extents of the kept axes, and make the buffers.

        Parameters
        ----------
        input_shape : sequence of int or None
            None for an unknown extent, on reduced axes only.

        Raises
        ------
        ValueError
            As `exactnorm.Normalization.build`.
        """
        with late():
            self._learner.build(tuple(input_shape))
            if self.mean is None:
                self._show()

    def update_state(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Learn data on top of what is known; calls see it after `finalize_state`.

        Parameters
        ----------
        data, use_sample_weight, threads
            As for `adapt`.

        Raises
        ------
        RuntimeError
            If the layer is not built, or its buffers were written from outside.
        ValueError, TypeError
            As `adapt`.
        """
        self._require_known_buffers("update_state")
        data = host(data, self._learner.axis)
        self._learner.update_state(data, use_sample_weight=use_sample_weight, threads=threads)
        self._show_count()

    def finalize_state(self) -> None:
        """Make calls use what has been learned, or what was written into mean and variance since.

        Raises
        ------
        ValueError
            For a feature without any value, a negative variance, and for what a policy refuses. The layer
            is as it was.
        """
        if self._knows_its_buffers():
            with late():
                self._learner.finalize_state()
                self._show()
        else:
            self._accept_buffers()

    def reset_state(self) -> None:
        """Forget what was learned; calls keep their statistics until `finalize_state`."""
        if self.mean is not None and not self._is_given:
            self._learner.reset_state()
            self._vouch()

    def merge_state(self, layers: Iterable[Normalization | Learner] | Normalization | Learner) -> None:
        """Add what other layers, of torch or not, have learned, and use all of it.

        Raises
        ------
        ValueError
            For layers that keep other axes or shapes, have other names, or were given mean and variance.
        RuntimeError
            For a layer that is not built, or whose buffers were written from outside.

        Examples
        --------
        >>> import exactnorm.torch
        >>> a, b = exactnorm.torch.Normalization(), exactnorm.torch.Normalization()
        >>> a.adapt([[1.0], [2.0]])
        >>> b.adapt([[6.0]])
        >>> a.merge_state([b])
        >>> a.mean
        tensor([[3.]])
        """
        self._require_known_buffers("merge_state")
        others = []
        for layer in [layers] if isinstance(layers, (Normalization, Learner)) else layers:
            if isinstance(layer, Normalization):
                layer._require_known_buffers("merge_state")
            others.append(layer._learner if isinstance(layer, Normalization) else layer)
        with late():
            self._learner.merge_state(others)
            self._show()

    def forget(self, data: Any, *, use_sample_weight: bool = False, threads: int | None = None) -> None:
        """Take away data that this layer has learned, and use the rest.

        Parameters
        ----------
        data, use_sample_weight, threads
            As for `adapt`.

        Raises
        ------
        ValueError
            Naming the feature, if the data were provably not learned, or if nothing would be left of it.
        RuntimeError
            If the layer is not built, or its buffers were written from outside.
        """
        self._require_known_buffers("forget")
        data = host(data, self._learner.axis)
        with late():
            self._learner.forget(data, use_sample_weight=use_sample_weight, threads=threads)
            self._show()

    # ---- what is known

    @property
    def axis(self) -> tuple[int, ...]:
        """The axes to keep, as they were given; () for None."""
        return self._learner.axis

    @property
    def names(self) -> tuple[str, ...] | None:
        """The learned features' names in C order, if they have any."""
        return self._learner.names

    @property
    def built(self) -> bool:
        """Whether rank and kept extents are fixed, and there are buffers."""
        return self.mean is not None

    @property
    def is_adapted(self) -> bool:
        """Whether the layer has been fit to data: by `adapt`, `merge_state`, or before it was saved."""
        return self._learner.is_adapted

    @property
    def moments(self) -> Moments:
        """A copy of what has been learned.

        RuntimeError before the layer is built, if mean and variance were given, and after the buffers were
        written from outside.
        """
        self._require_known_buffers("read moments")
        return self._learner.moments

    def extra_repr(self) -> str:
        """Return the arguments that are not the defaults, and the state, for the module's repr."""
        config = self._learner.get_config() | {"dtype": self.dtype}
        default = Learner().get_config() | {"dtype": torch.float32}
        arguments = [f"{key}={value!r}" for key, value in config.items() if value != default[key]]
        return ", ".join([*arguments, self._learner._summary().rpartition("): ")[2]])
