"""Restore a run's checkpoint, measure it again, and compare with what the run recorded."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table

from snnbench import kernels, log, terminal, threads
from snnbench.config import EvalConfig
from snnbench.energy.models import choose_model
from snnbench.energy.neuron_ops import neuron_work
from snnbench.errors import UserError, did_you_mean
from snnbench.files import WriteError, write_json
from snnbench.neurons.base import spiking_layers
from snnbench.runs.confusion import write_confusion
from snnbench.runs.deployed import deployed_file
from snnbench.runs.folder import open_folder
from snnbench.runs.quantities import FIRING_RATE
from snnbench.runs.recipe import REPEATS
from snnbench.runs.result import read_result, threads_of, write_result
from snnbench.runs.schema import CHECKPOINTS, CONFUSION, EPOCH, evaluation
from snnbench.training import build, deploy, devices, distributed
from snnbench.training.checkpoint import read_checkpoint
from snnbench.training.module import SpikingClassifier
from snnbench.training.record import check_data
from snnbench.training.report import energy_table

FLOAT32_NOISE = 1e-4  # percentage points; one answer of a million weighs as much
MISMATCH = 1


def evaluate(cfg: DictConfig) -> int:
    """Evaluate `cfg.run` at checkpoint `cfg.ckpt`; writes eval-<ckpt>.json beside it.

    With `cfg.energy`, operations are counted, too; a finished run's result that lacks them gets those of ckpt=last.
    With another neuron than the run's (`deploy`), what is measured goes into a file of its own, and nothing of the run
    is compared with it or completed by it.

    Returns:
        0, or 1 if the accuracy is not exactly the one that the run recorded for that epoch, or none was recorded.

    Raises:
        UserError: no such run or checkpoint, or a damaged one; no such energy model, or none for its neurons.
    """
    unknown = sorted(map(str, cfg.keys() - EvalConfig.__dataclass_fields__.keys()))
    if unknown:
        raise UserError(f"{unknown[0]}: is not for eval.py to say: all but its own keys is the run's. See --help.")
    model = choose_model(cfg.energy)
    log.quieten()
    folder, run = open_folder(cfg.run, data=cfg.paths.data)
    result = read_result(folder)
    swap = deploy.exchange(run, cfg, result.get("row"))
    ckpt = cfg.ckpt or (swap.row.checkpoint if swap and swap.row else "last")
    checkpoint = read_checkpoint(_checkpoint_path(folder, ckpt))
    _adapt(run, cfg)
    devices.check_device(run, key="accelerator")
    build.set_threads(threads.for_run(run.threads, threads_of(result)))
    data = build.build_data(run)
    check_data(f"run={cfg.run}", run, result, data)
    module = build.build_module(run, build.build_network(run), data)
    deployed = deploy.load(module, checkpoint["state_dict"], run, swap, list(cfg.drop))
    if model == "lemaire":
        for layer in spiking_layers(module.network).values():
            neuron_work(layer)  # a neuron that cannot be priced should not be found out after the evaluation
    module.count_operations = model is not None
    distributed.check(run)
    trainer = build.build_trainer(run, plugins=distributed.plugins(), root=folder)
    trainer.validate(module, datamodule=data, verbose=False)
    values = _values(ckpt, checkpoint, module, model)
    if deployed:
        values |= {"same": False, "deployed": deployed}
    code = 0 if values["same"] or deployed else MISMATCH
    if trainer.is_global_zero:
        _print(result["name"], values)
        _store(folder, module, values, energy=model is not None)
    return code


def _values(ckpt: str, checkpoint: dict[str, Any], module: SpikingClassifier, model: str | None) -> dict[str, Any]:
    """What was measured, beside what the run recorded."""
    measured, recorded = dict(module.epoch_values), _recorded(checkpoint)
    same = bool(recorded) and all(_equal(measured.get(key), value) for key, value in recorded.items())
    values = {"checkpoint": ckpt, "epoch": checkpoint["epoch"], "measured": measured, "recorded": recorded}
    values |= {"same": same, "firing_rate": module.firing.mean(), "layers": module.firing.rates()}
    return values if model is None else {**values, "energy": module.synops.energy(model)}


def _store(folder: Path, module: SpikingClassifier, values: dict[str, Any], energy: bool) -> None:
    """Beside the run; what was measured with another neuron is not the run's, and completes nothing of it."""
    ckpt, deployed = values["checkpoint"], values.get("deployed")
    try:
        write_json(folder / (deployed_file(ckpt, deployed["neuron"]) if deployed else evaluation(ckpt)), values)
        if values["same"] and ckpt == "last":
            _complete(folder, module, energy)
    except WriteError as error:
        logging.getLogger("snnbench").warning("this is not stored: %s", error)


def _complete(folder: Path, module: SpikingClassifier, energy: bool) -> None:
    """Give a run what it lacks, as of a version that did not count it: confusion.csv, and if finished, the energy."""
    if module.confusion.counts is not None and not (folder / CONFUSION).exists():
        write_confusion(folder, module.confusion.counts.tolist())
    result = read_result(folder)
    if energy and result["status"] == "finished" and not result.get("energy"):
        write_result(folder, {**result, "energy": module.synops.energy()})


def _adapt(run: DictConfig, cfg: DictConfig) -> None:
    """Make the run's config one for measuring: on the wanted device and engine, without logger and callbacks."""
    run.logger, run.callbacks = None, {}
    if cfg.accelerator is not None:
        run.trainer.accelerator = cfg.accelerator
    if cfg.engine is None:
        return
    run.engine = kernels.check_engine(cfg.engine)
    for key in (key for key, source in REPEATS.items() if source == "engine"):
        group, _, own = key.partition(".")
        if OmegaConf.select(run[group], own) is not None:
            OmegaConf.update(run[group], own, cfg.engine)  # convolutions, pools and norms follow the run's


def _checkpoint_path(folder: Path, name: str) -> Path:
    path = folder / CHECKPOINTS / f"{name}.ckpt"
    known = sorted(p.stem for p in path.parent.glob("*.ckpt"))
    if name not in known:
        raise UserError(f"ckpt={name}: there is none.{did_you_mean(name, known)} Known: {', '.join(known) or 'none'}.")
    return path


def _recorded(checkpoint: dict[str, Any]) -> dict[str, float]:
    """The evaluation metrics of the checkpoint's epoch, from the history that it carries."""
    histories = [state for key, state in checkpoint["callbacks"].items() if key.startswith("History")]
    rows = [row for state in histories for row in state["metrics"] if row[EPOCH] == checkpoint["epoch"]]
    return {key: value for row in rows for key, value in row.items() if key.endswith("/acc") and key != "train/acc"}


def _equal(measured: float | None, recorded: float) -> bool:
    """Whether two accuracies in percent are of as many right answers; older runs recorded them with float32's noise."""
    return measured is not None and abs(measured - recorded) < FLOAT32_NOISE


def _print(name: str, values: dict[str, Any]) -> None:
    title, deployed = f"{name}, checkpoint {values['checkpoint']} (epoch {values['epoch'] + 1})", values.get("deployed")
    theirs = f"with its own {deployed['trained'].get('name')}" if deployed else "recorded"
    table = Table("metric", "measured", theirs, title=title, title_justify="left")
    for key, value in values["measured"].items():
        recorded = values["recorded"].get(key)
        table.add_row(key, f"{value:.4f}", "" if recorded is None else f"{recorded:.4f}")
    if values["firing_rate"] is not None:
        table.add_row(FIRING_RATE.label, f"{values['firing_rate']:.4f}", "")
    console = terminal.console()
    console.print(table)
    if values.get("energy"):
        console.print(energy_table(values["energy"]))
    for line in deploy.words(deployed) if deployed else [_verdict(values)]:
        console.print(line, markup=False)


def _verdict(values: dict[str, Any]) -> str:
    if not values["recorded"]:
        return "nothing was recorded for this epoch"
    return f"the accuracy {'is exactly' if values['same'] else 'DIFFERS from'} the recorded one"
