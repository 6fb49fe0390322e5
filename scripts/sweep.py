"""A sweep that goes on where it stopped.

    python scripts/sweep.py +sweep=arlif_reset
    python scripts/sweep.py experiment=arlif/cifar10_resnet18_t4 seed=0,1,2
    python scripts/sweep.py --plan neuron=lif,dalif T=2,4        say what would be done, and do nothing

Takes what `python train.py -m` takes. A job whose run (same recipe, seed and epochs) is finished is not repeated; one
that was interrupted or killed is resumed; one that failed is named and left.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from snnbench.config import CONFIGS
from snnbench.errors import UserError
from snnbench.sweep import plan

INTERRUPTED = 130
TRAIN = Path(__file__).parent.parent / "train.py"


def start(arguments: list[str]) -> int:
    """Run train.py in a process of its own; its exit code. It is told of a SIGTERM, and waited for after a Ctrl-C."""
    with subprocess.Popen([sys.executable, str(TRAIN), *arguments]) as process:
        before = signal.signal(signal.SIGTERM, lambda number, frame: process.terminate())
        try:
            return process.wait()
        except KeyboardInterrupt:
            return INTERRUPTED
        finally:
            signal.signal(signal.SIGTERM, before)


def main(argv: Sequence[str] | None = None, run: Callable[[list[str]], int] = start, configs: Path = CONFIGS) -> int:
    """The worst exit code of the jobs; 130 at once when one is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", action="store_true", help="only say what would be done")
    parser.add_argument("words", nargs="+", metavar="override")
    arguments = parser.parse_args(argv)
    try:
        jobs = plan(arguments.words, configs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    worst = 0
    for number, job in enumerate(jobs, start=1):
        where = f"  {job.run.folder}" if job.run else ""
        print(f"[{number}/{len(jobs)}] {job.action}: {' '.join(job.words)}{where}", flush=True)
        if arguments.plan:
            continue
        if job.action in ("start", "resume"):
            code = run(job.arguments)
            if code == INTERRUPTED:
                return code
            worst = max(worst, code)
        elif job.action == "failed":
            worst = max(worst, 1)
    return worst


if __name__ == "__main__":
    sys.exit(main())
