"""python train.py neuron=dalif data=cifar100 T=2   (python train.py --help)"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from snnbench.objective import Ended


def train(cfg: DictConfig) -> Ended:
    from snnbench.training.run import train

    return train(cfg)


def main() -> int:
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until cli.main handles both
        from snnbench import cli, memory, terminal, threads

        threads.prepare()
        memory.reuse()
        return terminal.run(lambda: cli.main(train, Path(__file__).parent / "configs", "train"), prints=False)
    except KeyboardInterrupt:  # while libraries were still being imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
