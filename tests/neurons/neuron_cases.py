"""Every neuron in every form that changes its equations, and a spike that is smooth forward, too."""

import dataclasses
from collections.abc import Callable
from functools import partial

from torch import Tensor

from snnbench.neurons import (
    ARLIF,
    CLIF,
    DALIF,
    GLIF,
    IF,
    KLIF,
    LIF,
    PLIF,
    PSN,
    LIFNoReset,
    MaskedPSN,
    SlidingPSN,
    SpikingNeuron,
)
from snnbench.neurons.surrogate import Sigmoid, Surrogate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Smooth(Surrogate):
    """Forward, too, is the primitive: finite differences can then judge the gradient."""

    base: Surrogate = dataclasses.field(default_factory=Sigmoid)

    def __call__(self, u: Tensor) -> Tensor:
        return self.base.primitive(u)


STEPPED: dict[str, Callable[..., SpikingNeuron]] = {
    "if": IF,
    "if-soft": partial(IF, v_reset=None),
    "lif": LIF,
    "lif-rest": partial(LIF, tau=3.0, v_reset=-0.25),
    "lif-raw-input": partial(LIF, decay_input=False, v_reset=None),
    "lif-leak": partial(LIF, leak=0.25, v_th=0.5),
    "lif-no-reset": LIFNoReset,
    "plif": partial(PLIF, detach_reset=False),
    "plif-soft": partial(PLIF, tau=1.5, decay_input=False, v_reset=None, detach_reset=False),
    "klif": KLIF,
    "klif-scaled": partial(KLIF, scale_reset=True, k=1.5),
    "klif-scaled-soft": partial(KLIF, scale_reset=True, k=0.75, v_reset=None),
    "klif-bare": partial(KLIF, relu=False, k=1.5),
    "klif-fixed": partial(KLIF, learn_k=False, k=1.5),
    "clif": CLIF,
    "dalif": DALIF,
    "dalif-soft": partial(DALIF, squash="sigmoid", v_reset=None),
    "dalif-fixed": partial(DALIF, squash="none", alpha_init="ones", beta_init=0.5, learn_alpha=False),
    "arlif": ARLIF,
    "arlif-dvs": partial(ARLIF, leak=0.2, carry_memory=False),
    "arlif-soft": partial(ARLIF, reset="soft"),
    "arlif-hard": partial(ARLIF, reset="hard"),
    "arlif-fixed-threshold": partial(ARLIF, threshold_adjustment=False),
}

OVER_TIME: dict[str, Callable[..., SpikingNeuron]] = {
    "glif": GLIF,
    "psn": PSN,
    "masked-psn": partial(MaskedPSN, k=2, lambda_init=0.5),
}


def build(name: str, T: int, channels: int = 3, **options: object) -> SpikingNeuron:
    """The neuron called `name`, for x of [T, B, channels, ...]."""
    if name == "sliding-psn":
        return SlidingPSN(k=3, channels=channels, **options)
    if name in OVER_TIME:
        return OVER_TIME[name](T=T, channels=channels, **options)
    return STEPPED[name](channels=channels, **options)


STREAMING = (*STEPPED, "sliding-psn")
ALL = (*STREAMING, *OVER_TIME)
