"""What came of a comparison: verdicts to be quoted, tables, a card in Markdown, and all of it as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snnbench.bench.campaign import ALPHA, Campaign, Match
from snnbench.bench.contestants import Contestant
from snnbench.bench.cost import Cost
from snnbench.bench.pairing import Shared
from snnbench.bench.suites import Part
from snnbench.bench.tables import WORDS, measured, sentence, verdicts
from snnbench.files import write_json, write_text
from snnbench.results.tables import render
from snnbench.results.tables.comparison import machines, unequal
from snnbench.results.tables.papers import Table
from snnbench.runs.quantities import QUANTITIES

SCHEMA = 1
CARD, RECORD = "card.md", "bench.json"


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
        parts = (measured(self.campaign, part, self.costs) for part in self.campaign.suite.parts)
        return [verdicts(self.campaign), *parts]

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
            "machines": machines(runs),
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


def _verdict(campaign: Campaign, match: Match) -> dict[str, Any]:
    found = match.estimate
    assert found is not None
    numbers = {key: getattr(found, key) for key in ("mean", "low", "high", "chance", "n", "sd")}
    said = {"sentence": sentence(campaign, match), "verdict": WORDS[match.verdict]}
    differences = {str(seed): value for seed, value in match.differences.items()}
    return {"against": match.rival.label, "data": match.data, **said, **numbers, "differences": differences}


def _unequal(campaign: Campaign) -> list[str]:
    neurons = {one.label: next(iter(runs.values())).flat for (_, one), runs in campaign.runs.items()}
    return [
        f"{key} differs: " + ", ".join(f"{label} {value}" for label, value in values.items())
        for key, values in unequal(neurons).items()
    ]
