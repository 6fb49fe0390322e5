"""What every spiking neuron shares: states, reset, surrogate, and the run over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn

from snnbench import kernels
from snnbench.check import count, flag, number
from snnbench.errors import UserError, did_you_mean
from snnbench.kernels import State
from snnbench.kernels.cell import check_call
from snnbench.kernels.recording import recorded
from snnbench.neurons.surrogate import Surrogate, make_surrogate
from snnbench.registry import Registry, config_name

registry: Registry[SpikingNeuron] = Registry("snnbench.neurons")
Outputs = Literal["spikes", "signed", "scaled", "graded"]
OUTPUTS: tuple[str, ...] = get_args(Outputs)


class SpikingNeuron(nn.Module):
    """A layer of spiking neurons, defined by one pure function: `step`.

    A subclass names its `states`, returns its learnable `coefficients` and writes `step`; the loop over time,
    the gradients and the fused kernels follow from these.

    Attributes:
        label: how papers write its name; the class's name, unless the class says otherwise.
        config_name: what configs call it; from the class's name (MaskedPSN: masked_psn), unless it says otherwise.
        year: in which it was published; orders tables and figures.
        outputs: what it hands on: "spikes", 0 or 1; "signed" spikes, -1, 0 or 1, each of which is an accumulate to
            what it reaches; "scaled" spikes, 0 or a height, each product of which is a multiply-accumulate; or "graded"
            values, of which no firing rate tells, and each product is a multiply-accumulate.
        states: the names of the state variables; each starts at 0, also where v_reset is another number
            (SpikingJelly starts at v_reset).
        per_step: the names of the coefficients whose first dimension is time.
        gates: the names of the parameters that choose between forms of the neuron; optimizers may treat them apart.

    Args:
        v_th: firing threshold, above 0.
        v_reset: value after a spike (hard reset), below v_th; or None to subtract the threshold (soft reset).
        detach_reset: if true, no gradient flows through the spike in the reset.
        surrogate: a name ("atan", "sigmoid", "rectangle", "triangle", "tanh"), or `{name: ..., <parameters>}`.
        channels: the number of channels, for neurons with a coefficient per channel; backbones pass it.
        engine: "auto", "reference", "cpu" or "cuda".

    Raises:
        UserError: an argument outside its range; the message names it as neuron.<key>.
    """

    label: ClassVar[str] = ""
    config_name: ClassVar[str] = ""
    year: ClassVar[int | None] = None
    outputs: ClassVar[Outputs] = "spikes"
    states: tuple[str, ...] = ("v",)
    per_step: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Enter the registry, unless this is a base: without a step (or a run of its own), or named _..."""
        super().__init_subclass__(**options)
        if cls.outputs not in OUTPUTS:
            hint = did_you_mean(str(cls.outputs), OUTPUTS)
            raise UserError(f"{cls.__name__}.outputs={cls.outputs!r}: must be one of {', '.join(OUTPUTS)}.{hint}")
        cls.label = vars(cls).get("label", cls.__name__)
        cls.config_name = vars(cls).get("config_name", config_name(cls.__name__))
        complete = cls.step is not SpikingNeuron.step or cls.run is not SpikingNeuron.run
        if complete and not cls.__name__.startswith("_"):
            registry.enter(cls, cls.config_name)

    def __init__(
        self,
        *,
        v_th: float = 1.0,
        v_reset: float | None = 0.0,
        detach_reset: bool = False,
        surrogate: str | Mapping[str, Any] | Surrogate = "atan",
        channels: int | None = None,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.v_th = number("neuron.v_th", v_th, "(0, inf)")
        below = f"(-inf, {self.v_th})"
        hint = "It must lie below neuron.v_th; null is the soft reset."
        self.v_reset = number("neuron.v_reset", v_reset, below, also=(None,), hint=hint)
        self.detach_reset = flag("neuron.detach_reset", detach_reset)
        self.spike = make_surrogate(surrogate)
        self.channels = count("neuron.channels", channels, also=(None,))
        self.engine = kernels.check_engine(engine)

    @property
    def not_fusable(self) -> str | None:
        """Why no kernel can be derived from `step` as the neuron is now; None where one can."""
        return None

    @property
    def work(self) -> dict[str, int] | None:
        """What one computes in a timestep of an evaluation; None where `energy.neuron_ops` can read it off the step.

        It cannot where there is none, or where some of it is of training alone.
        """
        return None

    def coefficients(self) -> dict[str, Tensor]:
        """The differentiable inputs of `step`: 0-d, [C], or for those in `per_step` [T] or [T, C]."""
        return {}

    def start(self, x: Tensor) -> State | None:
        """What a call with x [T, B, ...] and no state starts from; None is zeros, as is each state that is not in it.

        Neurons that draw at random (ASGL) override it.
        """
        return None

    def step(self, x: Tensor, state: State, c: Mapping[str, Tensor], spike: Surrogate) -> tuple[Tensor, State]:
        """One timestep. Pure: no loop, no hidden state, no in-place update.

        Args:
            x: input current of this timestep, [B, ...].
            state: the states, each shaped like x.
            c: the coefficients of this timestep, broadcastable to x. Constants are Python floats on self.
            spike: the surrogate; `spike(u)` is 1 where u >= 0.

        Returns:
            The outputs, shaped like x, and the new states.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def reset(self, h: Tensor, s: Tensor, threshold: Tensor | None = None) -> Tensor:
        """The membrane after firing: h - s v_th (soft, v_reset=None), or h (1 - s) + v_reset s (hard).

        A neuron that learns its threshold gives it, to stand in the place of v_th.
        """
        if self.detach_reset:
            s = s.detach()
        if self.v_reset is None:
            return h - s * (self.v_th if threshold is None else threshold)
        v = h * (1 - s)
        return v + s * self.v_reset if self.v_reset != 0.0 else v

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """Spikes of the whole sequence.

        Args:
            x: input current, time first: [T, B, ...]; channels, where they matter, are dimension 2.
            state: the state to start from; zeros when None.

        Returns:
            Outputs, of the kind that `outputs` says, with x's shape and dtype.
        """
        if type(self).run is not SpikingNeuron.run:
            return self.run(x, state)[0]
        state = self.start(x) if state is None else state
        return kernels.run(self, x, state, last=False)[0]  # the final state is not even written

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Like calling the neuron, but also returns the final state, to be handed in with the next chunk."""
        return kernels.run(self, x, self.start(x) if state is None else state)

    def record(self, *names: str) -> AbstractContextManager[dict[str, Tensor]]:
        """A context in which the neuron keeps what its last call computed: `with neuron.record("v", "s") as traces:`.

        Each trace is [T, B, ...], detached: a state after each timestep (after the reset, therefore), `x`, the input
        current, `s`, the spikes, and `u`, what the surrogate was given: how far the membrane was above the threshold
        before the reset. Meanwhile the reference engine runs, whatever `engine` says.

        Args:
            names: what to keep; all of it where none is named.

        Raises:
            UserError: the neuron has no such state, or computes spikes in a way of its own.
        """
        kind = type(self)
        if kind.forward is not SpikingNeuron.forward:
            raise UserError(f"record: {kind.__name__} has a forward of its own, which nobody can look into.")
        return recorded(self, names, steps=kind.run is SpikingNeuron.run)

    def follow(self, norm: nn.Module) -> None:
        """Called once by the unit in which the neuron reads what `norm` gives.

        Neurons that depend on it (MPDAGL) override it.
        """

    def set_progress(self, fraction: float) -> None:
        """Called at the start of each training epoch with epoch / (epochs - 1), in [0, 1].

        Neurons with a schedule (MaskedPSN) override it.
        """

    def freeze(self) -> None:
        """From now on it learns nothing: its parameters are constants, and none of an optimizer's."""
        for module in self.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, parameter.detach())

    def reset_repr(self) -> str:
        """The kind of reset, as `repr` shows it."""
        kind = "soft" if self.v_reset is None else f"hard({self.v_reset:g})"
        return kind + (", detached" if self.detach_reset else "")

    def extra_repr(self) -> str:
        return f"v_th={self.v_th:g}, reset={self.reset_repr()}, surrogate={self.spike}, engine={self.engine}"


def check_reference(neuron: SpikingNeuron, what: str) -> None:
    """Refuse a fused engine for a neuron that none can run; `what` says what it is.

    Raises:
        UserError: its `engine` names one.
    """
    if neuron.engine not in ("auto", "reference"):
        raise UserError(
            f"engine={neuron.engine}: {type(neuron).__name__} is {what}, which no fused engine runs. "
            "Use engine=auto or engine=reference."
        )


def check_whole(neuron: SpikingNeuron, x: Tensor, state: State | None, T: int) -> None:
    """Refuse a call of a neuron that needs all of its T timesteps at once, if x [T, B, ...] has others.

    Raises:
        ValueError: there is a state, or x has another shape than such a neuron takes.
    """
    name = type(neuron).__name__
    if state is not None:
        raise ValueError(f"{name} sees all of its T={T} timesteps at once: it takes no state, so it cannot stream")
    check_call(neuron, x, None, {})
    if x.shape[0] != T:
        raise ValueError(f"{name} was built for T={T} timesteps, x {list(x.shape)} has {x.shape[0]}")


def spiking_layers(network: nn.Module) -> dict[str, SpikingNeuron]:
    """The neuron layers by their names in the network, in definition order."""
    return {name: module for name, module in network.named_modules() if isinstance(module, SpikingNeuron)}


def of_neurons(network: nn.Module, names: Iterable[str]) -> list[str]:
    """Those names of a state dict of the network that lie within a neuron layer."""
    layers = tuple(f"{name}." for name in spiking_layers(network))
    return [name for name in names if name.startswith(layers)]
