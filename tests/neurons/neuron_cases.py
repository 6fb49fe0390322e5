"""Every neuron of the project in every form that changes its equations, read off the classes; and a smooth spike.

A new neuron is here by existing. Its forms are the default, each switch of its constructor turned, and each kind of
reset. Forms that no signature tells of, at numbers where their parts do something, are added by hand below.
"""

import dataclasses
import functools
import inspect
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor

from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron, registry
from snnbench.neurons.surrogate import Sigmoid, Surrogate
from snnbench.registry import keywords

CONFIGS = Path(__file__).parents[2] / "configs" / "neuron"
NEURONS = registry.own()

MORE = {
    "lif": {
        "rest": {"tau": 3.0, "v_reset": -0.25},
        "raw soft": {"decay_input": False, "v_reset": None},
        "leak": {"leak": 0.25, "v_th": 0.5},
    },
    "plif": {"raw soft": {"tau": 1.5, "decay_input": False, "v_reset": None}},
    "klif": {
        "scaled": {"scale_reset": True, "k": 1.5},
        "scaled soft": {"scale_reset": True, "k": 0.75, "v_reset": None},
        "bare": {"relu": False, "k": 1.5},
        "fixed": {"learn_k": False, "k": 1.5},
    },
    "dalif": {
        "sigmoid soft": {"squash": "sigmoid", "v_reset": None},
        "fixed": {"squash": "none", "alpha_init": "ones", "beta_init": 0.5, "learn_alpha": False},
    },
    "arlif": {
        "dvs": {"leak": 0.2, "carry_memory": False},
        "soft": {"reset": "soft"},
        "hard": {"reset": "hard"},
    },
    "glif": {"set gates": {"alpha": 0.6, "beta": 0.3, "gamma": 0.8}},
    "masked_psn": {"half": {"k": 2, "lambda_init": 0.5}},
    "sliding_psn": {"short": {"k": 3}},
    "channelwise_psn": {"dilated": {"k": 3, "dilation": 2}},
}

OF_THE_BATCH = {"dsatgo"}
"""Neurons whose training step reads the whole batch: here as in evaluation; their training has its own tests."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Smooth(Surrogate):
    """Forward, too, is the primitive: finite differences can then judge the gradient."""

    base: Surrogate = dataclasses.field(default_factory=Sigmoid)

    def __call__(self, u: Tensor) -> Tensor:
        return self.base.primitive(u)


def make(name: str, T: int, channels: int | None = 3, **options: object) -> SpikingNeuron:
    """The neuron that configs call `name`; what its constructor must be given and is not here, its config says."""
    cls = NEURONS[name]
    needed = {key for key, found in keywords(cls).items() if found.default is inspect.Parameter.empty}
    if needed - options.keys():
        config = OmegaConf.create({"T": T, "neuron": _config(name)}).neuron
        options = {key: config[key] for key in needed} | options
    neuron = cls(channels=channels, **options)
    return neuron.eval() if name in OF_THE_BATCH else neuron


@functools.cache
def _config(name: str):
    return OmegaConf.load(CONFIGS / f"{name}.yaml")


def forms(name: str) -> dict[str, dict[str, object]]:
    """Options by form. The reset is not detached in any: its gradient is not that of what is computed forward."""
    known = keywords(NEURONS[name])
    attached = {"detach_reset": False} if "detach_reset" in known else {}
    found: dict[str, dict[str, object]] = {"": {}}
    for key, parameter in known.items():
        if isinstance(parameter.default, bool) and key != "detach_reset":
            found[f"{key}={str(not parameter.default).lower()}"] = {key: not parameter.default}
    if "v_reset" in known:
        found |= {"v_reset=null": {"v_reset": None}, "v_reset=-0.25": {"v_reset": -0.25}}
    found |= MORE.get(name, {})
    alone = make(name, 2).not_fusable  # a form that is no function of x and state any more has tests of its own
    return {key: attached | options for key, options in found.items() if make(name, 2, **options).not_fusable == alone}


def uneven(name: str) -> dict[str, float]:
    """Options that make each number of the constructor one that float32 rounds, where the neuron takes it."""
    found = {}
    for key, parameter in keywords(NEURONS[name]).items():
        if isinstance(parameter.default, float) and parameter.default:
            try:
                make(name, 2, **{key: 0.85 * parameter.default})
            except UserError:
                continue
            found[key] = 0.85 * parameter.default
    return found


def moved(neuron: SpikingNeuron) -> SpikingNeuron:
    """The neuron with its parameters away from where they start, where terms may vanish."""
    generator = torch.Generator().manual_seed(5)
    for value in neuron.parameters():
        value.data += 0.1 * torch.randn(value.shape, generator=generator)
    return neuron


def build(case: str, T: int, channels: int | None = 3, **options: object) -> SpikingNeuron:
    """The neuron of a case, for x of [T, B, channels, ...]."""
    return make(CASES[case][0], T, channels, **CASES[case][1], **options)


CASES = {f"{name} {form}".rstrip(): (name, options) for name in NEURONS for form, options in forms(name).items()}
"""By the name of the case: the neuron's, and the options."""
STRAIGHT_THROUGH = {"glif hard_gates=true", "lif detach_state=true", "channelwise_psn powers_of_two=true", "dsr"}
STRAIGHT_THROUGH |= {"ltsnn", "ltsnn v_reset=null", "ltsnn v_reset=-0.25"}
STRAIGHT_THROUGH |= {case for case in CASES if case.startswith("graded_lif")}
"""Cases whose gradient is, on purpose, not that of what they compute forward."""
STEPPED = [name for name, cls in NEURONS.items() if cls.step is not SpikingNeuron.step]
"""Those from whose step kernels are made."""
ALL = list(CASES)
STREAMING = [case for case, (name, _) in CASES.items() if "T" not in keywords(NEURONS[name])]
"""Those that take any number of timesteps, and a state."""
