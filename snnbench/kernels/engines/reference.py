"""The reference engine: the step, in plain PyTorch, in a Python loop over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from snnbench.errors import UserError, did_you_mean
from snnbench.kernels.cell import Cell, State
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.derivatives import differentiated

States = Sequence[Tensor | None]


class UnknownName(UserError, KeyError):
    """A step asks for a coefficient or a state that there is not."""

    __str__ = UserError.__str__


class _Given(dict[str, Tensor]):
    """What a step is given by name."""

    def __init__(self, cell: Cell, source: str, values: Mapping[str, Tensor]) -> None:
        super().__init__(values)
        self._asked = f"{type(cell).__name__}.step", source

    def __missing__(self, name: Any) -> Tensor:
        step, source = self._asked
        near = did_you_mean(str(name), list(self))
        raise UnknownName(f"{step} reads {name!r}, which is not in its {source}: {', '.join(self) or 'none'}.{near}")


def run(cell: Cell, x: Tensor, state: State | None, given: Mapping[str, Tensor] | None = None) -> tuple[Tensor, State]:
    """Run `cell` over x [T, B, ...]; states and arithmetic are at least float32, spikes have x's dtype.

    `given` is what the cell has returned as its coefficients for this call, if it was asked already.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    given = coefficients_of(cell, x.device) if given is None else given
    coefficients = {name: value.to(dtype) for name, value in given.items()}
    state = dict(state) if state is not None else {}
    for name in cell.states:
        state.setdefault(name, torch.zeros_like(x[0], dtype=dtype))
    spikes = []
    with torch.autocast(_autocasting(x.device.type), enabled=False):
        for t, current in enumerate(x.unbind(0)):
            c = {name: _at(value, t, name in cell.per_step, x) for name, value in coefficients.items()}
            if not torch.compiler.is_compiling():
                c, state = _Given(cell, "coefficients()", c), _Given(cell, "states", state)
            s, state = cell.step(current.to(dtype), state, c, cell.spike)
            if missing := set(cell.states) - state.keys():
                returned = f"returns the states {sorted(state)}, declared are {sorted(cell.states)}"
                raise UserError(f"{type(cell).__name__}.step: {returned}; {sorted(missing)[0]!r} is missing.")
            spikes.append(s)
        return torch.stack(spikes).to(x.dtype), dict(state)


def backward(
    cell: Cell,
    names: Sequence[str],
    x: Tensor,
    states: States,
    coefficients: Sequence[Tensor],
    grads: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients that autograd gives for `run`, which is run once more.

    Args:
        cell: the neuron.
        names: of its coefficients.
        x, states, coefficients: what was given to it.
        grads: of the spikes and of each final state, None being zeros.
        wanted: whether a gradient is wanted of x, of each state, of each coefficient.

    Returns:
        As many gradients, None where not wanted or where there is none. They can be differentiated again if gradients
        are enabled.
    """
    n = len(states)

    def results(x: Tensor, *rest: Tensor | None) -> list[Tensor]:
        state = {k: v for k, v in zip(cell.states, rest[:n], strict=True) if v is not None}
        s, finals = run(cell, x, state, dict(zip(names, rest[n:], strict=True)))  # type: ignore[arg-type]
        return [s, *(finals[name] for name in cell.states)]

    return differentiated(results, (x, *states, *coefficients), wanted, grads)


@torch.compiler.assume_constant_result  # torch.compile of PyTorch 2.11 cannot look into it
def _autocasting(device: str) -> str:
    """The kind of device whose autocast could be at work for tensors on `device`."""
    return device if torch.amp.is_autocast_available(device) else "cpu"


def _at(value: Tensor, t: int, per_step: bool, x: Tensor) -> Tensor:
    """The coefficient of timestep t, shaped to broadcast against x[t]."""
    if per_step:
        value = value[t]
    return value.view(-1, *[1] * (x.dim() - 3)) if value.dim() else value
