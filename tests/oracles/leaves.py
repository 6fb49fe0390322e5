"""The leaves of a network: convolutions, linear layers, norms and neurons, paired with those of an oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.backbones.fsta import FSTA
from snnbench.backbones.nf import SkipGain
from snnbench.backbones.norms import BatchNorm
from snnbench.backbones.sew import StepOffset
from snnbench.neurons import ReLU, SpikingNeuron
from tests.oracles.oracle import Oracle, normal

KINDS: dict[str, type[nn.Module] | tuple[type[nn.Module], ...]] = {
    "conv": nn.Conv2d,
    "linear": nn.Linear,
    "norm": BatchNorm,
    "neuron": (SpikingNeuron, ReLU),
    "attention": FSTA,
    "offset": StepOffset,
    "skip": SkipGain,
}


@dataclass(frozen=True)
class Leaf:
    """A leaf of our network; `reads` is the leaf whose output it is fed without anything between, or None."""

    name: str
    kind: str
    module: nn.Module
    reads: nn.Module | None

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """Its parameters by their names, in the order of the names."""
        return {name.removeprefix("bn."): p for name, p in sorted(self.module.named_parameters())}

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def leaf_kinds(network: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Name, kind and module of each leaf, in the order of definition; what lies in an attention is the attention's."""
    inner = {part for module in network.modules() if isinstance(module, FSTA) for part in module.children()}
    for name, module in network.named_modules():
        for kind, cls in KINDS.items():
            if isinstance(module, cls) and module not in inner:
                yield name, kind, module


def trace(network: nn.Module, x: Tensor) -> list[Leaf]:
    """The leaves in the order of their first call, in an evaluation forward of x.

    Behind them those that are called in training alone, where there are any.
    """
    called: dict[nn.Module, Leaf] = {}
    outputs: list[tuple[Tensor, nn.Module]] = []  # kept, so that no address is given away twice
    handles = []
    for name, kind, module in leaf_kinds(network):

        def note(module: nn.Module, inputs: Any, output: Tensor, name: str = name, kind: str = kind) -> None:
            reads = next((m for out, m in outputs if out.data_ptr() == inputs[0].data_ptr()), None)
            called.setdefault(module, Leaf(name, kind, module, reads))
            outputs.append((output, module))

        handles.append(module.register_forward_hook(note))
    training = network.training
    with torch.no_grad():
        network.eval()(x)
        if len(called) < len(handles):
            network.train()(x)
    network.train(training)
    for handle in handles:
        handle.remove()
    return list(called.values())


def match(oracle: Oracle, network: nn.Module) -> list[Leaf]:
    """Our leaf for each of the oracle's.

    Each kind is taken in its own order, as the order within a residual block is a matter of taste; a norm for which
    the oracle says what it reads is the one that reads this in our network.

    Raises:
        AssertionError: our network has other leaves.
    """
    ours = trace(network, oracle.batch[0])
    for kind in KINDS:
        wanted, found = (sum(k == kind for k in kinds) for kinds in (_kinds(oracle.leaves), (o.kind for o in ours)))
        assert found == wanted, f"{oracle.system}: {found} leaves of kind {kind}, the official network has {wanted}"
    pairs: dict[int, Leaf] = {}
    for norms in (False, True):
        for leaf in oracle.leaves:
            if (leaf["kind"] == "norm") == norms and "fed_by" not in leaf:
                taken = {id(leaf.module) for leaf in pairs.values()}
                fed = {id(pairs[n["fed_by"]].module) for n in oracle.leaves if "fed_by" in n} if norms else set()
                pairs[leaf["k"]] = next(
                    o for o in ours if o.kind == leaf["kind"] and id(o.module) not in taken and id(o.reads) not in fed
                )
    for leaf in oracle.leaves:
        if "fed_by" in leaf:
            source = pairs[leaf["fed_by"]]
            readers = [o for o in ours if o.kind == "norm" and o.reads is source.module]
            assert len(readers) == 1, f"{oracle.system}: {len(readers)} norms read {source}, officially one"
            pairs[leaf["k"]] = readers[0]
    return [pairs[leaf["k"]] for leaf in oracle.leaves]


def _kinds(leaves: Sequence[dict[str, Any]]) -> Iterator[str]:
    return (leaf["kind"] for leaf in leaves)


def fill(oracle: Oracle, leaves: Sequence[Leaf]) -> None:
    """Give all parameters the oracle's values, and the running statistics mean 0 and variance 1.

    Raises:
        AssertionError: a parameter has another name or size.
    """
    for theirs, ours in zip(oracle.leaves, leaves, strict=True):
        where = f"{oracle.system}: leaf {theirs['k']}, {ours}"
        assert sorted(theirs["params"]) == list(ours.parameters), f"{where}: other parameters: {theirs['params']}"
        for j, (name, parameter) in enumerate(ours.parameters.items()):
            shape = theirs["params"][name]
            same = [n for n in shape if n > 1] == [n for n in parameter.shape if n > 1]
            assert same, f"{where}: {name} is {list(parameter.shape)}, officially {shape}"
            z = torch.as_tensor(normal(oracle.seed, theirs["k"], j, shape=shape))
            with torch.no_grad():
                parameter.copy_(_value(oracle, theirs, name, z).reshape(parameter.shape))
        if ours.kind == "norm":
            set_running(ours, torch.tensor(0.0), torch.tensor(1.0))


def _value(oracle: Oracle, leaf: dict[str, Any], name: str, z: Tensor) -> Tensor:
    gain = leaf.get("gain", 1.0)
    if leaf["kind"] == "neuron":
        rule = oracle.facts["neuron_fill"][leaf["neuron"]][name]
        return torch.tensor(rule["start"], dtype=z.dtype) + rule["scale"] * z
    if name == "bias":
        return 0.1 * z
    if leaf["kind"] in ("norm", "skip") or name == "gain":
        return gain * (1 + 0.1 * z)
    return gain * z * (2 / z[0].numel()) ** 0.5


def set_running(norm: Leaf, mean: Tensor, var: Tensor) -> None:
    norm.module.get_buffer("bn.running_mean").copy_(mean.expand_as(norm.module.get_buffer("bn.running_mean")))
    norm.module.get_buffer("bn.running_var").copy_(var.expand_as(norm.module.get_buffer("bn.running_var")))


def fill_evaluation(oracle: Oracle, leaves: Sequence[Leaf]) -> None:
    """Running statistics for the evaluation forward: near those of the training forward, as `eval_note` says."""
    for theirs, ours in zip(oracle.leaves, leaves, strict=True):
        if theirs["kind"] == "norm":
            (mean, var), channels = theirs["eval_stats"], theirs["params"]["bias"]
            z0, z1 = (torch.from_numpy(normal(oracle.seed, theirs["k"], j, 9, shape=channels)) for j in (0, 1))
            set_running(ours, mean + 0.1 * var**0.5 * z0, var * (1 + 0.1 * z1.abs()))
