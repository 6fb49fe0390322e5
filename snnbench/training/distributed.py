"""The processes of a run on several devices: who starts them, and what they know of each other before they train."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

import lightning
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from snnbench import config, log, processes, status
from snnbench.errors import UserError
from snnbench.interrupt import FAILED, INTERRUPTED, Interrupted
from snnbench.training import build
from snnbench.training.launched import main_address_of, main_port_of, plugins

Value = TypeVar("Value")
_WAIT = datetime.timedelta(minutes=30)
_LIGHTNING = ("LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_made_here: set[str] = set()
_nodes, _here = [1], [1]  # machines of the run that was checked last, and its processes on each
_built: list[tuple[Any, lightning.Trainer]] = []
_stores: list[Any] = []  # kept, for the first process may serve the others


def check(cfg: DictConfig) -> None:
    """Refuse what Lightning's trainer does not take, and a config for another number of processes than there are.

    SLURM tells a batch script of tasks that nobody has started; its one process may train alone.

    Raises:
        UserError: says what to set.
    """
    launch, trainer = processes.launch(), _trainer(cfg)
    devices = trainer.num_devices * trainer.num_nodes
    _nodes[:], _here[:] = [trainer.num_nodes], [trainer.num_devices]
    if devices > 1 and cfg.get("cuda_graph"):
        raise UserError(f"cuda_graph=true: is for one device, and this run is for {devices}. Take trainer.devices=1.")
    if launch is None or launch.size == devices:
        return
    if devices == 1 and launch.perhaps_alone:
        _forget_tasks(os.environ)
        return
    raise UserError(
        f"trainer.devices={cfg.trainer.devices}, trainer.num_nodes={cfg.trainer.num_nodes}: {devices} in all, but "
        f"{launch.by} started {launch.size} processes. Make them equal, with trainer.strategy=ddp; for runs of their "
        "own, start one process each."
    )


def processes_here() -> int:
    """Processes on each machine, of the run that was checked last."""
    return _here[0]


def _forget_tasks(environ: MutableMapping[str, str]) -> None:
    """Those of a SLURM job that nobody started; it is no longer `processes.launch`ed with others."""
    for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"):
        environ.pop(name, None)


def check_job(cfg: DictConfig) -> None:
    """Refuse a job of a sweep on several machines: nobody would start its processes there."""
    _trainer(cfg)
    if cfg.trainer.num_nodes > 1:
        raise UserError(
            f"trainer.num_nodes={cfg.trainer.num_nodes}: a job of a sweep runs on one machine. Start such runs one by "
            "one, with torchrun or srun and without -m; or leave it out, and give trainer.devices of one machine."
        )


def _trainer(cfg: DictConfig) -> lightning.Trainer:
    """One by these options, to be looked at: the last one that was built, if it was by the same ones."""
    log.quieten()
    by = OmegaConf.to_container(cfg.trainer, resolve=True), processes.launch()
    if not (_built and _built[0][0] == by):
        _built[:] = [(by, build.bare_trainer(cfg, plugins()))]
    return _built[0][1]


def apart(cfg: DictConfig) -> bool:
    """Whether this job of a sweep needs processes of its own, and is not in the first of them yet."""
    launch = processes.launch()
    if not status.is_sweep() or status.JOB in os.environ or (launch and not launch.perhaps_alone):
        return False
    return _trainer(cfg).strategy.launcher is not None


def run_apart() -> int:
    """Train this job of a sweep by a command of its own, whose process starts the further ones; its exit code.

    Raises:
        Interrupted: this process was, or that one.
    """
    hydra = HydraConfig.get()
    flags = {"command-line": "--config-dir", "main": "--config-path"}
    places = [f"{flags[one.provider]}={one.path}" for one in hydra.runtime.config_sources if one.provider in flags]
    search = [word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath")]
    script = config.CONFIGS.parent / f"{hydra.job.config_name}.py"
    words = [sys.executable, str(script), *places, *search]
    gone = {*_LIGHTNING, processes.SHARED}
    environ = {key: value for key, value in os.environ.items() if key not in gone}
    environ[status.JOB] = str(status.number())
    _forget_tasks(environ)
    with _ended_with_us(subprocess.Popen([*words, *hydra.overrides.task], env=environ)) as process:
        code = process.wait()
    if code == INTERRUPTED:
        raise Interrupted
    if code < 0:
        status.tell(error=f"killed by {signal.Signals(-code).name}")
        print(f"error: job {status.number() + 1} was killed by {signal.Signals(-code).name}.", file=sys.stderr)
        return FAILED
    return code


@contextlib.contextmanager
def _ended_with_us(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Interrupted, let it record what it had reached: a terminal tells both processes, a scheduler perhaps only us."""
    try:
        yield process
    except KeyboardInterrupt as error:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise Interrupted from error


def from_first(key: str, make: Callable[[], Value]) -> Value:
    """What `make` gives in the first process of the run, in all of them; what JSON can hold.

    Those that the first one starts find it in their environment; others, started beside it, ask for it.

    Raises:
        UserError: `make` failed in the first process; there, what it raised itself.
    """
    if processes.is_first():
        return _made(key, make)
    known = json.loads(os.environ.get(processes.SHARED, "{}"))
    found = known[key] if key in known else json.loads(_store().get(key))
    if "error" in found:
        raise UserError(found["error"])
    value: Value = found["value"]
    return value


def _made(key: str, make: Callable[[], Value]) -> Value:
    store = _store() if processes.launch() or _by_hand() else None
    value = make()
    _made_here.add(key)
    known = json.loads(os.environ.get(processes.SHARED, "{}"))
    os.environ[processes.SHARED] = json.dumps({**known, key: {"value": value}})
    if store is not None:
        store.set(key, json.dumps({"value": value}))
    return value


def stay() -> None:
    """Keep Lightning's watcher from killing this first process, which has an end to record, because others are gone."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._child_processes = []  # type: ignore[attr-defined]


@contextlib.contextmanager
def others_told() -> Iterator[None]:
    """Inside, an error that ends the first process ends the wait of those that still ask for what it makes."""
    _made_here.clear()
    try:
        yield
    except BaseException as error:
        if _stores and processes.is_first():
            for key in {"claim", "threads", "folder", "checkpoint"} - _made_here:
                with contextlib.suppress(Exception):
                    _stores[0].set(key, json.dumps({"error": f"the first process failed: {error}"}))
        raise


def _by_hand() -> bool:
    """Whether one process on each machine was started by its user, as Lightning has it; each starts further ones."""
    return _nodes[0] > 1 and "NODE_RANK" in os.environ and "LOCAL_RANK" not in os.environ


def _store() -> Any:
    """Where the processes meet: the one that they will train through."""
    if not _stores:
        launch = processes.launch()
        if launch is not None and launch.by != "torchrun":
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = main_address_of(launch), str(main_port_of())
        rank, size = (launch.rank, launch.size) if launch else (int(os.environ["NODE_RANK"]), _nodes[0])
        found, *_ = next(iter(torch.distributed.rendezvous("env://", rank, size, timeout=_WAIT)))
        _stores.append(torch.distributed.PrefixStore("snnbench", found))
    return _stores[0]
