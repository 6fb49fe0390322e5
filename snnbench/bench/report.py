"""What came of a comparison: verdicts to be quoted, tables, a card in Markdown, and all of it as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnbench.bench.campaign import ALPHA, OVERALL, Campaign, Match, values
from snnbench.bench.contestants import Contestant
from snnbench.bench.cost import Cost
from snnbench.bench.pairing import Shared
from snnbench.bench.suites import Part
from snnbench.files import write_json, write_text
from snnbench.results import labels
from snnbench.results.outcomes import Spread
from snnbench.results.tables import render
from snnbench.results.tables.comparison import CONSTANTS, ENVIRONMENT
from snnbench.results.tables.papers import Table
from snnbench.runs.quantities import QUANTITIES
from snnbench.runs.quantity import BYTE, Format, Quantity, Unit
from snnbench.runs.read import Run

SCHEMA = 1
CARD, RECORD = "card.md", "bench.json"
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
WORDS = {"better": "better", "worse": "worse", "same": "no difference", None: "undecided"}


@dataclass
class Report:
    """Of a comparison that came to its end.

    Attributes:
        campaign: with its matches and runs.
        costs: of a step, by data set and neuron, at the largest T.
        shared: what the neuron's network and a rival's begin with alike, by data set and rival.
        command: that was given.
        notes: what else a reader has to know.
    """

    campaign: Campaign
    costs: Mapping[tuple[str, Contestant], Cost]
    shared: Mapping[tuple[str, Contestant], Shared]
    command: str
    notes: Sequence[str] = field(default_factory=list)

    @property
    def sentences(self) -> list[str]:
        """A verdict a line."""
        return [sentence(self.campaign, match) for match in self.campaign.matches]

    @property
    def tables(self) -> list[Table]:
        """The differences; then each data set's accuracies and costs."""
        return [_verdicts(self.campaign), *(self._measured(part) for part in self.campaign.suite.parts)]

    @property
    def text(self) -> str:
        """For a terminal, with the verdicts last."""
        tables = render.render(self.tables, self.all_notes, "text")
        return tables + "\n" + render.render([], self.sentences, "text")

    @property
    def all_notes(self) -> list[str]:
        """Of the statistics, the pairing, and of what neurons do not have in common."""
        campaign = self.campaign
        holds = "all intervals hold together" if campaign.together else "each interval holds by itself"
        looks = f"seeds {campaign.suite.least} to {campaign.suite.most}"
        certain = (
            f"{100 * (1 - ALPHA):g} %: {holds}, at every look ({looks}), so that stopping early costs nothing of it"
        )
        count = campaign.questions
        several = f"{count} questions were asked; --together makes {100 * (1 - ALPHA):g} % hold for all of them at once"
        notes = [certain, *([several] if count > 1 and not campaign.together else []), *self._paired()]
        return [*notes, *_unequal(campaign), *self.notes]

    def _paired(self) -> list[str]:
        equal = min((len(one.equal) for one in self.shared.values()), default=0)
        apart = sorted({name for one in self.shared.values() for name in one.different})
        if apart:
            return [f"not paired in full: first weights differ in {', '.join(apart)}"]
        return [
            f"paired by seed: the same first weights (at least {equal} tensors, compared), batches and augmentation"
        ]

    def _measured(self, part: Part) -> Table:
        """A line a neuron: accuracy at each T; at the largest, firing rate, energy, step, memory; parameters."""
        campaign, T = self.campaign, max(part.steps)
        last = [("firing_rate", T), ("energy", T), ("parameters", T)]
        cells: dict[str, dict[Contestant, str]] = {f"T={step}": {} for step in part.steps}
        for one in campaign.contestants:
            for step in part.steps:
                spread = Spread.of(values(campaign.runs[part.data, one], step, "last_epoch"))
                cells[f"T={step}"][one] = f"{spread.mean:.2f}" + (
                    f" ± {spread.std:.2f}" if spread.std is not None else ""
                )
        for key, step in last:
            found = {one: values(campaign.runs[part.data, one], step, key) for one in campaign.contestants}
            cells |= _column(QUANTITIES[key], {one: statistics.fmean(each) for one, each in found.items() if each})
        costs = {one: self.costs[part.data, one] for one in campaign.contestants if (part.data, one) in self.costs}
        cells |= _column(STEP, {one: cost.seconds for one, cost in costs.items()})
        cells |= _column(KEPT, {one: cost.kept for one, cost in costs.items()})
        run = next(iter(campaign.runs[part.data, campaign.neuron].values()))
        table = Table(_title(run, T), ("neuron", *cells))
        for one in campaign.contestants:
            table.lines.append([one.label, *(column.get(one, "-") for column in cells.values())])
        table.least = tuple(name for name in table.columns if name.startswith(("kept", "parameters", "firing")))
        return table

    def write(self, folder: Path) -> list[Path]:
        """Card, record and figures in `folder`; their paths."""
        from snnbench.bench import figures

        folder.mkdir(parents=True, exist_ok=True)
        drawn = figures.write(self.campaign, folder)
        write_json(folder / RECORD, self.record())
        write_text(folder / CARD, self.card([path.name for path in drawn if path.suffix == ".png"]))
        return [folder / CARD, folder / RECORD, *drawn]

    def card(self, pictures: Sequence[str]) -> str:
        """As Markdown."""
        campaign = self.campaign
        head = f"# {campaign.neuron.label} against {', '.join(rival.label for rival in campaign.rivals)}"
        lines = "\n".join(f"- {line}" for line in self.sentences)
        shown = "\n\n".join(f"![{name.removesuffix('.png')}]({name})" for name in pictures)
        parts = [head, f"    {self.command}", lines, shown, render.render(self.tables, self.all_notes, "md")]
        return "\n\n".join(part for part in parts if part)

    def record(self) -> dict[str, Any]:
        """All of it, each seed's values included."""
        campaign = self.campaign
        runs = [run for found in campaign.runs.values() for run in found.values()]
        machines: list[dict[str, Any]] = []
        for run in runs:
            machine = {key: run.environment.get(key) for key in ENVIRONMENT}
            if machine not in machines:
                machines.append(machine)
        return {
            "schema": SCHEMA,
            "command": self.command,
            "suite": campaign.suite.name,
            "neuron": campaign.neuron.label,
            "margin": campaign.suite.margin,
            "confidence": 1 - ALPHA,
            "together": campaign.together,
            "looks": {"least": campaign.suite.least, "most": campaign.suite.most, "level": campaign.each},
            "verdicts": [_verdict(campaign, match) for match in campaign.matches],
            "runs": [
                self._cell(part, one, T)
                for part in campaign.suite.parts
                for one in campaign.contestants
                for T in part.steps
            ],
            "notes": self.all_notes,
            "machines": machines,
        }

    def _cell(self, part: Part, contestant: Contestant, T: int) -> dict[str, Any]:
        found = {seed: run for (step, seed), run in self.campaign.runs[part.data, contestant].items() if step == T}
        cost = self.costs.get((part.data, contestant))
        return {
            "data": part.data,
            "provenance": next(iter(found.values())).provenance,
            "neuron": contestant.label,
            "words": contestant.words,
            "T": T,
            "seeds": list(found),
            **{
                key: [QUANTITIES[key].of(run.result) for run in found.values()]
                for key in ("last_epoch", "firing_rate", "energy", "parameters", "speed", "peak_memory", "wall_time")
            },
            "step": {"seconds": cost.seconds, "kept": cost.kept} if cost and max(part.steps) == T else None,
        }


def sentence(campaign: Campaign, match: Match) -> str:
    """A verdict that can be quoted: who, on what, by how much, how sure, from how many seeds."""
    ours, theirs, found = campaign.neuron.label, match.rival.label, match.estimate
    where = "over all data sets" if match.data == OVERALL else f"on {labels.data(match.data)}"
    assert found is not None
    sure = f"{100 * (1 - ALPHA):g} %, {found.n} paired seeds"
    interval = f"[{found.low:+.2f}, {found.high:+.2f}], {sure}"
    if match.verdict in ("better", "worse"):
        return f"{ours} is {match.verdict} than {theirs} {where}, {found.mean:+.2f} points {interval}"
    if match.verdict == "same":
        bound = f"smaller than {found.largest:.2f} points"
        return f"no difference between {ours} and {theirs} was found {where}, {bound} {interval}"
    return f"{ours} against {theirs} {where}: undecided after {found.n} seeds, {found.mean:+.2f} points {interval}"


def _verdicts(campaign: Campaign) -> Table:
    title = f"{campaign.neuron.label}, suite {campaign.suite.name}: percentage points by which it is above each rival"
    table = Table(title, ("against", "data", "difference", "interval", "chance", "seeds", "verdict"))
    for match in campaign.matches:
        found = match.estimate
        assert found is not None
        data = "all" if match.data == OVERALL else labels.data(match.data)
        interval = f"[{found.low:+.2f}, {found.high:+.2f}]"
        chance = (
            f"{100 * found.chance:.0f} %"
            if 0.005 < found.chance < 0.995
            else ("> 99 %" if found.chance > 0.5 else "< 1 %")
        )
        line = [match.rival.label, data, f"{found.mean:+.2f}", interval, chance, str(found.n), WORDS[match.verdict]]
        table.lines.append(line)
    return table


def _verdict(campaign: Campaign, match: Match) -> dict[str, Any]:
    found = match.estimate
    assert found is not None
    numbers = {key: getattr(found, key) for key in ("mean", "low", "high", "chance", "n", "sd")}
    said = {"sentence": sentence(campaign, match), "verdict": WORDS[match.verdict]}
    differences = {str(seed): value for seed, value in match.differences.items()}
    return {"against": match.rival.label, "data": match.data, **said, **numbers, "differences": differences}


def _column(quantity: Quantity, means: Mapping[Contestant, float]) -> dict[str, dict[Contestant, str]]:
    """A column under its head, or none where nobody has the quantity."""
    unit = quantity.unit(means.values())
    return {quantity.head(unit): {one: quantity.number(mean, unit) for one, mean in means.items()}} if means else {}


def _title(run: Run, T: int) -> str:
    data, backbone = labels.data(run.config["data"]["name"]), labels.backbone(run.config["backbone"]["name"])
    real = "" if run.provenance == "real" else f", {run.provenance} ({run.doubt})"
    return f"{data}{real}, {backbone}, {run.planned} epochs: test accuracy % after the last; the rest at T={T}"


def _unequal(campaign: Campaign) -> list[str]:
    """What of surrogate, threshold and reset is not the same for all, though it is no neuron's own idea."""
    firsts = {one: next(iter(runs.values())) for (_, one), runs in campaign.runs.items()}
    notes = []
    for key in CONSTANTS:
        found = {one: run.flat[f"neuron.{key}"] for one, run in firsts.items() if f"neuron.{key}" in run.flat}
        if len(set(map(str, found.values()))) > 1:
            notes.append(f"{key} differs: " + ", ".join(f"{one.label} {value}" for one, value in found.items()))
    return notes
