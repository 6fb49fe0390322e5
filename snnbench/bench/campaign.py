"""A neuron against its rivals, seed by seed, until each question is answered or the seeds are used up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from snnbench.bench.contestants import Contestant
from snnbench.bench.sequential import Estimate, Verdict, estimate, level
from snnbench.bench.suites import Part, Suite
from snnbench.runs.quantities import QUANTITIES
from snnbench.runs.read import Run

Runs = dict[tuple[int, int], Run]
"""By (T, seed)."""
ALPHA = 0.05
OVERALL = "all"
FEW = 100
"""Test samples that a run is taken to have had if it does not say."""


class Train(Protocol):
    """Gives the finished runs of a neuron on a data set, one for each seed and T; tells which of them it begins."""

    def __call__(
        self, part: Part, contestant: Contestant, seeds: Sequence[int], begins: Callable[[int, int], None]
    ) -> Runs: ...


@dataclass(frozen=True)
class Stage:
    """Seeds between two looks: on which data set, of whom they are still to be trained, which data sets come after."""

    part: Part
    seeds: Sequence[int]
    who: Sequence[Contestant]
    after: Sequence[Part]


@dataclass
class Match:
    """The neuron against one rival on one data set, or on all (`data` is OVERALL).

    Attributes:
        differences: by seed, in percentage points, averaged over T.
        grid: see `sequential.estimate`.
        each: level of a look.
        margin: see `Suite`.
    """

    rival: Contestant
    data: str
    each: float
    margin: float
    grid: float = 0.0
    differences: dict[int, float] = field(default_factory=dict)

    @property
    def estimate(self) -> Estimate | None:
        """None before the second seed."""
        values = list(self.differences.values())
        return estimate(values, self.each, self.grid) if len(values) > 1 else None

    @property
    def verdict(self) -> Verdict | None:
        found = self.estimate
        return None if found is None else found.verdict(self.margin)


@dataclass
class Campaign:
    """One comparison.

    Attributes:
        suite: with the parts that are used.
        neuron, rivals: who is compared.
        train: how runs are had.
        say: takes a line of progress.
        seconds: a forecast of the runs of one seed, by data set and neuron; replaced by what was measured.
        together: whether all intervals hold at once, and not each by itself.
    """

    suite: Suite
    neuron: Contestant
    rivals: tuple[Contestant, ...]
    train: Train
    say: Callable[[str], None] = print
    seconds: dict[tuple[str, Contestant], float] = field(default_factory=dict)
    together: bool = False
    runs: dict[tuple[str, Contestant], Runs] = field(default_factory=dict)
    matches: list[Match] = field(default_factory=list)

    @property
    def contestants(self) -> list[Contestant]:
        """Each once, the neuron first."""
        return list(dict.fromkeys((self.neuron, *self.rivals)))

    @property
    def questions(self) -> int:
        """How many intervals there will be."""
        parts = len(self.suite.parts)
        return len(self.rivals) * (parts + (parts > 1))

    @property
    def alpha(self) -> float:
        """Of one of them."""
        return ALPHA / self.questions if self.together else ALPHA

    @property
    def each(self) -> float:
        """The level of one look."""
        return level(self.suite.least, self.suite.most, self.alpha)

    def common(self, part: Part, contestant: Contestant) -> Runs:
        """A neuron's runs on a data set under the seeds that all neurons have there: means of these can be compared."""
        seeds = [{seed for _, seed in self.runs[part.data, one]} for one in self.contestants]
        shared = set.intersection(*seeds)
        return {(T, seed): run for (T, seed), run in self.runs[part.data, contestant].items() if seed in shared}

    def run(self) -> None:
        """Train what is missing, until `matches` says what can be said."""
        for place, part in enumerate(self.suite.parts):
            self._on(part, self.suite.parts[place + 1 :])
        if len(self.suite.parts) > 1:
            self.matches += [self._overall(rival) for rival in self.rivals]

    def _on(self, part: Part, after: Sequence[Part]) -> None:
        """A data set: each seed for the neuron and for those rivals of which nothing is decided.

        Before the first look there is nothing to decide, so that the first seeds are trained at once.
        """
        matches = [Match(rival, part.data, self.each, self.suite.margin) for rival in self.rivals]
        self.matches += matches
        seeds: Sequence[int] = range(self.suite.least)
        undecided = matches
        while seeds and undecided:
            who = list(dict.fromkeys((self.neuron, *(match.rival for match in undecided))))
            for place in range(len(who)):
                self._train(Stage(part, seeds, who[place:], after), len(who))
            for match in undecided:
                self._compare(match, part, seeds)
            undecided = [match for match in undecided if match.verdict is None]
            seeds = range(seeds[-1] + 1, min(seeds[-1] + 2, self.suite.most))

    def _train(self, stage: Stage, neurons: int) -> None:
        """The first of those who are still to be trained."""
        one, part = stage.who[0], stage.part

        def begins(T: int, seed: int) -> None:
            if part.steps[0] == T:
                left = self.left(stage, seed)
                about = f", at most about {QUANTITIES['wall_time'].text(left)} left" if left else ""
                several = f"{neurons} neuron{'s' * (neurons > 1)}"
                where = f"{part.data}: seed {seed + 1} of at most {self.suite.most}"
                self.say(f"{where}, {several}{about}; {one.label}")

        runs = self.runs.setdefault((part.data, one), {})
        runs.update(self.train(part, one, stage.seeds, begins))
        walls = [QUANTITIES["wall_time"].of(run.result) or 0.0 for run in runs.values()]
        self.seconds[part.data, one] = statistics.fmean(walls) * len(part.steps)

    def left(self, stage: Stage, seed: int) -> float:
        """Seconds that may be left at most before this seed of a stage; 0 where nothing is known of them."""
        first, *others = (self.seconds.get((stage.part.data, one), 0.0) for one in stage.who)
        now = first * (stage.seeds[-1] + 1 - seed) + sum(others) * len(stage.seeds)
        everybody = self.contestants
        rest = self._seed_seconds(stage.part, everybody) * (self.suite.most - stage.seeds[-1] - 1)
        return now + rest + sum(self.suite.most * self._seed_seconds(part, everybody) for part in stage.after)

    def _seed_seconds(self, part: Part, who: Iterable[Contestant]) -> float:
        return sum(self.seconds.get((part.data, one), 0.0) for one in who)

    def _compare(self, match: Match, part: Part, seeds: Iterable[int]) -> None:
        ours, theirs = (self.runs[part.data, one] for one in (self.neuron, match.rival))
        for seed in seeds:
            apart = [_accuracy(ours[T, seed]) - _accuracy(theirs[T, seed]) for T in part.steps]
            match.differences[seed] = statistics.fmean(apart)
            match.grid = grid(ours[part.steps[0], seed], len(part.steps))
        found = match.estimate
        assert found is not None, "the first look is at three seeds or more"
        points = f"{found.mean:+.2f} points [{found.low:+.2f}, {found.high:+.2f}]"
        self.say(f"{part.data}: {self.neuron.label} - {match.rival.label}: {points} after {found.n} seeds")

    def _overall(self, rival: Contestant) -> Match:
        """Over the seeds that all data sets have, each data set counting the same."""
        own = [match for match in self.matches if match.rival == rival]
        common = [seed for seed in own[0].differences if all(seed in match.differences for match in own)]
        found = Match(rival, OVERALL, self.each, self.suite.margin)
        found.differences = {seed: statistics.fmean(match.differences[seed] for match in own) for seed in common}
        found.grid = sum(match.grid**2 for match in own) ** 0.5 / len(own)
        return found


def _accuracy(run: Run) -> float:
    """Test accuracy of the last epoch, in percent: none that was chosen by looking at the test set."""
    found = run.accuracy("last_epoch")
    assert found is not None, f"{run.folder} finished without an accuracy"
    return found


def grid(run: Run, steps: int) -> float:
    """How fine a mean of `steps` accuracies is known: 100 / test samples, over the root of their number."""
    tested = ((run.fingerprint or {}).get("samples") or {}).get("test")
    return 100 / (tested or FEW) / steps**0.5


def values(runs: Mapping[tuple[int, int], Run], T: int, key: str) -> list[float]:
    """A quantity of the runs at T, seed by seed."""
    found = (QUANTITIES[key].of(run.result) for (step, _), run in runs.items() if step == T)
    return [value for value in found if value is not None]
