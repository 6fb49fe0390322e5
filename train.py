"""python train.py neuron=dalif data=cifar100 T=2   (python train.py --help)"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from snnbench import cli


def train(cfg: DictConfig) -> int:
    from snnbench.training.run import train

    return train(cfg)


if __name__ == "__main__":
    sys.exit(cli.main(train, Path(__file__).parent / "configs", "train"))
