"""Our network under an oracle's weights and input: all that the oracle knows of its own."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from snnbench.neurons.base import spiking_layers
from snnbench.training import build
from snnbench.training.losses import Scheduled
from tests.oracles.leaves import Leaf, fill, fill_evaluation, match
from tests.oracles.oracle import load, normal


@dataclass
class Measured:
    """One training forward and backward, then one evaluation forward, in float64.

    Attributes:
        leaves: ours, in the oracle's order; the lists below follow it.
        loss: of the training forward.
        loss_mixed: the loss of the same logits for mixed labels, None where the oracle has none.
        out: the shape of one output map.
        spikes: [training, evaluation], empty but for neurons; of a ReLU, the outputs above 0.
        grad: the three numbers of each parameter's gradient.
        running: the three numbers of mean and variance after training, empty but for norms.
        logits: "train" and "eval", shaped as the oracle's.
    """

    leaves: list[Leaf]
    loss: float = 0.0
    loss_mixed: float | None = None
    logits: dict[str, Tensor] = field(default_factory=dict)
    out: dict[int, list[int]] = field(default_factory=dict)
    spikes: dict[int, list[int]] = field(default_factory=dict)
    grad: list[dict[str, list[float]]] = field(default_factory=list)
    running: list[dict[str, list[float]]] = field(default_factory=list)


@functools.cache
def measure(system: str, *overrides: str) -> Measured:
    """The system's row, with `overrides` of its config on top of the oracle's.

    Raises:
        AssertionError: the network has not the official leaves.
    """
    oracle = load(system)
    cfg = oracle.compose_reduced(None, *overrides)
    network = build.build_network(cfg).double()
    measured = Measured(match(oracle, network))
    fill(oracle, measured.leaves)
    loss_fn = build.build_loss(cfg, network)
    if oracle.facts["progress"] is not None:
        for part in (*spiking_layers(network).values(), loss_fn):
            if isinstance(part, Scheduled):
                part.set_progress(oracle.facts["progress"])
    x, labels = oracle.batch
    with _watched(measured):
        if "dropout_seed" in oracle.facts:
            torch.manual_seed(oracle.facts["dropout_seed"])
        logits = network.train()(x)
        loss = loss_fn(logits, labels)
        loss.backward()
        measured.loss = loss.item()
        if "loss_mixed" in oracle.facts:
            measured.loss_mixed = loss_fn(logits.detach(), oracle.mixed_labels).item()
        measured.grad = [_gradients(oracle.seed, k, leaf) for k, leaf in enumerate(measured.leaves)]
        measured.running = [_running(oracle.seed, k, leaf) for k, leaf in enumerate(measured.leaves)]
        fill_evaluation(oracle, measured.leaves)
        with torch.no_grad():
            evaluated = network.eval()(x)
    mean = oracle.facts["logits_kind"].startswith("mean over T")
    for name, value in (("train", logits), ("eval", evaluated)):
        measured.logits[name] = value.detach().mean(0) if mean else value.detach()
    return measured


@contextmanager
def _watched(measured: Measured) -> Iterator[None]:
    """Shapes and spikes are noted for as long as this lasts."""

    def note(k: int, kind: str, output: Tensor) -> None:
        measured.out[k] = list(output.shape[2:])
        if kind == "neuron":
            measured.spikes.setdefault(k, []).append(int((output > 0).sum()))

    handles = [
        leaf.module.register_forward_hook(lambda _m, _i, out, k=k, kind=leaf.kind: note(k, kind, out))
        for k, leaf in enumerate(measured.leaves)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def three_numbers(values: Tensor, *key: int) -> list[float]:
    """Sum, L2 norm, and the dot product with the standard normal numbers of `key`."""
    flat = values.detach().flatten()
    return [flat.sum().item(), flat.norm().item(), flat.dot(torch.from_numpy(normal(*key, shape=flat.numel()))).item()]


def _gradients(seed: int, k: int, leaf: Leaf) -> dict[str, list[float]]:
    found = {}
    for j, (name, parameter) in enumerate(leaf.parameters.items()):
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        found[name] = three_numbers(grad, seed, k, j, 7)
    return found


def _running(seed: int, k: int, leaf: Leaf) -> dict[str, list[float]]:
    if leaf.kind != "norm":
        return {}
    buffers = {name: leaf.module.get_buffer(f"bn.running_{name}") for name in ("mean", "var")}
    return {name: three_numbers(value, seed, k, j, 8) for j, (name, value) in enumerate(buffers.items())}


@functools.cache
def starts(system: str, seeds: Sequence[int] = range(5)) -> list[dict[str, Tensor]]:
    """For each leaf in the oracle's order, its freshly initialised parameters, [seed, ...]."""
    cfg, leaves = load(system).compose_reduced(), measure(system).leaves
    drawn: list[list[dict[str, Any]]] = []
    for seed in seeds:
        cfg.seed = seed
        network: nn.Module = build.build_network(cfg)
        fresh = [replace(leaf, module=network.get_submodule(leaf.name)) for leaf in leaves]
        drawn.append([{name: p.detach().double() for name, p in leaf.parameters.items()} for leaf in fresh])
    return [{name: torch.stack([leaf[name] for leaf in same]) for name in same[0]} for same in zip(*drawn, strict=True)]
