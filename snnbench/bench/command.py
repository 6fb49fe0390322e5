"""`snnbench bench`: everything is checked, then trained, then told."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig

from snnbench import commands, log, own, threads
from snnbench.bench import jobs
from snnbench.bench.campaign import Campaign, Runs
from snnbench.bench.contestants import Contestant, contestant, contestants
from snnbench.bench.cost import Cost, forecast, measure
from snnbench.bench.pairing import Shared, shared
from snnbench.bench.report import Report
from snnbench.bench.suites import MOST_SEEDS, Part, Suite, read_suite
from snnbench.check import count, number
from snnbench.errors import UserError
from snnbench.interrupt import FAILED
from snnbench.runs.quantities import QUANTITIES
from snnbench.training import build, preflight

Configs = dict[tuple[str, Contestant], DictConfig]
LOG = "train.log"


@dataclass
class Prepared:
    """A comparison in which nothing is wrong, before its first run.

    Attributes:
        suite: with the data sets that are there.
        words: overrides of every run.
        configs: by data set and neuron, at the largest T, of the first seed.
        notes: what was left out.
    """

    suite: Suite
    neuron: Contestant
    rivals: tuple[Contestant, ...]
    words: list[str]
    configs: Configs
    notes: list[str]


def bench(arguments: argparse.Namespace) -> int:
    """0; or 1 where a run failed. Nothing is trained with `--plan`, nor where anything is wrong.

    Raises:
        UserError: a word is wrong, or the data is not there.
    """
    log.to_terminal()
    with own.importable():
        found = prepared(arguments)
        costs = measured(found)
        seconds = forecasts(found, costs)
        if arguments.plan:
            print(planned(found, seconds))
            return 0
        folder = arguments.output or _outputs(found) / "bench" / _name(found)
        _make(folder)
        try:
            with (folder / LOG).open("a") as file:
                campaign = run(found, seconds, arguments.together, file)
        except jobs.Failed as error:
            print(f"error: {error}", file=sys.stderr)
            return FAILED
        report = Report(campaign, costs, _shared(found), arguments.command, found.notes)
        sys.stdout.write(report.text)
        print("\n".join(["", *(commands.typed(path) for path in report.write(folder))]))
    return 0


def prepared(arguments: argparse.Namespace) -> Prepared:
    """Everything that was typed, looked at.

    Raises:
        UserError: names the word.
    """
    neuron, rivals = contestant(arguments.neuron), contestants(arguments.against)
    suite = read_suite(arguments.suite)
    if arguments.most is not None:
        suite = replace(suite, most=count("--most", arguments.most, suite.least, most=MOST_SEEDS))
    if arguments.margin is not None:
        suite = replace(suite, margin=number("--margin", arguments.margin, "(0, inf)"))
    jobs.check_words(arguments.words)
    words = list(arguments.words)
    if not any(word.startswith("threads=") for word in words):
        words.append(f"threads={threads.choose().count}")  # once, lest runs differ in it
    configs: Configs = {}
    for part in suite.parts:
        jobs.check_words(part.words)
        for one in dict.fromkeys((neuron, *rivals)):
            wanted = (*jobs.words_of(part, one, words), f"T={max(part.steps)}")
            configs[part.data, one] = jobs.composed(wanted)
            preflight.check_parts(configs[part.data, one])
    parts, notes = _there(suite.parts, {part.data: configs[part.data, neuron] for part in suite.parts}, arguments.plan)
    return Prepared(replace(suite, parts=parts), neuron, rivals, words, configs, notes)


def _there(parts: Sequence[Part], configs: Mapping[str, DictConfig], plan: bool) -> tuple[tuple[Part, ...], list[str]]:
    """The data sets whose files are there, and what is said of the others; for a plan all, and nothing is fetched.

    Raises:
        UserError: one is missing that is not optional, or all are; names every one.
    """
    missing: dict[str, UserError] = {}
    for part in parts:
        try:
            preflight.check_files(configs[part.data], fetch=not plan)
        except UserError as error:
            missing[part.data] = error
    found = tuple(part for part in parts if part.data not in missing)
    needed = [str(missing[part.data]) for part in parts if part.data in missing and not part.optional]
    if not plan and (needed or not found):
        raise UserError("\n".join(needed or map(str, missing.values())))
    notes = [f"{'not here yet, ' if plan else 'without '}{data}: {error}" for data, error in missing.items()]
    for note in notes:
        print(note, file=sys.stderr)
    return (tuple(parts) if plan else found), notes


def measured(found: Prepared) -> dict[tuple[str, Contestant], Cost]:
    """The cost of a step, at the largest T of each data set."""
    build.set_threads(threads.Choice(int(next(iter(found.configs.values())).threads), "of all runs"))
    costs: dict[tuple[str, Contestant], Cost] = {}
    for part in found.suite.parts:
        print(f"{part.data}: a step of each neuron is measured", file=sys.stderr)
        own_ = {one: cfg for (data, one), cfg in found.configs.items() if data == part.data}
        costs |= {(part.data, one): cost for one, cost in measure(own_).items()}
    return costs


def forecasts(found: Prepared, costs: dict[tuple[str, Contestant], Cost]) -> dict[tuple[str, Contestant], float]:
    """Seconds of the runs of one seed, taking time to grow with T."""
    seconds = {}
    for part in found.suite.parts:
        share = sum(part.steps) / max(part.steps)
        for (data, one), cost in costs.items():
            if data == part.data:
                seconds[data, one] = share * forecast(cost, part.samples, int(found.configs[data, one].epochs))
    return seconds


def planned(found: Prepared, seconds: dict[tuple[str, Contestant], float]) -> str:
    """What would be trained, and how long that takes here."""
    suite, text = found.suite, QUANTITIES["wall_time"].text
    lines = []
    for part in suite.parts:
        own_ = {one: value for (data, one), value in seconds.items() if data == part.data}
        runs = len(own_) * len(part.steps)
        each = sum(own_.values())
        cfg = found.configs[part.data, found.neuron]
        steps = ", ".join(map(str, part.steps))
        lines.append(
            f"{part.data}: {cfg.backbone.name}, T={steps}, {cfg.epochs} epochs, {runs} run{'s' * (runs > 1)} a seed, "
            f"{suite.least} to {suite.most} seeds; about {text(suite.least * each)} to {text(suite.most * each)}"
        )
    total = sum(seconds.values())
    lines.append(
        f"all: about {text(suite.least * total)} to {text(suite.most * total)} on this machine, one run at a time"
    )
    return "\n".join(lines)


def run(found: Prepared, seconds: Mapping[tuple[str, Contestant], float], together: bool, file: TextIO) -> Campaign:
    """Train until every question is answered, or the seeds are used up.

    Raises:
        jobs.Failed: a run failed.
    """
    trainer = jobs.Jobs(_outputs(found), file)

    def train(part: Part, contestant: Contestant, seeds: Sequence[int], begins: Callable[[int, int], None]) -> Runs:
        return trainer.runs(jobs.words_of(part, contestant, found.words), part.steps, seeds, begins)

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    campaign = Campaign(found.suite, found.neuron, found.rivals, train, say, dict(seconds), together)
    campaign.run()
    return campaign


def _shared(found: Prepared) -> dict[tuple[str, Contestant], Shared]:
    """What each pair of networks begins with alike."""
    pairs = [(part.data, rival) for part in found.suite.parts for rival in found.rivals]
    return {
        (data, rival): shared(found.configs[data, found.neuron], found.configs[data, rival]) for data, rival in pairs
    }


def _outputs(found: Prepared) -> Path:
    return Path(next(iter(found.configs.values())).paths.outputs)


def _name(found: Prepared) -> str:
    """Of the folder, from what is compared on what."""
    who = [found.neuron, *found.rivals]
    text = "-".join(re.sub(r"[^\w.=+-]", "_", ":".join((one.neuron, *one.options))) for one in who)
    return f"{found.suite.name}-{text}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: cannot make this folder ({error.strerror}).") from error
