"""A neuron against its rivals, seed by seed, until each question is answered or the seeds are used up."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
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


class Train(Protocol):
    """Gives the finished runs of a neuron on a data set under one seed, one at each T."""

    def __call__(self, part: Part, contestant: Contestant, seed: int) -> Runs: ...


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

    def run(self) -> None:
        """Train what is missing, until `matches` says what can be said."""
        for place, part in enumerate(self.suite.parts):
            self._on(part, self.suite.parts[place + 1 :])
        if len(self.suite.parts) > 1:
            self.matches += [self._overall(rival) for rival in self.rivals]

    def left(self, part: Part, seed: int, open_: Iterable[Contestant], after: Iterable[Part]) -> float | None:
        """Seconds that may be left at most before this seed; None where nothing is known of them."""
        here = (self.suite.most - seed) * self._seed_seconds(part, [self.neuron, *open_])
        later = sum(self.suite.most * self._seed_seconds(one, self.contestants) for one in after)
        return here + later or None

    def _seed_seconds(self, part: Part, who: Iterable[Contestant]) -> float:
        return sum(self.seconds.get((part.data, one), 0.0) for one in dict.fromkeys(who))

    def _on(self, part: Part, after: tuple[Part, ...]) -> None:
        """A data set: each seed for the neuron and for those rivals of which nothing is decided."""
        matches = [Match(rival, part.data, self.each, self.suite.margin) for rival in self.rivals]
        self.matches += matches
        for seed in range(self.suite.most):
            undecided = [match for match in matches if seed < self.suite.least or match.verdict is None]
            if not undecided:
                break
            who = list(dict.fromkeys((self.neuron, *(match.rival for match in undecided))))
            left = self.left(part, seed, who, after)
            about = f", at most about {QUANTITIES['wall_time'].text(left)} left" if left else ""
            neurons = f"{len(who)} neuron{'s' * (len(who) > 1)}"
            self.say(f"{part.data}: seed {seed + 1} of at most {self.suite.most}, {neurons}{about}")
            for one in who:
                self._one(part, one, seed)
            for match in undecided:
                self._add(match, part, seed)

    def _one(self, part: Part, contestant: Contestant, seed: int) -> None:
        found = self.train(part, contestant, seed)
        runs = self.runs.setdefault((part.data, contestant), {})
        runs.update(found)
        walls = [QUANTITIES["wall_time"].of(run.result) or 0.0 for run in runs.values()]
        self.seconds[part.data, contestant] = statistics.fmean(walls) * len(part.steps)

    def _add(self, match: Match, part: Part, seed: int) -> None:
        ours, theirs = (self.runs[part.data, one] for one in (self.neuron, match.rival))
        match.differences[seed] = statistics.fmean(
            _accuracy(ours[T, seed]) - _accuracy(theirs[T, seed]) for T in part.steps
        )
        match.grid = grid(ours[part.steps[0], seed], len(part.steps))
        found = match.estimate
        if found is not None and seed + 1 >= self.suite.least:
            text = f"{found.mean:+.2f} points [{found.low:.2f}, {found.high:.2f}]"
            self.say(f"  {self.neuron.label} - {match.rival.label}: {text}")

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
    return 100 / tested / steps**0.5 if tested else 0.0


def values(runs: Mapping[tuple[int, int], Run], T: int, key: str) -> list[float]:
    """A quantity of the runs at T, seed by seed."""
    found = (QUANTITIES[key].of(run.result) for (step, _), run in runs.items() if step == T)
    return [value for value in found if value is not None]
