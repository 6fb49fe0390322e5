"""The kinds of figures: which finished runs each takes, and how it groups them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from snnbench.results import labels
from snnbench.results.figures.data import (
    Drawn,
    HeatMap,
    Lines,
    Panel,
    Point,
    Series,
    alike,
    by_neuron,
    counts,
    name_apart,
    over_layers,
    stem,
    tell_apart,
    title,
)
from snnbench.results.figures.official import curves, order
from snnbench.results.selection import LeftOut, choose, grouped, neuron, setting
from snnbench.runs.layers import layers, learned, rates
from snnbench.runs.quantities import ENERGY
from snnbench.runs.read import Run
from snnbench.runs.schema import protocol_label

SQUASHES: dict[str, Callable[[float], float]] = {
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "none": float,
}
LAYERS = "neuron layer, from the input on"


def coefficients(runs: Sequence[Run], protocol: str) -> Drawn:
    """What the layers have learned at the end: a figure for each recipe, a panel for each coefficient."""
    drawn = Drawn()
    whole = drawn.measure(runs, layers, "result.json holds no layers, or damaged ones")
    found = drawn.measure(list(whole), lambda run: learned(whole[run]), "learned no coefficients")
    for same in grouped(found, _recipe):
        same, others = alike(same, lambda run: [(key, list(value)) for key, value in found[run].items()])
        drawn.left_out += others
        first, name, T = same[0], str(same[0].config["neuron"]["name"]), same[0].config["T"]
        panels = []
        for quantity in found[first]:
            series = Series(labels.neuron_of(first), name, over_layers([found[run][quantity] for run in same]))
            panels.append(Panel(labels.coefficient(name, quantity), [series]))
        heading = title(first, [labels.neuron_of(first), f"T = {T}"], [len(same)])
        file = stem("coefficients", first, name, f"T{T}")
        drawn.figures.append(Lines(file, heading, same, LAYERS, panels))
    tell_apart(drawn.figures, lambda run: neuron(run) | setting(run))
    return drawn


def firing(runs: Sequence[Run], protocol: str) -> Drawn:
    """Spikes on the test set at the end, by layer: a figure for each setting and T, a series for each neuron."""
    drawn = Drawn()
    whole = drawn.measure(runs, layers, "result.json holds no layers, or damaged ones")
    found = drawn.measure(list(whole), lambda run: rates(whole[run]), "result.json holds no firing rates")
    for same in grouped(found, _setting_and_T):
        same, others = alike(same, lambda run: list(found[run]))
        series, crowd = by_neuron(same, lambda of_one: over_layers([found[run] for run in of_one]))
        drawn.left_out += others + crowd
        if not series:
            continue
        first, T = same[0], same[0].config["T"]
        panel = Panel("firing rate (spikes per\nneuron and timestep)", series, from_zero=True)
        file = stem("firing", first, f"T{T}")
        heading = title(first, [f"T = {T}"], counts(series))
        drawn.figures.append(Lines(file, heading, _less(same, crowd), LAYERS, [panel]))
    tell_apart(drawn.figures, setting)
    return drawn


def accuracy(runs: Sequence[Run], protocol: str) -> Drawn:
    """Test accuracy over T: a figure for each setting, a series for each neuron that ran with more than one T."""
    drawn = Drawn()
    found = _accuracies(drawn, runs, protocol)
    _over_timesteps(drawn, "accuracy", found, f"test accuracy (%),\n{protocol_label(protocol)}", least=2)
    return drawn


def energy(runs: Sequence[Run], protocol: str) -> Drawn:
    """Estimated energy per sample over T: a figure for each setting, a series for each neuron."""
    drawn = Drawn()
    found = drawn.measure(runs, lambda run: ENERGY.of(run.result), "result.json holds no energy of operations at 45 nm")
    unit = ENERGY.unit(found.values())
    scaled = {run: value / unit.size for run, value in found.items()}
    _over_timesteps(drawn, "energy", scaled, f"energy of operations\nat 45 nm ({unit.name} per sample)", least=1)
    return drawn


def grid(runs: Sequence[Run], protocol: str) -> Drawn:
    """Test accuracy over the fixed decays of DA-LIF: a heat map for each setting and T."""
    drawn = Drawn()
    decays = drawn.measure(runs, _fixed_decays, "its neuron has no fixed decays alpha and beta")
    found = _accuracies(drawn, list(decays), protocol)
    for same in grouped(found, _all_but_decays):
        chosen = choose(same, lambda run: None, axis=lambda run: (decays[run], run.seed))  # 1.0 is "ones"
        drawn.left_out += chosen.left_out
        same = chosen.counted
        cells: dict[tuple[float, float], tuple[float, ...]] = {}
        for run in same:
            cells[decays[run]] = (*cells.get(decays[run], ()), found[run])
        if min(len({cell[axis] for cell in cells}) for axis in (0, 1)) < 2:
            drawn.left_out += [(run, "a grid needs two values of alpha and two of beta") for run in same]
            continue
        first, T = same[0], same[0].config["T"]
        heading = title(first, [f"T = {T}"], [len(values) for values in cells.values()])
        file = stem("grid", first, f"T{T}")
        drawn.figures.append(HeatMap(file, heading, same, f"test accuracy (%), {protocol_label(protocol)}", cells))
    tell_apart(drawn.figures, lambda run: _all_but_decays(run)[1] | setting(run))
    return drawn


@dataclass(frozen=True)
class Kind:
    """How to draw selected runs by a protocol; and what to say where there is nothing to draw.

    Attributes:
        begun: whether runs that have not reached their end say something, too.
    """

    draw: Callable[[Sequence[Run], str], Drawn]
    needs: str
    command: tuple[str, ...]
    begun: bool = False

    def choose(self, runs: Sequence[Run], protocol: str) -> Drawn:
        """The figures of the runs whose configs say what they are of."""
        drawn = self.draw([run for run in runs if _named(run)], protocol)
        nameless = "its config.yaml lacks T or the name of its data, backbone or neuron"
        drawn.left_out += [(run, nameless) for run in runs if not _named(run)]
        name_apart(drawn.figures)
        return drawn


KINDS = {
    "coefficients": Kind(
        coefficients,
        "finished runs of a neuron that learns coefficients",
        ("-m", "neuron=dalif", "seed=0,1,2"),
    ),
    "grid": Kind(
        grid,
        "finished runs of DA-LIF with fixed decays, over two or more of each",
        ("-m", "+sweep=dalif_grid"),
    ),
    "accuracy": Kind(
        accuracy,
        "finished runs of one recipe with two or more T",
        ("-m", "neuron=lif,dalif", "T=2,4", "seed=0,1,2"),
    ),
    "firing": Kind(firing, "finished runs", ("-m", "neuron=lif,dalif", "seed=0,1,2")),
    "energy": Kind(energy, "finished runs", ("-m", "neuron=lif,dalif", "seed=0,1,2")),
    "curves": Kind(
        curves,
        "runs of a row with a curve of the authors, finished or not",
        ("-m", "experiment=plif/mnist_plifnet_t8", "seed=0,1,2"),
        begun=True,
    ),
    "order": Kind(
        order,
        "finished runs of a masked or sliding PSN under the recipe of its row",
        ("-m", "+sweep=psn_masked_order"),
    ),
}


def _over_timesteps(drawn: Drawn, kind: str, found: dict[Run, float], label: str, least: int) -> None:
    """Figures over T; a neuron that ran with fewer than `least` values of T is left out."""

    def points(runs: list[Run]) -> list[Point]:
        by_T: dict[int, list[float]] = {}
        for run in sorted(runs, key=lambda run: int(run.config["T"])):
            by_T.setdefault(int(run.config["T"]), []).append(found[run])
        return [Point(T, tuple(values)) for T, values in by_T.items()]

    few: list[Run] = []
    for same in grouped(found, lambda run: [setting(run), neuron(run)]):
        if len({run.config["T"] for run in same}) < least:
            few += same
    drawn.left_out += [(run, f"only T = {run.config['T']} has been run of its recipe") for run in few]
    for same in grouped([run for run in found if run not in few], setting):
        series, crowd = by_neuron(same, points)
        drawn.left_out += crowd
        if series:
            heading, file = title(same[0], [], counts(series)), stem(kind, same[0])
            panels = [Panel(label, series, from_zero=kind == "energy")]
            drawn.figures.append(Lines(file, heading, _less(same, crowd), "number of timesteps T", panels))
    tell_apart(drawn.figures, setting)


def _accuracies(drawn: Drawn, runs: Sequence[Run], protocol: str) -> dict[Run, float]:
    return drawn.measure(runs, lambda run: run.accuracy(protocol), f"has no accuracy {protocol_label(protocol)}")


def _named(run: Run) -> bool:
    groups = [run.config.get(group) for group in ("data", "backbone", "neuron")]
    found = [group.get("name") for group in groups if isinstance(group, dict)]
    return (
        len(found) == 3
        and all(isinstance(name, str) and name for name in found)
        and isinstance(run.config.get("T"), int)
    )


def _less(runs: Sequence[Run], crowd: Sequence[LeftOut]) -> list[Run]:
    dropped = {run for run, _ in crowd}
    return [run for run in runs if run not in dropped]


def _recipe(run: Run) -> list[Any]:
    return [run.recipe, run.planned, run.provenance]


def _setting_and_T(run: Run) -> list[Any]:
    return [setting(run), run.config["T"]]


def _all_but_decays(run: Run) -> list[Any]:
    kept = {key: value for key, value in neuron(run).items() if key not in ("neuron.alpha_init", "neuron.beta_init")}
    return [setting(run), kept, run.config["T"]]


def _fixed_decays(run: Run) -> tuple[float, float] | None:
    """alpha and beta as they enter DA-LIF's step, where neither is learned."""
    options = run.config["neuron"]
    if not {"squash", "alpha_init", "beta_init"} <= options.keys():
        return None
    if options.get("learn_alpha") is not False or options.get("learn_beta") is not False:
        return None
    try:
        squash = SQUASHES[options["squash"]]
        starts = (1.0 if options[key] == "ones" else float(options[key]) for key in ("alpha_init", "beta_init"))
        alpha, beta = map(squash, starts)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (alpha, beta) if math.isfinite(alpha) and math.isfinite(beta) else None
