"""The table of quantities: every number of a run that is shown anywhere.

The terminal, the tables, the dashboard and wandb are driven by it. To add a quantity, add an entry to QUANTITIES and,
in training/measure.py, the function that measures it.
"""

from __future__ import annotations

from snnbench.runs.quantity import BYTE, PERCENT, PICOJOULE, SECOND, Format, Place, Quantity, Unit
from snnbench.runs.schema import PROTOCOLS, RATE, TEST_RATE


def _accuracy(protocol: str, *, sweep: bool = False, needs: str = "") -> Quantity:
    return Quantity(
        key=protocol,
        path=f"accuracy.{protocol}",
        label=f"test accuracy, {PROTOCOLS[protocol]}",
        short=PROTOCOLS[protocol],
        over="test acc.",
        units=PERCENT,
        format=Format("fixed", 2),
        better="higher",
        shown=("report", "runs", "differences", "axes", "wandb", *(("sweep",) if sweep else ())),
        needs=needs,
    )


FIRING_RATE = Quantity(
    key="firing_rate",
    path=RATE,
    label="firing rate",
    short="firing rate",
    words="spikes per neuron and timestep",
    format=Format("fixed", 3),
    better="lower",
)
ENERGY = Quantity(
    key="energy",
    path="energy.picojoule",
    label="energy of a sample",
    short="energy",
    units=PICOJOULE,
    better="lower",
    only={"energy.model": "45nm"},
    later={"energy": True},
)
QUANTITIES: dict[str, Quantity] = {
    quantity.key: quantity
    for quantity in (
        _accuracy("last_epoch", sweep=True),
        _accuracy("best_test_epoch", sweep=True),
        _accuracy("validation_chosen", needs="data.val_fraction above 0"),
        FIRING_RATE,
        ENERGY,
        Quantity(
            key="ann_energy",
            path="energy.ann_picojoule",
            label="energy of a sample as an ANN",
            short="as an ANN",
            units=PICOJOULE,
            shown=("report", "differences", "wandb"),
            only=ENERGY.only,
        ),
        Quantity(
            key="accumulates",
            path="energy.ac",
            label="accumulates of a sample",
            short="AC",
            format=Format("count"),
            better="lower",
            shown=("differences", "axes", "wandb"),
        ),
        Quantity(
            key="multiply_accumulates",
            path="energy.mac",
            label="multiply-accumulates of a sample",
            short="MAC",
            format=Format("count"),
            better="lower",
            shown=("differences", "axes", "wandb"),
        ),
        Quantity(
            key="parameters",
            path="parameters.total",
            label="parameters",
            short="parameters",
            format=Format("count"),
            shown=("report", "runs", "differences", "axes", "wandb"),
        ),
        Quantity(
            key="neuron_parameters",
            path="parameters.neurons",
            label="parameters of neurons",
            short="parameters of neurons",
            format=Format("count"),
            shown=("report", "differences", "wandb"),
        ),
        Quantity(
            key="speed",
            path="samples_per_second",
            label="training speed",
            short="speed",
            units=(Unit("samples/s"),),
            format=Format("count"),
            better="higher",
            shown=("report", "differences", "axes", "wandb"),
        ),
        Quantity(
            key="peak_memory",
            path="peak_memory_bytes",
            label="peak memory",
            short="peak memory",
            units=BYTE,
            better="lower",
            shown=("differences", "axes", "wandb"),
        ),
        Quantity(
            key="training_time",
            path="seconds.training",
            label="training time, without evaluation",
            short="training time",
            units=SECOND,
            format=Format("duration"),
            better="lower",
            shown=("differences", "wandb"),
        ),
        Quantity(
            key="wall_time",
            path="seconds.wall",
            label="wall time",
            short="wall time",
            units=SECOND,
            format=Format("duration"),
            better="lower",
            shown=("report", "runs", "differences", "axes", "wandb"),
        ),
    )
}
# The columns of metrics.csv, as titles of axes. Others go by their own names.
CURVES = {
    "test/acc": "test accuracy, %",
    "train/acc": "training accuracy, %",
    "val/acc": "validation accuracy, %",
    "test/loss": "test loss",
    "train/loss": "training loss",
    "val/loss": "validation loss",
    "lr": "learning rate",
    TEST_RATE: FIRING_RATE.axis,
}


def shown(place: Place) -> list[Quantity]:
    """The quantities of a place, in the order of the table."""
    return [quantity for quantity in QUANTITIES.values() if place in quantity.shown]
