"""Parameter groups by learning rate and weight decay, and what no optimizer is built with."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrize import ParametrizationList
from torch.optim import Optimizer

from snnbench.check import choices, flag, number, numbers, shown
from snnbench.errors import UserError
from snnbench.neurons import SpikingNeuron

KINDS = ("weight", "bias", "norm", "neuron", "gate")
GROUPING = ("decay", "lr_factors", "adam", "adam_lr")
"""What of an optimizer's config says how its parameters are grouped."""


Kinds = tuple[str, ...]
"""What of KINDS a parameter is, the narrowest first: a gate is of the neuron, too."""


def parameters_with_kinds(network: nn.Module) -> Iterator[tuple[nn.Parameter, Kinds]]:
    """Each parameter once, in the order of `network.modules()`.

    The module decides to which it belongs: all that lies in a neuron or in a norm is of that, be it in a dict, in a
    submodule or behind a parametrization; of a neuron's norm, it is of the norm. Elsewhere, what has no more than one
    dimension counts as a bias.
    """
    seen: set[nn.Parameter] = set()
    for parameter, kinds in _walk(network, None, (), set()):
        if parameter not in seen:
            seen.add(parameter)
            yield parameter, kinds


def _walk(
    module: nn.Module, owner: nn.Module | None, names: Kinds, met: set[nn.Module]
) -> Iterator[tuple[nn.Parameter, Kinds]]:
    """`names` lead from the owner, the neuron or norm around, to `module`; of a parametrization, what it is for."""
    if module in met:
        return
    met.add(module)
    if isinstance(module, SpikingNeuron | _NormBase | nn.LayerNorm | nn.GroupNorm | nn.RMSNorm):
        owner, names = module, ()
    for name, parameter in module.named_parameters(recurse=False):
        kinds = _kinds(owner, names if isinstance(module, ParametrizationList) else (*names, name))
        yield parameter, ("bias",) if kinds == ("weight",) and parameter.dim() <= 1 else kinds
    for name, child in module.named_children():
        replaced = isinstance(module, ParametrizationList)
        yield from _walk(child, owner, names if replaced else (*names, name), met)


def _kinds(owner: nn.Module | None, names: Kinds) -> Kinds:
    if isinstance(owner, SpikingNeuron):
        return ("gate", "neuron") if any(name in owner.gates for name in names) else ("neuron",)
    if owner is not None:
        return ("norm",)
    return ("bias",) if names[-1] == "bias" else ("weight",)


def parameter_groups(
    network: nn.Module,
    lr: float,
    weight_decay: float,
    decay: Sequence[str],
    lr_factors: Mapping[str, float] | None = None,
    adam: Sequence[str] = (),
    adam_lr: float = 1e-3,
) -> list[dict[str, Any]]:
    """A group for each learning rate, with and without weight decay; each parameter once, frozen ones left out.

    Args:
        network: whose parameters.
        lr: the learning rate of what `lr_factors` does not name; its groups come first.
        weight_decay: the decay of what decays.
        decay: the KINDS it acts on.
        lr_factors: what multiplies the learning rate of a kind; the narrowest kind of a parameter decides.
        adam: the kinds that `SGDAdam` gives to Adam, in groups of their own.
        adam_lr: the learning rate of those, times their factor; schedules leave it alone.

    Raises:
        UserError: an unknown kind, a decay below 0, or a factor or adam_lr that is no number above 0.
    """
    number("optimizer.weight_decay", weight_decay, "[0, inf)")
    number("optimizer.adam_lr", adam_lr, "(0, inf)")
    decay, adam = choices("optimizer.decay", decay, KINDS), choices("optimizer.adam", adam, KINDS)
    factors = _check_factors({} if lr_factors is None else lr_factors)
    groups: dict[tuple[float, bool, bool], list[nn.Parameter]] = {(1.0, True, False): [], (1.0, False, False): []}
    for parameter, kinds in parameters_with_kinds(network):
        if parameter.requires_grad:
            factor = next((factors[kind] for kind in kinds if kind in factors), 1.0)
            decays, by_adam = (any(kind in named for kind in kinds) for named in (decay, adam))
            groups.setdefault((factor, decays, by_adam), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            **({} if factor == 1 else {"lr": lr * factor}),
            **({"lr": adam_lr * factor, "adam": True, "scheduled": False} if by_adam else {}),
        }
        for (factor, decays, by_adam), parameters in groups.items()
        if parameters
    ]


def _check_factors(lr_factors: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(lr_factors, Mapping):
        hint = "give factors by kind, such as {gate: 0.1}, or {}"
        raise UserError(f"optimizer.lr_factors={shown(lr_factors)}: {hint}.")
    kinds = choices("optimizer.lr_factors", list(lr_factors), KINDS)
    return {kind: number(f"optimizer.lr_factors.{kind}", lr_factors[kind], "(0, inf)") for kind in kinds}


def check_optimizer(optimizer: Optimizer) -> None:
    """Refuse what PyTorch takes in silence: not-a-number, infinity, and a value of another kind than the default.

    So are groups for Adam in an optimizer that has none.

    Raises:
        UserError: names the key.
    """
    if "adam" not in optimizer.defaults and any(group.get("adam") for group in optimizer.param_groups):
        raise UserError("optimizer.adam: has an effect on optimizer=sgd_adam alone. Leave it out.")
    for name, parameter in inspect.signature(type(optimizer)).parameters.items():
        key, default, value = f"optimizer.{name}", parameter.default, optimizer.defaults.get(name)
        if value is None:  # its own business, or not asked for
            continue
        if isinstance(default, bool):
            flag(key, value)
        elif isinstance(default, int | float):
            number(key, value)
        elif isinstance(default, tuple):
            numbers(key, value, length=len(default))
