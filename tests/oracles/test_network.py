"""Each system's network against the authors' own, run on the same weights and the same input in float64."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import torch

from snnbench.training import build
from tests.oracles.leaves import leaf_kinds
from tests.oracles.measure import measure, starts
from tests.oracles.oracle import SYSTEMS, is_variant, load, report

# Every network in each run of the tests; its variants by `make test-slow`.
systems = pytest.mark.parametrize(
    "system", [pytest.param(system, marks=[pytest.mark.slow] * is_variant(system)) for system in SYSTEMS]
)
NUMBERS = ("sum", "L2 norm", "dot product")


def numbers_apart(ours: Sequence[float], official: Sequence[float], tolerance: float = 1e-6) -> Iterator[str]:
    """Those of the three numbers that differ by more than `tolerance` of the L2 norm, and by more than rounding."""
    for name, a, b in zip(NUMBERS, ours, official, strict=True):
        if not abs(a - b) <= tolerance * max(official[1], ours[1]) + 1e-10:
            yield f"{name} {a:.10g} != {b:.10g}"


@systems
def test_output_maps(system):
    oracle, measured = load(system), measure(system)
    report([
        f"leaf {leaf['k']}, {ours}: map {measured.out[leaf['k']]} != {leaf['out']}"
        for leaf, ours in zip(oracle.leaves, measured.leaves, strict=True)
        if measured.out[leaf["k"]] != leaf["out"]
    ])  # fmt: skip


@systems
def test_spikes(system):
    oracle, measured = load(system), measure(system)
    differences = []
    for leaf, ours in zip(oracle.leaves, measured.leaves, strict=True):
        found = measured.spikes.get(leaf["k"], [])
        for mode, n, official in zip(("training", "evaluation"), found, leaf.get("spikes", []), strict=False):
            if n != official:
                differences.append(f"leaf {leaf['k']}, {ours}, {mode}: {n} spikes != {official}")
        assert len(found) == len(leaf.get("spikes", []))
    report(differences)
    assert any(leaf["kind"] == "neuron" and leaf["spikes"][0] for leaf in oracle.leaves)


@systems
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_logits(system, mode):
    ours, official = (
        measure(system).logits[mode],
        torch.tensor(load(system).facts[f"logits_{mode}"], dtype=torch.float64),
    )
    assert ours.shape == official.shape
    torch.testing.assert_close(ours, official, rtol=0, atol=1e-6)


@systems
def test_loss(system):
    measured, facts = measure(system), load(system).facts
    assert measured.loss == pytest.approx(facts["loss"], abs=1e-6)
    assert measured.loss_mixed == pytest.approx(facts.get("loss_mixed"), abs=1e-6)


@systems
def test_gradients(system):
    oracle, measured = load(system), measure(system)
    differences = []
    for leaf, ours, grads in zip(oracle.leaves, measured.leaves, measured.grad, strict=True):
        for name, official in leaf["grad"].items():
            apart = ", ".join(numbers_apart(grads[name], official))
            if apart:
                differences.append(f"leaf {leaf['k']}, {ours}, gradient of {name}: {apart}")
    report(differences)
    assert sum(len(leaf["grad"]) for leaf in oracle.leaves) == sum(len(grads) for grads in measured.grad)


@systems
def test_running_statistics(system):
    oracle, measured = load(system), measure(system)
    differences = []
    for leaf, ours, running in zip(oracle.leaves, measured.leaves, measured.running, strict=True):
        for name, official in leaf.get("running", {}).items():
            apart = ", ".join(numbers_apart(running[name], official))
            if apart:
                differences.append(f"leaf {leaf['k']}, {ours}, running {name}: {apart}")
    report(differences)
    assert any(measured.running) == any(leaf["kind"] == "norm" for leaf in oracle.leaves)


@systems
def test_start(system):
    """Mean and standard deviation of every parameter as the authors' code draws it, within the noise of five draws."""
    oracle, differences = load(system), []
    for leaf, ours, drawn in zip(oracle.leaves, measure(system).leaves, starts(system), strict=True):
        for name, (mean, std) in leaf.get("init", {}).items():
            values = drawn[name].double()
            n = values.numel()
            fixed = all(torch.equal(values[0], other) for other in values)
            noise = 0.0 if fixed else 6 * std
            found_mean, found_std = values.mean().item(), values.std(correction=0).item()
            rounding = 1e-5 * abs(mean) + 1e-5 * std + 1e-8
            if not abs(found_mean - mean) <= noise * (2 / n) ** 0.5 + rounding:
                differences.append(f"leaf {leaf['k']}, {ours}: {name} starts with mean {found_mean:.6g} != {mean:.6g}")
            if not abs(found_std - std) <= noise * (1 / n) ** 0.5 + rounding:
                differences.append(f"leaf {leaf['k']}, {ours}: {name} starts with std {found_std:.6g} != {std:.6g}")
    report(differences)


@systems
def test_size(system):
    """Number and shapes of all parameters at the published width."""
    oracle = load(system)
    cfg = oracle.compose()
    with torch.device("cpu" if cfg.neuron.name == "dalif" else "meta"):  # DA-LIF reads what it has drawn
        network = build.build_network(cfg)
    shapes = Counter("x".join(str(n) for n in p.shape if n > 1) or "1" for p in network.parameters())
    assert shapes == Counter(oracle.facts["full_size"]["shapes_without_ones"])
    assert sum(p.numel() for p in network.parameters()) == oracle.facts["full_size"]["parameters"]
    assert sum(kind == "neuron" for _, kind, _ in leaf_kinds(network)) == sum(
        leaf["kind"] == "neuron" for leaf in oracle.leaves
    )


@pytest.mark.parametrize("change", ["neuron.tau=2.0001", "norm.eps=1.1e-5", "neuron.surrogate.width=1.01"])
def test_a_small_change_of_the_network_is_noticed(change):
    measured, oracle = measure("clif_resnet18_lif", change), load("clif_resnet18_lif")
    first = oracle.leaves[0]["grad"]["weight"]
    assert list(numbers_apart(measured.grad[0]["weight"], first))
