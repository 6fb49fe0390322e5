"""python eval.py run=outputs/<name>/<time> [ckpt=best]   (python eval.py --help)"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from snnbench import cli


def evaluate(cfg: DictConfig) -> int:
    from snnbench.training.evaluate import evaluate

    return evaluate(cfg)


if __name__ == "__main__":
    sys.exit(cli.main(evaluate, Path(__file__).parent / "configs", "eval"))
