"""Which kernels run."""

from __future__ import annotations

from typing import NamedTuple

from exactnorm import _core


class Target(NamedTuple):
    """An instruction set that kernels were compiled for."""

    name: str
    """As ``EXACTNORM_TARGET`` takes it."""
    supported: bool
    """Whether this CPU has it."""
    chosen: bool
    """Whether it is used."""


def targets() -> list[Target]:
    """List the instruction sets that kernels were compiled for, best first. Results do not depend on them.

    The environment variable ``EXACTNORM_TARGET`` forces one.

    Raises
    ------
    ValueError
        If ``EXACTNORM_TARGET`` names none of them, or one this CPU lacks.

    Examples
    --------
    >>> import exactnorm as en
    >>> en.targets()[-1].name
    'portable'
    """
    return [Target(*target) for target in _core.targets()]
