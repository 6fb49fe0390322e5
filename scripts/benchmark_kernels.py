"""Time the fused kernels beside the reference, torch.compile, SpikingJelly, snnTorch and a plain copy.

    python scripts/benchmark_kernels.py                       what matters most, on the best device here
    python scripts/benchmark_kernels.py --full --device cuda  all neurons x T x dtypes x sizes
    python scripts/benchmark_kernels.py --neurons LIF DALIF --steps 4 --kernel-alone

All contestants of a case run in turn, again and again, and the median of each is reported. A time is accepted only
after the contestant's spikes and gradients have been compared with the reference's, and only where the copy's own
time was stable; what failed is listed as such, without a time. Results go to benchmarks/results/*.json after each case,
with machine and versions, and to standard output as a Markdown table.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import itertools
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from alone import kernel_steps
from baselines import NEURONS, Case, contestants, difference, forward_backward, fused_engines
from timing import (
    MALLOPT,
    STEADY,
    captured,
    copier,
    failure,
    fix_memory,
    launches,
    peak_bytes,
    replays,
    timed,
)

from snnbench import terminal
from snnbench.files import write_json
from snnbench.memory import saved_bytes
from snnbench.runs.environment import environment

SIZES = {"conv": (32, 128, 32, 32), "small": (8, 64, 8, 8)}
CUDA_SIZES = {"conv": (64, 256, 32, 32), "small": (8, 64, 8, 8)}


def run_case(case: Case, names: set[str], seconds: float, learns: bool = False) -> dict[str, Any]:
    """One case: checked, timed, and set against a copy of the same bytes.

    Where it `learns`, gradients of the neuron's parameters are asked for beside that of its input. Without a reference
    to be checked against, nothing is timed. On a GPU, times are of replayed graphs, that is of the device alone; what
    cannot be captured is timed with its host and listed as such.
    """
    steps: dict[str, Callable[[], Any]] = dict(contestants(case, names, learns))
    failures = check(steps)
    x = case.input()
    row: dict[str, Any] = {**head(case), "failures": failures, "tensor_bytes": x.numel() * x.element_size()}
    steps = {name: step for name, step in steps.items() if name not in failures} if "reference" not in failures else {}
    timing, with_host = {"copy": copier(x), **steps}, {}
    if case.device == "cuda":
        graphs, with_host = replays(timing)
        timing |= graphs
    medians, unsteady = timed(timing, case.device, seconds)
    row |= {
        "milliseconds": {name: value * 1e3 for name, value in medians.items()},
        "copy_spread": unsteady,
        "steady": unsteady <= STEADY,
        "saved_bytes": {name: saved_bytes(step) for name, step in steps.items()},
    }
    if "fused" in medians:
        row["speedup"] = {name: value / medians["fused"] for name, value in medians.items() if name != "fused"}
        row["copy_bandwidth_fraction"] = 2.5 * medians["copy"] / medians["fused"]  # 5 tensors moved against 2
    if case.device == "cuda":
        row["with_host"] = with_host
        eager = timed(steps, case.device, seconds / 2)[0] if steps else {}
        row["eager_milliseconds"] = {name: value * 1e3 for name, value in eager.items()}
        row["peak_bytes"] = {name: peak_bytes(step) for name, step in steps.items()}
        row["launches"] = {name: launches(step) for name, step in steps.items()}
    return row


def head(case: Case) -> dict[str, Any]:
    """What a row says of its case."""
    row: dict[str, Any] = {key: str(value) for key, value in dataclasses.asdict(case).items() if key != "shape"}
    return row | {"steps": case.steps, "shape": [case.steps, *case.shape]}


def check(steps: dict[str, Callable[[], Any]]) -> dict[str, str]:
    """Who fails, or computes something else than the reference, and how."""
    failures: dict[str, str] = {}
    expected = None
    for name in sorted(steps, key=lambda name: name != "reference"):
        try:
            found = steps[name]()
            expected = found if name == "reference" else expected
            wrong = difference(found, expected) if expected is not None and name != "snntorch" else None
        except Exception as error:
            wrong = failure(error)
        if wrong:
            failures[name] = wrong
    return failures


def kernel_alone(case: Case, seconds: float) -> dict[str, Any]:
    """The kernels on tensors that exist already: forward against a copy, backward against read two, write one."""
    steps = kernel_steps(case)
    if case.device == "cuda":
        steps = {name: captured(step) for name, step in steps.items()}
    medians, unsteady = timed(steps, case.device, seconds)
    return {
        **head(case),
        "milliseconds": {name: value * 1e3 for name, value in medians.items()},
        "forward_over_copy": medians["forward"] / medians["copy"],
        "backward_over_read2write1": medians["backward"] / medians["read2write1"],
        "small_call_microseconds": small_call(case),
        "copy_spread": unsteady,
        "steady": unsteady <= STEADY,
    }


def small_call(case: Case) -> dict[str, float]:
    """Microseconds of a forward and backward so small that the host alone counts, of the neuron and of torch.relu."""
    tiny = dataclasses.replace(case, shape=(2, 8, 4, 4), dtype=torch.float32)
    x = tiny.input()
    g = torch.randn_like(x)
    steps = {}
    for name, call in {"relu": torch.relu, "neuron": tiny.build(fused_engines(case.device)[0])}.items():
        step = forward_backward(call, x, g, lambda: None)
        steps[name] = functools.partial(hundred_times, step)
    medians, _ = timed(steps, case.device, 1)
    return {name: value * 1e4 for name, value in medians.items()}


def hundred_times(step: Callable[[], Any]) -> None:
    for _ in range(100):
        step()


def markdown(rows: list[dict[str, Any]], alone: list[dict[str, Any]]) -> str:
    """The results as tables: speed of the fused kernels over each contestant (n/a where it failed its check)."""
    names = sorted({name for row in rows for name in row.get("speedup", {})})
    lines = []
    if rows:
        lines += [f"| case | fused ms | {' | '.join(f'x {name}' for name in names)} | copy bandwidth | steady |"]
        lines += ["|---" * (len(names) + 4) + "|"]
    for row in rows:
        cells = [f"{row['speedup'][name]:.2f}" if name in row.get("speedup", {}) else "n/a" for name in names]
        fused = row["milliseconds"].get("fused")
        case = f"{row['neuron']} T={row['steps']} {row['dtype'].removeprefix('torch.')} {row['size']}"
        shown = f"{fused:.3f}" if fused else row["failures"].get("fused", "n/a")
        fraction = f"{row['copy_bandwidth_fraction']:.0%}" if fused else "n/a"
        lines.append(f"| {case} | {shown} | {' | '.join(cells)} | {fraction} | {'yes' if row['steady'] else 'no'} |")
    if alone:
        head = "| kernel alone | forward / copy | backward / (read 2, write 1) | small call µs (relu) | steady |"
        lines += ["", head, "|---" * 5 + "|"]
    for row in alone:
        small = row["small_call_microseconds"]
        ratios = f"{row['forward_over_copy']:.2f} | {row['backward_over_read2write1']:.2f}"
        ratios += f" | {small['neuron']:.0f} ({small['relu']:.0f})"
        lines.append(f"| {row['neuron']} T={row['steps']} | {ratios} | {'yes' if row['steady'] else 'no'} |")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device)
    parser.add_argument("--neurons", nargs="+", choices=NEURONS, default=list(NEURONS), metavar="NAME")
    parser.add_argument("--steps", nargs="+", type=int, default=None, metavar="T")
    parser.add_argument("--dtypes", nargs="+", choices=("float32", "float16", "bfloat16"), default=None)
    parser.add_argument("--sizes", nargs="+", choices=tuple(SIZES), default=None)
    parser.add_argument("--against", nargs="*", choices=("compile", "spikingjelly", "snntorch"), default=None)
    parser.add_argument("--full", action="store_true", help="T 1 to 32, three dtypes, both sizes")
    parser.add_argument("--learn", action="store_true", help="with the gradients of parameters, as training asks")
    parser.add_argument("--kernel-alone", action="store_true", help="also the kernels on their own")
    parser.add_argument("--seconds", type=float, default=3.0, help="per case (%(default)s)")
    memory = "reused" if platform.libc_ver()[0] == "glibc" else "system"
    parser.add_argument("--memory", choices=MALLOPT, default=memory, help="of tensors on the CPU (%(default)s)")
    parser.add_argument("--out", type=Path, default=None, help="JSON file (benchmarks/results/kernels-<device>.json)")
    args = parser.parse_args()
    args.steps = args.steps or ([1, 2, 4, 8, 16, 32] if args.full else [4])
    args.dtypes = args.dtypes or (["float32", "float16", "bfloat16"] if args.full else ["float32"])
    args.sizes = args.sizes or (["conv", "small"] if args.full else ["conv"])
    args.against = ["compile", "spikingjelly", "snntorch"] if args.against is None else args.against
    args.out = args.out or Path(f"benchmarks/results/kernels-{args.device}.json")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no CUDA device here")
    return args


def main() -> int:
    args = parse()
    fix_memory(args.memory)
    sizes = CUDA_SIZES if args.device == "cuda" else SIZES
    cases = [
        Case(name, steps, getattr(torch, dtype), size, sizes[size], args.device)
        for name, steps, dtype, size in itertools.product(args.neurons, args.steps, args.dtypes, args.sizes)
    ]
    rows, alone = [], []
    about = {"environment": environment(), "memory": args.memory, "learns": args.learn}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases, start=1):
        print(f"[{number}/{len(cases)}] {case.neuron} T={case.steps} {case.dtype} {case.size}", file=sys.stderr)
        torch.compiler.reset()
        rows.append(run_case(case, set(args.against), args.seconds, args.learn))
        if args.kernel_alone:
            alone.append(kernel_alone(case, args.seconds))
        write_json(args.out, {**about, "cases": rows, "kernel_alone": alone})
    print(markdown(rows, alone))
    print(f"\nwritten: {args.out}")
    return 0 if all("fused" not in row["failures"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(terminal.run(main))
