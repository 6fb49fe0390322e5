"""`python -m snnbench.doctor`: what is here, which engine each device gets and why, and whether it computes rightly."""

from __future__ import annotations

import platform
import sys
from types import ModuleType

import torch

from snnbench.kernels import dispatch, run
from snnbench.kernels.cell import NoEngine
from snnbench.kernels.engines import build
from snnbench.neurons import DALIF


def main() -> int:
    """Print the report.

    Returns:
        0, or 1 if a device that is here has no working fused engine.
    """
    print(f"python      {platform.python_version()} on {platform.system()} {platform.machine()}")
    print(f"torch       {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"cuda        {_cuda()}")
    print(f"cupy        {_cupy()}")
    print(f"compiler    {_try(lambda: '{} ({})'.format(*build.compiler()))}")
    print(f"cache       {_try(lambda: str(build.cache_dir()))}")
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    failures = [device for device in devices if not _engine(torch.device(device))]
    if failures:
        print(f"\nNeurons on {', '.join(failures)} run on the reference engine: right, but slow. Mend the above.")
    return 1 if failures else 0


def _cuda() -> str:
    if not torch.cuda.is_available():
        built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
        return f"no device; {built}"
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return f"{torch.version.cuda}: {names}"


def _cupy() -> str:
    from snnbench.kernels.engines import cuda

    return _try(lambda: str(cuda.cupy().__version__))


def _try(question: object) -> str:
    try:
        return str(question())  # type: ignore[operator]
    except NoEngine as error:
        return str(error)


def _engine(device: torch.device) -> bool:
    """Report on the engine of a device; true if its kernels compute what the reference computes."""
    engine = dispatch.engine(device.type)
    if not isinstance(engine, ModuleType):
        print(f"{device!s:11} reference engine: {engine}")
        return False
    try:
        worst = _difference(device)
    except Exception as error:
        print(f"{device!s:11} reference engine: a kernel failed ({type(error).__name__}: {error})")
        return False
    right = worst < 1e-5
    verdict = "agrees with the reference" if right else f"is off the reference by {worst:.1g}: please report this"
    print(f"{device!s:11} {engine.describe()}; a small kernel {verdict}")
    return right


def _difference(device: torch.device) -> float:
    """The largest difference between engines in spikes and gradients, relative to the largest value."""
    x = torch.randn(4, 2, 3, 5, 5, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    found = []
    for engine in ("reference", device.type):
        neuron = DALIF(engine=engine).to(device)
        spikes, state = run(neuron, x)
        grads = torch.autograd.grad(spikes.sum() + state["v"].sum(), [x, *neuron.parameters()])
        found.append([spikes.detach(), *grads])
    return max(float((a - b).abs().max() / a.abs().max().clamp_min(1e-12)) for a, b in zip(*found, strict=True))


if __name__ == "__main__":
    sys.exit(main())
