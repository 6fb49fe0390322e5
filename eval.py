"""python eval.py run=outputs/<name>/<time> [ckpt=best]   (python eval.py --help)"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig


def evaluate(cfg: DictConfig) -> int:
    from snnbench.training.evaluate import evaluate

    return evaluate(cfg)


def main() -> int:
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, until cli.main handles both
        from snnbench import cli, memory, terminal, threads

        threads.prepare()
        memory.reuse()
        return terminal.run(lambda: cli.main(evaluate, Path(__file__).parent / "configs", "eval"), prints=False)
    except KeyboardInterrupt:  # while libraries were still being imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
