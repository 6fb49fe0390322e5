"""What a neuron layer computes on its way to the spikes, timestep by timestep, to be looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.errors import UserError, did_you_mean
from snnbench.kernels.cell import Cell, State, check_call
from snnbench.kernels.coefficients import coefficients_of
from snnbench.kernels.engines import reference

INPUT, ABOVE, SPIKES = "x", "u", "s"
"""What every neuron has beside its states; a state of such a name stands before it."""


@contextlib.contextmanager
def recorded(neuron: Any, names: Sequence[str], steps: bool) -> Iterator[dict[str, Tensor]]:
    """Inside, each call of `neuron` leaves its traces in the dict that is given; see `SpikingNeuron.record`.

    Args:
        neuron: the neuron.
        names: what to keep.
        steps: whether it runs by its step; if not, by a `run` of its own.
    """
    known = tuple(dict.fromkeys((*(neuron.states if steps else ()), INPUT, ABOVE, SPIKES)))
    for name in names:
        if name not in known:
            what = type(neuron).__name__
            hint = f"{did_you_mean(name, known)} There are: {', '.join(known)}."
            raise UserError(f"record({name!r}): {what} has no such quantity.{hint}")
    traces: dict[str, Tensor] = {}
    own_run = neuron.run  # of the class, bound

    def run(x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        watched = _Watched(neuron)
        if steps:
            coefficients = coefficients_of(neuron, x.device)
            state = neuron.start(x) if state is None else state
            check_call(neuron, x, state, coefficients)
            spikes, last = reference.run(watched, x, state, coefficients)
        else:
            with _replaced(neuron, spike=watched.spike):
                spikes, last = own_run(x, state)
        found = {INPUT: x, SPIKES: spikes, **watched.traces(x)}
        traces.update({name: found[name].detach() for name in names or known})
        return spikes, last

    with _replaced(neuron, run=run, forward=lambda x, state=None: run(x, state)[0]):
        yield traces


class _Watched:
    """A neuron, for the reference engine, that remembers what its steps were given and gave."""

    def __init__(self, neuron: Cell) -> None:
        self.states, self.per_step, self.engine = neuron.states, neuron.per_step, neuron.engine
        self.spike: Any = self._spike
        self._neuron, self._surrogate = neuron, neuron.spike
        self._above: list[Tensor] = []
        self._states: list[State] = []

    def coefficients(self) -> dict[str, Tensor]:
        return self._neuron.coefficients()

    def _spike(self, u: Tensor) -> Tensor:
        self._above.append(u)
        spikes: Tensor = self._surrogate(u)
        return spikes

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Any) -> tuple[Tensor, State]:
        before = len(self._above)
        s, state = self._neuron.step(x, state, c, spike)
        del self._above[before:-1]  # of a step that asks more than once, the last is kept
        self._states.append(state)
        return s, state

    def traces(self, x: Tensor) -> dict[str, Tensor]:
        """Those of the states and of u, [T, B, ...] like x."""
        found = {name: torch.stack([state[name] for state in self._states]) for name in (self._states or [{}])[0]}
        if self._above:
            found.setdefault(ABOVE, torch.stack(self._above).view(x.shape))
        return found


@contextlib.contextmanager
def _replaced(module: nn.Module, **attributes: Any) -> Iterator[None]:
    """Inside, the module itself has these attributes, which hide its class's or replace its own."""
    own = {name: vars(module)[name] for name in attributes if name in vars(module)}
    vars(module).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(module)[name]
        vars(module).update(own)
