"""All that a machine with a GPU can say about the CUDA kernels, in one command: right, then fast, beside whom.

    python scripts/gpu_report.py --out report                       all stages, in about 15 minutes
    python scripts/gpu_report.py --out report --budget 400          the most telling numbers first
    python scripts/gpu_report.py --out report --stages kernels step
    python scripts/gpu_report.py --list

Needs neither make nor pip nor a network. Each stage is a process with a time limit of its own, and writes
<out>/<stage>.json after each of its cases, beside a log. The same command again goes on where it stopped: a finished
stage is not repeated (but by --again), an unfinished one keeps the cases that it has. Nothing is timed behind a stage
that found a wrong result, unless --keep-going says so. At the end, <out>/report.json and report.md hold everything.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]  # where nothing is installed

from on_gpu import record, runner, table  # noqa: E402
from on_gpu.stages import STAGES, missing  # noqa: E402
from on_gpu.where import where  # noqa: E402

from snnbench import terminal  # noqa: E402

ALL = 900.0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [stage.name for stage in STAGES]
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), metavar="DIR", help="(%(default)s)")
    parser.add_argument("--stages", nargs="+", choices=names, default=names, metavar="STAGE", help=", ".join(names))
    parser.add_argument("--again", nargs="+", choices=names, default=[], metavar="STAGE", help="repeat from the start")
    parser.add_argument("--budget", type=float, default=ALL, metavar="SECONDS", help="for all (%(default).0f)")
    parser.add_argument("--keep-going", action="store_true", help="also behind a stage that found a wrong result")
    parser.add_argument("--list", action="store_true", help="the stages, and what is missing for one here")
    return parser.parse_args()


def main() -> int:
    """0 if all stages that could run are green, else 1."""
    args = parse()
    gpu = where()["gpu"].get("name", "")
    if args.list:
        for stage in STAGES:
            print(f"{stage.name:10} {stage.seconds:4.0f} s  {stage.about}; {missing(stage, bool(gpu)) or 'can run'}")
        return 0
    for name in args.again:
        record.path_of(args.out, name).unlink(missing_ok=True)
    stages = [stage for stage in STAGES if stage.name in (*args.stages, *args.again)]
    ended = runner.report(stages, args.out, args.budget, gpu, args.keep_going)
    print(table.write(args.out, ended))
    return 0 if all(state.startswith((record.GREEN, record.OUT)) for state in ended.values()) else 1


if __name__ == "__main__":
    sys.exit(terminal.run(main))
