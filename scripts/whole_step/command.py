"""The command line of the benchmark, and what it goes through."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from timing import CLOCKS, MALLOPT, fix_memory

from snnbench import threads
from snnbench.files import write_json
from snnbench.runs.environment import environment
from snnbench.runs.folder import open_folder
from whole_step.cases import NETWORKS, Case
from whole_step.contestants import GROUPS
from whole_step.measure import How, child, run_case
from whole_step.report import figures, markdown


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    default = ["resnet20", "resnet18_preact", "vggsnn"]
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=default, metavar="NAME")
    parser.add_argument("--neurons", nargs="+", default=["lif", "klif", "arlif", "dalif"], metavar="NAME")
    parser.add_argument("--steps", nargs="+", type=int, default=[4], metavar="T")
    parser.add_argument(
        "--width", nargs="+", type=int, default=[None], help="of the networks (as their configs have it)"
    )
    parser.add_argument(
        "--rates", nargs="+", type=float, default=[None], help="of firing (as untrained weights give it)"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=None, help="of the input (as the data has it)")
    parser.add_argument("--checkpoint", default=None, metavar="RUN", help="network, weights and data of a finished run")
    parser.add_argument("--against", nargs="*", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--device", choices=("cpu", "cuda"), default=device)
    parser.add_argument("--threads", type=int, default=None, metavar="N", help="of all (as many as cores are free)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for one thread on a machine in use")
    memory = "reused" if platform.libc_ver()[0] == "glibc" else "system"
    parser.add_argument("--memory", choices=MALLOPT, default=memory, help="of tensors on the CPU (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="per case (%(default)s)")
    parser.add_argument(
        "--check-steps", type=int, default=20, help="that losses are compared for; 0: nothing is checked"
    )
    parser.add_argument("--check-batch", type=int, default=2, help="samples of a check (%(default)s)")
    parser.add_argument("--no-peak", action="store_true", help="takes no peak memory")
    parser.add_argument("--figures", type=Path, default=None, metavar="FOLDER", help="over T, rate and width")
    parser.add_argument("--out", type=Path, default=None, help="(benchmarks/results/step-<device>.json)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not all(rate is None or 0 < rate < 1 for rate in args.rates):
        parser.error("--rates: must lie between 0 and 1")
    return args


def cases(args: argparse.Namespace) -> list[Case]:
    """What is to be measured."""
    if args.checkpoint:
        cfg = _config_of(args.checkpoint)
        first = (cfg.backbone.name, cfg.neuron.name, cfg.T, cfg.backbone.get("width"), args.batch)
        return [Case(*first, rate=rate, checkpoint=args.checkpoint) for rate in args.rates]
    product = itertools.product(args.networks, args.neurons, args.steps, args.width, args.rates)
    return [Case(*first, args.batch, args.size, rate) for *first, rate in product]


def _config_of(run: str) -> Any:
    return open_folder(run)[1]


def main(description: str | None) -> int:
    """Measure what the command line asks for; 0, or 1 if a contestant computes something else than it claims."""
    args = parse(description)
    if args.child:
        return _child(args.child)
    count = args.threads or threads.choose().count
    torch.set_num_threads(count)
    fix_memory(args.memory)
    how = How(
        args.device, args.against, args.seconds, args.clock, args.check_steps, args.check_batch,
        peak=not args.no_peak, threads=count, memory=args.memory,
    )  # fmt: skip
    rows, todo = [], cases(args)
    out = args.out or Path(f"benchmarks/results/step-{args.device}.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    measured = {"threads": count, "clock": args.clock, "memory": args.memory, "check_steps": args.check_steps}
    about = {"environment": environment(), **measured}
    for number, case in enumerate(todo, start=1):
        print(f"[{number}/{len(todo)}] {case}", file=sys.stderr)
        rows.append(run_case(case, how))
        write_json(out, {**about, "cases": rows})
    print(markdown(rows))
    written = [out, *(figures(rows, args.figures) if args.figures else [])]
    print("\nwritten: " + ", ".join(map(str, written)))
    return 0 if not any(row["failures"] for row in rows) else 1


def _child(given: str) -> int:
    how = json.loads(given)["how"]
    torch.set_num_threads(how["threads"])
    fix_memory(how["memory"])
    print(child(given))
    return 0
