"""What is said of the commands, their groups and keys by `--help`."""

from __future__ import annotations

from dataclasses import dataclass

FLAGS = ("--help", "-h")
GROUPS = {
    "data": "data set",
    "neuron": "spiking neuron",
    "neuron/surrogate": "its gradient",
    "backbone": "network",
    "norm": "before each neuron",
    "recipe": "optimizer, epochs, ... in one",
    "augment": "of training samples",
    "loss": "loss",
    "optimizer": "optimizer",
    "schedule": "of the learning rate",
    "trainer": "Lightning's: trainer.devices=2, ...",
    "callbacks": "what else looks at a training, or acts on it",
    "logger": "beside metrics.csv",
    "paths": "paths.data=..., paths.outputs=...",
    "experiment": "row of a paper, recipe and all",
    "sweep": "ready ones: -m +sweep=...",
    "bench": "suites of the command bench",
    "debug": "looks for faults; such a run never counts",
}
KEYS = {
    "T": "timesteps",
    "seed": "of weights, order, augmentation; seed=0,1,2 with -m",
    "epochs": "whole ones",
    "batch_size": "samples, over all devices",
    "engine": "auto, reference (PyTorch), cpu, cuda",
    "layout": "auto, contiguous, channels_last",
    "fuse": "auto, true, false: norm and neuron as one",
    "memory": "floats, or bits: less memory, more time",
    "compile": "torch.compile of the network",
    "cuda_graph": "true: a GPU's training steps are replayed, without work for its host",
    "eval_precision": "32-true, or null: as in training",
    "threads": "of the CPU; null: as many as cores are free",
    "name": "the folder's",
    "tags": "words of your own",
    "resume": "folder of a run to go on with",
    "retry": "failed: with -m, again what failed by itself",
    "row": "the row of a paper's table; train.py has it by experiment=...",
    "run": "the run's folder",
    "ckpt": "last, best, or another of its checkpoints/",
    "accelerator": "cpu, cuda; null: the run's",
    "energy": "true counts operations; lemaire: with memory",
    "neuron": "of eval.py: another one, or single keys, neuron.v_th=0.9",
    "drop": "[w]: what the run learned and another neuron lacks",
    "paths.data": "where the data lies; null: where the run was told to look",
}
EVERYDAY = (
    *("T", "seed", "epochs", "batch_size", "threads", "name", "tags", "resume", "optimizer.lr", "neuron.v_th"),
    *("backbone.width", "data.val_fraction", "trainer.accelerator", "trainer.devices", "trainer.precision"),
    *("paths.data", "paths.outputs"),
)


@dataclass(frozen=True)
class Page:
    """What a command does, and how it is called: words and what they mean; `composes`, whether from groups."""

    does: str
    usage: str
    examples: tuple[tuple[tuple[str, ...], str], ...]
    flags: tuple[tuple[str, str], ...]
    composes: bool = False


COMMON = (
    ("--cfg job", "show the composed config and stop"),
    ("--config-dir DIR", "more configs, in folders named as the groups"),
    ("--help keys|GROUP|KEY", "more of that; --hydra-help: Hydra's own flags"),
)
PAGES = {
    "train": Page(
        "Train one spiking network, or several (-m), and leave results in outputs/.",
        "[group=option] [key=value] ...",
        (
            (("neuron=dalif", "data=cifar100", "T=2"), "a network of your choice"),
            (("experiment=dalif/cifar10_resnet20_t4",), "a row of a paper's table"),
            (("-m", "neuron=lif,dalif", "seed=0,1,2"), "sweep; again: its rest"),
            (("resume=outputs/<name>/<time>",), "go on, exactly"),
        ),
        (
            ("-m", "a run for each combination of values between commas"),
            ("-m --plan", "say what a sweep would do, and do nothing"),
            *COMMON,
            ("--help rows [dalif/cifar*]", "the papers' rows that can be run"),
        ),
        composes=True,
    ),
    "eval": Page(
        "Measure a run's checkpoint again, and compare with what the run recorded.",
        "run=outputs/<name>/<time> [key=value] ...",
        (
            (("run=outputs/<name>/<time>",), "its last epoch"),
            (("run=outputs/<name>/<time>", "ckpt=best"), "its best test epoch"),
            (("run=outputs/<name>/<time>", "energy=true"), "counts operations"),
            (("run=outputs/<name>/<time>", "neuron.v_th=0.9"), "its weights, another neuron"),
        ),
        (COMMON[0], ("--help keys|KEY", COMMON[-1][1])),
    ),
}
