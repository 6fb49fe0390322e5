"""Who trains what: a job is claimed before it starts, so that sweeps that run at once share their jobs.

A claim is a lock (`snnbench.holds`) in `.sweeps/jobs` among the runs, named by what decides the job's numbers; the
folder of the run that answers it stands in it, and stays there. A SLURM job that comes back finds its own run so, too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from snnbench import slurm, status
from snnbench.errors import UserError
from snnbench.holds import Held, Hold, hold
from snnbench.runs.read import Run, read_run
from snnbench.runs.result import Unreadable
from snnbench.runs.schema import CONFIG, ENVIRONMENTS, LOG, SWEEPS
from snnbench.sweep import Job, earlier_runs, key_of, resolved, run_of


@dataclass(frozen=True)
class Claim:
    """What is to be done of a run that was asked for.

    Attributes:
        action: as of `sweep.Job`.
        folder: of the run that is there; None where there is none.
        by: who trains it now, where that is another process.
    """

    action: str
    folder: Path | None = None
    by: str = ""
    _hold: Hold | None = None

    def tell(self, folder: Path) -> None:
        """Say in which folder the run lies, for whoever comes after."""
        if self._hold is not None:
            with contextlib.suppress(OSError):
                self._hold.tell(folder=str(folder))


@contextlib.contextmanager
def claimed(cfg: DictConfig) -> Iterator[Claim]:
    """What is to be done of the run that `cfg` asks for; while the block lasts, no other sweep begins it.

    Outside a sweep and SLURM it is begun, whatever is there.

    Raises:
        UserError: the folder of runs cannot be written to.
    """
    if status.is_sweep():
        with _of_job(resolved(cfg)) as claim:
            yield claim
    elif slurm.job():
        with _of_slurm(resolved(cfg)) as claim:
            yield claim
    else:
        yield Claim("start")


@contextlib.contextmanager
def _of_job(config: Mapping[str, Any]) -> Iterator[Claim]:
    """As planned, unless something came of the job since then."""
    facts = status.of_this_job()
    planned = Path(facts["run"]) if facts.get("run") else None
    if "action" not in facts:
        planned, facts = _unplanned(config)
    if facts["action"] in ("done", "failed"):
        yield Claim(facts["action"], planned)
        return
    place = _place(config, f"{key_of(config)}-{facts['slot']}")
    try:
        with _held(place) as held:
            recorded = held.facts.get("folder")
            folders = {planned, Path(recorded) if recorded and recorded not in facts["others"] else None}
            yield _decided(config, [folder for folder in folders if folder], held)
    except Held as error:
        found = error.holder.facts.get("folder")
        yield Claim("running", Path(found) if found else planned, str(error.holder))


def _unplanned(config: Mapping[str, Any]) -> tuple[Path | None, dict[str, Any]]:
    """Where another sweeper makes up its jobs as it goes, they are held against the runs that were there before."""
    key, began = key_of(config), status.began()
    slot = sum(job.get("key") == key for job in status.collect())
    status.tell(key=key, words=status.words())
    before = [run for run in earlier_runs(Path(config["paths"]["outputs"])).runs if run.started < began]
    job = Job((), config, run_of(before, config))
    others = [str(run.folder.absolute()) for run in before if run is not job.run]
    return job.run.folder.absolute() if job.run else None, {"action": job.action, "slot": slot, "others": others}


def _decided(config: Mapping[str, Any], folders: list[Path], held: Hold) -> Claim:
    """From the runs in `folders` as they are now."""
    job = Job((), config, run_of(_runs(folders), config))
    if job.run is None:
        bare = next((folder for folder in folders if _not_begun(folder, Path(config["paths"]["outputs"]))), None)
        return Claim("resume" if bare else "start", bare, _hold=held)
    held.facts["folder"] = str(job.run.folder)
    return Claim(job.action, None if job.action == "start" else job.run.folder, _hold=held)


def _runs(folders: list[Path]) -> list[Run]:
    found = []
    for folder in folders:
        with contextlib.suppress(Unreadable):
            found.append(read_run(folder))
    return found


def _not_begun(folder: Path, outputs: Path) -> bool:
    """Whether it is a folder of ours whose run was killed between its making and its beginning."""
    if folder.resolve().parent.parent != outputs.resolve() or not folder.is_dir():
        return False
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    return names <= {CONFIG, ENVIRONMENTS, LOG}


@contextlib.contextmanager
def _of_slurm(config: Mapping[str, Any]) -> Iterator[Claim]:
    """In a job that SLURM put back into the queue, the same command goes on with the same run.

    So it does without a word of SLURM's where a signal ended the run; a user who interrupts one and gives the command
    again, in a shell within the job, begins a new one.
    """
    place = _place(config, f"slurm-{slurm.job()}-{key_of(config)}")
    try:
        with _held(place) as held:
            recorded = held.facts.get("folder")
            claim = _decided(config, [Path(recorded)] if recorded else [], held)
            stopped = claim.action == "resume" and _by_machine(claim.folder)
            again = claim.action in ("done", "resume", "running") and (slurm.restarted() or stopped)
            yield claim if again else Claim("start", _hold=held)
    except Held:  # the same command twice in one job
        yield Claim("start")


def _by_machine(folder: Path | None) -> bool:
    return folder is not None and any(run.result.get("cause") == "machine" for run in _runs([folder]))


@contextlib.contextmanager
def _held(place: Path) -> Iterator[Hold]:
    with contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(hold(place))
        except OSError as error:
            raise UserError(f"{place.parent}: cannot be written to, so this job cannot be claimed: {error}") from error
        yield held


def _place(config: Mapping[str, Any], name: str) -> Path:
    folder = Path(config["paths"]["outputs"]).absolute() / SWEEPS / "jobs" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"paths.outputs={config['paths']['outputs']}: cannot be written to: {error}") from error
    return folder / "claim"
