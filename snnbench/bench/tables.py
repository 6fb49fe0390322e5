"""Verdicts to be quoted, and the tables of a comparison."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from snnbench.bench.campaign import ALPHA, OVERALL, Campaign, Match, values
from snnbench.bench.contestants import Contestant
from snnbench.bench.cost import Cost
from snnbench.bench.suites import Part
from snnbench.results import labels
from snnbench.results.outcomes import Spread
from snnbench.results.tables.papers import Table
from snnbench.runs.quantities import QUANTITIES
from snnbench.runs.quantity import BYTE, Format, Quantity, Unit
from snnbench.runs.read import Run

STEP = Quantity(
    key="step",
    path="",
    label="forward and backward of a sample",
    short="step",
    units=(Unit("µs", 1e-6), Unit("ms", 1e-3), Unit("s")),
    format=Format("significant", 3),
)
KEPT = Quantity(
    key="kept",
    path="",
    label="kept for backward, of a sample",
    short="kept",
    units=BYTE,
    format=Format("significant", 3),
)
WHOLE = "a wider terminal and the card have it"
WORDS = {"better": "better", "worse": "worse", "same": "no difference", None: "undecided"}


def sentence(campaign: Campaign, match: Match) -> str:
    """A verdict that can be quoted: who, on what, by how much, how sure, from how many seeds."""
    ours, theirs, found = campaign.neuron.label, match.rival.label, match.estimate
    where = "over all data sets" if match.data == OVERALL else f"on {_data(campaign, match.data)}"
    assert found is not None
    at_once = f" for all {campaign.questions} verdicts at once" if campaign.together else ""
    sure = f"{100 * (1 - ALPHA):g} %{at_once}, {found.n} paired seeds"
    interval = f"[{found.low:+.2f}, {found.high:+.2f}], {sure}"
    if match.verdict in ("better", "worse"):
        return f"{ours} is {match.verdict} than {theirs} {where}, {found.mean:+.2f} points {interval}"
    if match.verdict == "same":
        bound = f"any is smaller than {found.largest:.2f} points"
        return f"no difference between {ours} and {theirs} was found {where}; {bound} {interval}"
    return f"{ours} against {theirs} {where}: undecided after {found.n} seeds, {found.mean:+.2f} points {interval}"


def verdicts(campaign: Campaign) -> Table:
    """A line a question."""
    title = f"{campaign.neuron.label}, suite {campaign.suite.name}: percentage points by which it is above each rival"
    table = Table(title, ("against", "data", "points", "interval", "chance", "n", "verdict"), whole=WHOLE)
    for match in campaign.matches:
        found = match.estimate
        assert found is not None
        data = "all" if match.data == OVERALL else labels.data(match.data)
        interval = f"[{found.low:+.2f}, {found.high:+.2f}]"
        numbers = [f"{found.mean:+.2f}", interval, _chance(found.chance), str(found.n)]
        table.lines.append([match.rival.label, data, *numbers, WORDS[match.verdict]])
    return table


def _chance(value: float) -> str:
    """In percent; none is certain."""
    if 0.01 <= value <= 0.99:
        return f"{100 * value:.0f} %"
    return "> 99 %" if value > 0.5 else "< 1 %"


def _data(campaign: Campaign, name: str) -> str:
    """As the field writes it, and what of it was left out."""
    run = _first(campaign, name)
    return labels.data(name) + ("" if run.provenance == "real" else f" ({run.doubt or run.provenance})")


def _first(campaign: Campaign, data: str) -> Run:
    """One of the runs on a data set."""
    return next(iter(campaign.runs[data, campaign.neuron].values()))


def measured(campaign: Campaign, part: Part, costs: Mapping[tuple[str, Contestant], Cost]) -> Table:
    """A line a neuron: accuracy at each T; at the largest, firing rate, energy, step, memory; parameters."""
    T = max(part.steps)
    last = [("firing_rate", T), ("energy", T), ("parameters", T)]
    cells: dict[str, dict[Contestant, str]] = {f"T={step}": {} for step in part.steps}
    runs = {one: campaign.common(part, one) for one in campaign.contestants}
    for one, common in runs.items():
        for step in part.steps:
            cells[f"T={step}"][one] = Spread.of(values(common, step, "last_epoch")).short
    for key, step in last:
        found = {one: values(common, step, key) for one, common in runs.items()}
        cells |= _column(QUANTITIES[key], {one: statistics.fmean(each) for one, each in found.items() if each})
    own = {one: costs[part.data, one] for one in campaign.contestants if (part.data, one) in costs}
    cells |= _column(STEP, {one: cost.seconds for one, cost in own.items()})
    cells |= _column(KEPT, {one: cost.kept for one, cost in own.items()})
    seeds = len(runs[campaign.neuron]) // len(part.steps)
    title = f"{_title(_first(campaign, part.data))}: test accuracy % after the last, {seeds} seeds; the rest at T={T}"
    table = Table(title, ("neuron", *cells), whole=WHOLE)
    for one in campaign.contestants:
        table.lines.append([one.label, *(column.get(one, "-") for column in cells.values())])
    table.least = tuple(name for name in table.columns if name.startswith(("kept", "parameters", "firing")))
    return table


def _column(quantity: Quantity, means: Mapping[Contestant, float]) -> dict[str, dict[Contestant, str]]:
    """A column under its head, or none where nobody has the quantity."""
    unit = quantity.unit(means.values())
    return {quantity.head(unit): {one: quantity.number(mean, unit) for one, mean in means.items()}} if means else {}


def _title(run: Run) -> str:
    data, backbone = labels.data(run.config["data"]["name"]), labels.backbone(run.config["backbone"]["name"])
    real = "" if run.provenance == "real" else f", {run.provenance} ({run.doubt})"
    return f"{data}{real}, {backbone}, {run.planned} epochs"
