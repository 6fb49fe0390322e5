"""What lies in a run's folder: the one definition that writers and readers share. Imports nothing of the package."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, get_args

SCHEMA = 1  # of result.json
TIME = "%Y-%m-%dT%H:%M:%S%z"  # how times are written, as time.strftime has it

# Files of the folder.
CONFIG = "config.yaml"  # resolved
RESULT = "result.json"  # a Result
ENVIRONMENTS = "environment.jsonl"  # an Environment for each start of the run
METRICS = "metrics.csv"  # a line for each epoch
LAYERS = "layers.csv"  # a line for each epoch, layer and quantity
CONFUSION = "confusion.csv"  # a line for each class and class it was taken for, of the last tested epoch
LOG = "train.log"
LOCK = ".lock"  # held while a process is at work in the folder; see `snnbench.holds`
CHECKPOINTS = "checkpoints"
SWEEPS = ".sweeps"  # beside the runs: what sweeps know of their jobs
NOT_RUNS = {CHECKPOINTS, "wandb", SWEEPS}  # folders in which no run lies

Written = Literal["finished", "failed", "interrupted", "running"]  # as the status in result.json
Status = Literal["finished", "failed", "interrupted", "running", "killed"]  # as it is found, by result.status_of
WRITTEN: tuple[str, ...] = get_args(Written)
Cause = Literal["program", "machine", "user"]  # of an early end: would come again; may not; Ctrl-C

# How the epoch of an accuracy is chosen; papers that do not say so have the protocol "unknown".
PROTOCOLS = {
    "last_epoch": "last epoch",
    "best_test_epoch": "best test epoch",
    "validation_chosen": "chosen on validation",
}

# Columns of metrics.csv; each pass over data has its own, as test/acc and val/loss. Accuracies are in percent.
EPOCH = "epoch"  # counted from 0
TEST_ACC, VAL_ACC = "test/acc", "val/acc"
TEST_RATE = "test/firing_rate"  # over the whole network

LAYER_COLUMNS = ("epoch", "layer", "quantity", "value")  # of layers.csv
CONFUSION_COLUMNS = ("class", "predicted", "samples")  # of confusion.csv; classes are counted from 0
RATE = "firing_rate"  # of a layer and of the network: spikes per neuron and timestep on the test set
MEAN, STD = ".mean", ".std"  # endings of the two quantities that stand for a coefficient per channel


def protocol_label(protocol: str) -> str:
    """How an epoch was chosen, as people write it."""
    return "not stated" if protocol == "unknown" else PROTOCOLS[protocol]


def evaluation(checkpoint: str) -> str:
    """The file that eval.py leaves of a checkpoint."""
    return f"eval-{checkpoint}.json"


class Chosen(TypedDict):
    """A test accuracy in percent, and the epoch that it is of, counted from 0."""

    acc: float
    epoch: int


class Accuracy(TypedDict):
    """Test accuracy by protocol; None where no epoch could be chosen so."""

    last_epoch: float | None
    best_test_epoch: Chosen | None
    validation_chosen: Chosen | None


class Epochs(TypedDict):
    """How many were asked for, and how many were trained."""

    planned: int
    run: int


class Environment(TypedDict):
    """Command, code and machine of one start of a run. `revision` and `dirty` are None outside a checkout."""

    command: str
    time: str
    revision: str | None
    dirty: bool | None
    python: str
    versions: dict[str, str]
    cuda: str | None
    gpus: list[str]
    cpu: str
    cores: int | None
    threads: int
    platform: str


class Identity(TypedDict):
    """What result.json says of a run from its start on.

    Attributes:
        schema: SCHEMA.
        row: the `row` block of its config, or None.
        data, backbone, neuron, norm, loss, optimizer: their names in the config.
        labels: by config group, a name that is to be shown, such as {"neuron": "DA-LIF"}.
        provenance: "real", or what keeps the run's data from being it and its numbers from the tables.
        doubt: why it is not "real"; empty where it is.
        fingerprint: what the data is (runs.fingerprint); None of a data module that does not tell.
        code: the revision, or a digest of the source, of each class that the config names (runs.code).
    """

    schema: int
    name: str
    tags: list[str]
    row: dict[str, Any] | None
    data: str
    backbone: str
    neuron: str
    norm: str
    loss: str
    optimizer: str
    labels: dict[str, str]
    T: int
    seed: int
    batch_size: int
    provenance: str
    doubt: str
    fingerprint: dict[str, Any] | None
    split: Any
    data_details: dict[str, Any]
    code: dict[str, int | str]


class Result(Identity, total=False):
    """result.json. A run that has not finished has less, one of an earlier version may have; a damaged file, anything.

    Besides these keys there is each quantity of `runs.quantities`, at its path.

    Attributes:
        error: what stopped it, or None.
        cause: of an early end; a finished run has none. See `snnbench.training.failure`.
        diverged: its numbers did, so that it would fail again.
        final_loss: losses of the last epoch, by their columns in metrics.csv.
        layers: of the last epoch, from the input on: values by quantity, as in layers.csv.
        energy: as `energy.models.energy` gives it; None where it was not counted.
        environment: of the last start.
    """

    status: Written
    error: str | None
    cause: Cause
    diverged: bool
    epochs: Epochs
    accuracy: Accuracy
    final_loss: dict[str, float]
    layers: dict[str, dict[str, float]]
    energy: dict[str, Any] | None
    environment: Environment
