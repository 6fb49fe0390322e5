"""`python -m snnbench.doctor`: what is here, which engines each device has, or why not, and whether they are right.

Engines stand in the order in which engine=auto tries them.
"""

from __future__ import annotations

import platform
import sys

import torch

from snnbench import terminal, threads
from snnbench.kernels import Engine, NoEngine, run
from snnbench.kernels.engines import build, cuda
from snnbench.kernels.engines.cache import cache_dir
from snnbench.kernels.engines.registry import engines_for, registered, trouble
from snnbench.neurons import DALIF


def main() -> int:
    """Print the report.

    Returns:
        0, or 1 if a device that is here has no working fused engine.
    """
    print(f"python      {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"torch       {torch.__version__}")
    print(f"cores       a run would take {threads.choose().describe()}")
    print(f"cuda        {_cuda()}")
    print(f"cupy        {_try(lambda: cuda.cupy().__version__)}")
    print(f"compiler    {_try(lambda: '{} ({})'.format(*build.compiler()))}")
    print(f"cache       {_try(cache_dir)}")
    failures = [device for device in _devices() if not _report(device)]
    if failures:
        names = ", ".join(map(str, failures))
        print(f"\nNeurons on {names} run on the reference engine: right, but slow. Mend the above.")
    return 1 if failures else 0


def _devices() -> list[torch.device]:
    """The CPU, and all devices here of the kinds that engines serve."""
    found = [torch.device("cpu")]
    for kind in sorted({engine.device for engine in registered()} - {"cpu"}):
        count = torch.get_device_module(kind).device_count()
        found += [torch.device(kind, i) for i in range(count)]
    return found


def _cuda() -> str:
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        return f"no device; {built}"
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"{torch.version.cuda}: {names}"


def _try(question: object) -> str:
    try:
        return str(question())  # type: ignore[operator]
    except NoEngine as error:
        return str(error)


def _report(device: torch.device) -> bool:
    """A line for each engine of a device; true if one of them computes what the reference computes."""
    engines = engines_for(device.type)
    found = [_works(engine, device) for engine in engines]
    if not any(found):
        print(f"{device!s:11} reference engine")
    return any(found)


def _works(engine: Engine, device: torch.device) -> bool:
    head = f"{device!s:11} engine={engine.name}:"
    reason = trouble(engine.name)
    if reason:
        print(f"{head} {reason}")
        return False
    try:
        worst = _difference(engine, device)
    except Exception as error:
        print(f"{head} a kernel failed ({type(error).__name__}: {error})")
        return False
    right = worst < 1e-5
    verdict = "agrees with the reference" if right else f"is off the reference by {worst:.1g}: please report this"
    print(f"{head} {engine.describe()}; a small kernel {verdict}")
    return right


def _difference(engine: Engine, device: torch.device) -> float:
    """The largest difference from the reference in spikes and gradients, relative to the largest value."""
    x = torch.randn(4, 2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    found = []
    for name in ("reference", engine.name):
        neuron = DALIF(engine=name).to(device)
        spikes, state = run(neuron, x)
        grads = torch.autograd.grad(spikes.sum() + state["v"].sum(), [x, *neuron.parameters()])
        found.append([spikes.detach(), *grads])
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in zip(*found, strict=True))


if __name__ == "__main__":
    sys.exit(terminal.run(main))
