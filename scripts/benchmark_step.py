"""Time whole training steps: this project, the same on PyTorch's convolutions, and whole-model torch.compile.

    python scripts/benchmark_step.py                                  full-width networks of the papers, T=4
    python scripts/benchmark_step.py --networks resnet20 --neurons lif dalif --width 16 --batch 32

A step is forward, loss, backward and the optimizer's. All contestants of a case start from the same weights, take the
same batch, and run in turn; medians are reported. Before any time is taken, each one's gradients are compared with
float64's: a spike within rounding of its threshold may flip, and one flip moves others, so they may be no farther away
than those of plain PyTorch in float32, but for a factor. Results go to benchmarks/results/step-cpu.json, with machine
and versions, and to standard output as a Markdown table.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from timing import fix_memory, saved_bytes, timed
from torch import Tensor, nn
from torch.nn import functional

from snnbench import terminal
from snnbench.backbones.step import set_step
from snnbench.config import CONFIGS, register_schema
from snnbench.files import write_json
from snnbench.neurons.base import spiking_layers
from snnbench.runs.environment import environment
from snnbench.training.build import build_network

NETWORKS = {"resnet20": "cifar10", "resnet18_preact": "cifar10", "vggsnn": "cifar10dvs"}
FACTOR = 20.0
"""How many times farther from float64 than the plain step a contestant may be."""


def network(name: str, neuron: str, steps: int, width: int | None) -> tuple[nn.Module, Any]:
    """A network as its config has it, and the config."""
    words = [f"data={NETWORKS[name]}", f"backbone={name}", f"neuron={neuron}", f"T={steps}", "engine=auto"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        cfg = compose("train", overrides=words + ([f"backbone.width={width}"] if width else []))
    return build_network(cfg), cfg


def on_engine(net: nn.Module, neurons: str, convolutions: str) -> nn.Module:
    """A copy of the network whose neurons and convolutions run on these engines."""
    net = copy.deepcopy(net)
    for layer in spiking_layers(net).values():
        layer.engine = neurons
    set_step(net, engine=convolutions)
    return net


def contestants(net: nn.Module, names: list[str]) -> dict[str, nn.Module]:
    found = {"auto": on_engine(net, "auto", "auto"), "dense": on_engine(net, "auto", "reference")}
    found["plain"] = on_engine(net, "reference", "reference")
    if "compile" in names:
        found["compile"] = torch.compile(on_engine(net, "reference", "reference"), dynamic=False)
    return found


def stepper(net: nn.Module, x: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """A training step that returns its loss. The learning rate is 0, so that each step is like the one before."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)

    def step() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(net(x).mean(0), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def distance(net: nn.Module, exact: nn.Module) -> float:
    """Of all gradients from the exact ones, relative to their length."""
    pairs = [(p.grad, q.grad) for p, q in zip(net.parameters(), exact.parameters(), strict=True) if q.grad is not None]
    off = sum(float((p.double() - q).square().sum()) for p, q in pairs if p is not None)
    return (off / sum(float(q.square().sum()) for _, q in pairs)) ** 0.5


def run_case(name: str, neuron: str, args: argparse.Namespace) -> dict[str, Any]:
    """One network with one neuron: checked, then timed."""
    net, cfg = network(name, neuron, args.steps, args.width)
    generator = torch.Generator().manual_seed(0)
    size = cfg.data.image_size
    shape = (args.batch, cfg.data.in_channels, size, size)
    x = torch.randn(shape if NETWORKS[name] == "cifar10" else (args.steps, *shape), generator=generator)
    labels = torch.randint(cfg.data.num_classes, (args.batch,), generator=generator)
    exact = on_engine(net, "reference", "reference").double()
    stepper(exact, x.double(), labels)()
    nets = contestants(net, args.against)
    steps = {key: stepper(one, x, labels) for key, one in nets.items()}
    losses = {key: float(step()) for key, step in steps.items()}
    away = {key: distance(one, exact) for key, one in nets.items()}
    failures = {key: f"{d:.1e} away from float64" for key, d in away.items() if d > FACTOR * away["plain"] + 1e-5}
    steps = {key: step for key, step in steps.items() if key not in failures}
    medians, _ = timed({"dense": steps["dense"], **steps}, "cpu", args.seconds)
    rates = firing(nets["dense"], x)
    return {
        "network": name, "neuron": neuron, "steps": args.steps, "width": args.width, "batch": args.batch,
        "firing_rate": sum(rates) / len(rates),
        "layout_losses": losses,
        "distance_from_float64": away,
        "failures": failures,
        "milliseconds": {key: value * 1e3 for key, value in medians.items()},
        "over_dense": {key: value / medians["dense"] for key, value in medians.items()},
        "saved_bytes": {key: saved_bytes(step) for key, step in steps.items() if key != "compile"},
    }  # fmt: skip


def firing(net: nn.Module, x: Tensor) -> list[float]:
    """The share of spikes of each neuron layer."""
    found: list[float] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _x, s: found.append(float(s.mean())))
        for layer in spiking_layers(net).values()
    ]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


def markdown(rows: list[dict[str, Any]]) -> str:
    names = [name for name in ("auto", "dense", "compile", "plain") if any(name in row["over_dense"] for row in rows)]
    lines = [f"| network | neuron | fires | {' | '.join(names)} | kept, MB: auto / dense |"]
    lines += ["|---" * (len(names) + 4) + "|"]
    for row in rows:
        cells = [row["network"], row["neuron"], f"{row['firing_rate']:.0%}"]
        cells += [f"{row['over_dense'][name]:.2f}" if name in row["over_dense"] else "n/a" for name in names]
        cells += [" / ".join(f"{row['saved_bytes'].get(name, 0) / 2**20:.0f}" for name in ("auto", "dense"))]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--neurons", nargs="+", default=["lif", "klif", "arlif", "dalif"], metavar="NAME")
    parser.add_argument("--steps", type=int, default=4, metavar="T")
    parser.add_argument("--width", type=int, default=None, help="of the networks (as their configs have it)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--against", nargs="*", choices=("compile",), default=["compile"])
    parser.add_argument("--seconds", type=float, default=30.0, help="per case (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/step-cpu.json"))
    return parser.parse_args()


def main() -> int:
    args = parse()
    register_schema()
    fix_memory("reused")
    rows = []
    cases = list(itertools.product(args.networks, args.neurons))
    for number, (name, neuron) in enumerate(cases, start=1):
        print(f"[{number}/{len(cases)}] {name} {neuron}", file=sys.stderr)
        torch.compiler.reset()
        rows.append(run_case(name, neuron, args))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, {"environment": environment(), "threads": torch.get_num_threads(), "cases": rows})
    print(markdown(rows))
    print(f"\nwritten: {args.out}")
    return 0 if not any(row["failures"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(terminal.run(main))
