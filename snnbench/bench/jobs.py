"""The runs of a comparison: composed and checked before any begins, trained by the sweeps of train.py, found again."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from snnbench import cli, commands, config, sweep, weights
from snnbench.bench.contestants import Contestant
from snnbench.bench.suites import Part
from snnbench.errors import UserError
from snnbench.interrupt import INTERRUPTED
from snnbench.models import loading
from snnbench.objective import Ended
from snnbench.overrides import CommandLine
from snnbench.runs.read import Ledger, Run, read_run
from snnbench.status import of_this_job

OURS = ("logger=none",)
"""Of every run, unless the user says otherwise: metrics.csv has it all."""
REFUSED = {
    **dict.fromkeys(("neuron", "T", "seed", "data"), "is chosen by NEURON, --against, --suite and the seeds in turn"),
    **dict.fromkeys(("resume", "paths.output_dir"), "is of one run, and a comparison has many"),
    "debug": "makes runs that never count",
    "lr_find": "trains nothing",
    "sweep": "is a sweep; all runs of a comparison have one value",
    "hydra": "is not for a comparison, which trains its runs itself, one after the other",
}
"""Keys and groups that are no override of a comparison's runs, and why."""


AGAIN = "What failed by itself is left as it is by the same command; with retry=failed it is begun anew."


class Failed(Exception):
    """A run failed; the message says which and why."""


def words_of(part: Part, contestant: Contestant, more: Sequence[str]) -> list[str]:
    """The overrides that all runs of a neuron on a data set have, whoever speaks last of a key being heard."""
    found: dict[str, str] = {}
    for word in (f"data={part.data}", *contestant.words, *OURS, *part.words, *more):
        found[word.partition("=")[0].lstrip("+~")] = word
    return list(found.values())


def check_words(words: Sequence[str]) -> None:
    """Refuse overrides that are none, or that are for the command itself to decide.

    Raises:
        UserError: names the word.
    """
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if not equals or not key:
            raise UserError(f"{word}: is no override such as epochs=10. Rivals stand behind --against.")
        why = REFUSED.get("hydra" if re.match(r"hydra\b", key) else key)
        if why is not None:
            raise UserError(f"{word}: {why}. Leave it out.")
        parsed: Override = OverridesParser.create().parse_override(word)
        if parsed.is_sweep_override():
            raise UserError(f"{word}: is a sweep; all runs of a comparison have one value. Give one.")


def composed(words: Sequence[str]) -> DictConfig:
    """The config of a run with these overrides, checked.

    Raises:
        UserError: names the key.
    """
    return loading.composed(CommandLine("train", config.folders(), tuple(words), tuple(words)), _checked)


def _checked(cfg: DictConfig) -> DictConfig:
    config.check(cfg)
    weights.identify(cfg)
    return cfg


@dataclass
class Jobs:
    """Runs by what they are asked for, those of before included.

    Attributes:
        outputs: the folder of all runs.
        log: what training says goes there.
    """

    outputs: Path
    log: TextIO
    _ledger: Ledger | None = None
    _configs: dict[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)

    def there(self, words: Sequence[str], T: int, seed: int) -> Run | None:
        """The finished run with these overrides, T and seed, if there is one."""
        if self._ledger is None:
            self._ledger = sweep.earlier_runs(self.outputs)
        key = (*words, f"T={T}")
        if key not in self._configs:
            self._configs[key] = sweep.resolved(composed(key))
        found = sweep.run_of(self._ledger.runs, _under(self._configs[key], seed))
        return found if found is not None and found.status == "finished" else None

    def runs(
        self, words: Sequence[str], steps: Sequence[int], seeds: Sequence[int], begins: Callable[[int, int], None]
    ) -> dict[tuple[int, int], Run]:
        """By (T, seed), each trained to its end; what is not there is trained, or gone on with.

        Args:
            words: overrides of all of them.
            steps: values of T.
            seeds: of each T.
            begins: is told T and seed of a run before it is trained.

        Raises:
            Failed: one of them came to no result.
            KeyboardInterrupt: by Ctrl-C or a signal; the same call goes on.
        """
        found = {(T, seed): run for seed in seeds for T in steps if (run := self.there(words, T, seed)) is not None}
        missing = [seed for seed in seeds if any((T, seed) not in found for T in steps)]
        if missing:
            found |= self._trained(words, steps, missing, begins)
        return found

    def _trained(
        self, words: Sequence[str], steps: Sequence[int], seeds: Sequence[int], begins: Callable[[int, int], None]
    ) -> dict[tuple[int, int], Run]:
        from snnbench.training.run import train

        found: dict[tuple[int, int], Run] = {}
        terminal = sys.stderr

        def task(cfg: DictConfig) -> Ended:
            with contextlib.redirect_stderr(terminal):
                begins(int(cfg.T), int(cfg.seed))
            ended = train(cfg)
            if ended.code == 0:
                found[int(cfg.T), int(cfg.seed)] = read_run(Path(of_this_job()["folder"]))
            return ended

        listed = [f"{key}={','.join(map(str, values))}" for key, values in (("seed", seeds), ("T", steps))]
        with _as_typed("-m", *words, *listed), self._quiet():
            code = cli.main(task, config.CONFIGS, "train")
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        missing = [f"T={T} seed={seed}" for seed in seeds for T in steps if (T, seed) not in found]
        unfinished = [run for run in found.values() if run.status != "finished"]
        if code or missing or unfinished:
            which = ", ".join([*missing, *(f"{run.folder} ({run.status})" for run in unfinished)])
            raise Failed(f"{' '.join(words)}: no result of {which}; {self.log.name} says why. {AGAIN}")
        assert self._ledger is not None
        self._ledger.runs += found.values()
        return found

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        with contextlib.redirect_stdout(self.log), contextlib.redirect_stderr(self.log):
            yield
        self.log.flush()


def _under(config: Mapping[str, Any], seed: int) -> Mapping[str, Any]:
    """The config with this seed, which the data's follows unless it was set apart."""
    data = config["data"]
    follows = data.get("seed") == config["seed"]
    return {**config, "seed": seed, "data": {**data, "seed": seed} if follows else data}


@contextlib.contextmanager
def _as_typed(*words: str) -> Iterator[None]:
    """Inside, the command of this process is train.py with these words: runs record it."""
    before = sys.argv
    sys.argv = [str(commands.ROOT / "train.py"), *words]
    try:
        yield
    finally:
        sys.argv = before
