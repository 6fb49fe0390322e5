"""Time whole training steps of this project, of a plain loop, of torch.compile, of SpikingJelly and of snnTorch.

    python scripts/benchmark_step.py                                  full-width networks of the papers, T=4
    python scripts/benchmark_step.py --networks resnet20 --neurons lif dalif --width 16 --batch 32
    python scripts/benchmark_step.py --networks resnet20 --neurons lif --steps 2 4 8 16 32 64 128 --figures figures
    python scripts/benchmark_step.py --networks resnet20 --neurons lif --rates 0.02 0.05 0.1 0.2 0.4 --figures figures
    python scripts/benchmark_step.py --checkpoint outputs/<name>/<time>

A step is forward, loss, backward and the optimizer's. All contestants of a case have the same network, weights and
batch: the project as it is and without each of its parts; the plain loop over time; torch.compile of the plain loop, of
the same with its channels last, and of the project; SpikingJelly's neurons, where they are the same, in the places of
the project's. They have to show that they compute the same: their losses stay equal while they learn in float64, and
their gradients in float32 are as near to float64's as the plain loop's, but for spikes within rounding of a threshold.
In these checks nothing is dropped. snnTorch's Leaky (*) resets otherwise, and is timed alone.

Then they run in turn, for rounds, and the median of the time over the plain loop's in the same round is reported. The
peak memory on a CPU is that of a process of its own for each. Results go to benchmarks/results/step-<device>.json after
each case, with machine and versions, and to standard output as a Markdown table.
"""

from __future__ import annotations

import sys

from snnbench import terminal, threads
from snnbench.errors import UserError


def main() -> int:
    threads.prepare()  # before PyTorch is loaded
    from whole_step import command

    try:
        return command.main(__doc__)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(terminal.run(main))
