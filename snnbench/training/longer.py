"""More epochs for a run that is there: `resume=<run> epochs=<more>`, and what that means for its learning rates."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from snnbench import commands
from snnbench.errors import UserError
from snnbench.runs.folder import amended
from snnbench.training import build

KEYS = ("epochs", "schedule.epochs")
MOST = 100_000  # epochs of which the learning rates are worked out beforehand


def extend(run: DictConfig, given: dict[str, str], trained: int, path: str, *, ended: bool = False) -> bool:
    """Give the config of an earlier run the epochs that are asked for; whether these are more than it had.

    Its learning rates stay those of its own schedule, which goes on at what it ends with, unless `schedule.epochs` is
    given, too: then they are those of the new schedule from the next epoch on. What was done stands in `extended`,
    which is part of the recipe: such a run is not the one that had so many epochs from the start.

    Args:
        run: its config, which is changed.
        given: the values of KEYS that were typed.
        trained: epochs that it has.
        path: how the user named it.
        ended: whether it is finished with the epochs of its config, of which a callback may have left some out.

    Raises:
        UserError: these are not more epochs, or the learning rate would be 0 in them.
    """
    epochs, stretched = (_count(key, given.get(key)) for key in KEYS)
    if epochs is None:
        raise UserError(f"schedule.epochs={stretched}: goes with epochs=..., for more of them.")
    if epochs < run.epochs or epochs <= trained:
        raise UserError(f"epochs={epochs}: resume={path} has {trained} of {run.epochs} epochs. Give a larger number.")
    if stretched is not None and "epochs" not in run.schedule:
        raise UserError(f"schedule.epochs={stretched}: the schedule of this run, {run.schedule.name}, has none.")
    if epochs == run.epochs and stretched in (None, run.schedule.get("epochs")):
        if ended:
            raise UserError(
                f"epochs={epochs}: resume={path} is finished; a callback ended it after {trained} of {epochs} epochs. "
                "Give a larger number."
            )
        return False
    before = _rates(run, epochs)
    step = {"at": trained, "epochs": run.epochs, "schedule": run.schedule.get("epochs")}
    run.extended = [*(run.get("extended") or []), step]
    run.epochs = run.trainer.max_epochs = epochs
    if stretched is not None:
        run.schedule.epochs = stretched
    after = _rates(run, epochs)
    _check(run, before, after, trained, path, said=stretched is not None)
    return True


def words(run: DictConfig, epochs: int) -> list[str]:
    """What to type for so many epochs of a run, so that its learning rate is not 0 in the further ones."""
    try:
        learns = any(_rates(run, epochs)[run.epochs :])
    except UserError:
        learns = False
    return [f"epochs={epochs}"] if learns or "epochs" not in run.schedule else _stretching(run, epochs)


def _stretching(run: DictConfig, epochs: int) -> list[str]:
    return [f"epochs={epochs}", f"schedule.epochs={_whole(run, epochs)}"]


def _count(key: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 10**7:
        raise UserError(f"{key}={text}: must be a whole number above 0.")
    return int(text)


def _rates(run: DictConfig, epochs: int) -> list[float]:
    """The learning rate of each epoch, as a training from the start would have it."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=float(run.optimizer.lr))
    scheduler = build.make_schedule(run)(optimizer)
    rates = []
    try:
        for _ in range(min(epochs, MOST)):
            rates.append(float(optimizer.param_groups[0]["lr"]))
            optimizer.step()
            scheduler.step()
    except (ValueError, ArithmeticError) as error:
        raise UserError(f"epochs={epochs}: the schedule of this run ends before: {error}") from error
    return rates


def _check(run: DictConfig, before: list[float], after: list[float], trained: int, path: str, *, said: bool) -> None:
    log = logging.getLogger("snnbench")
    last, next_ = (before[trained - 1] if trained else after[0]), after[trained]
    if not said and not any(after[max(trained, run.extended[-1]["epochs"]) :]):
        again = commands.train(*_stretching(run, run.epochs), resume=path)
        raise UserError(
            f"epochs={run.epochs}: by its schedule, this run ends at a learning rate of 0, and further epochs would "
            f"change nothing.\nStretched over them, the schedule goes on at {_stretched(run)[trained]:.3g}: {again}"
        )
    if not math.isclose(last, next_, rel_tol=0.5) and said:
        log.info("the learning rate goes from %.3g in epoch %d to %.3g in the next one", last, trained, next_)
    elif not said:
        log.info("the schedule goes on: learning rate %.3g in the next epoch, %.3g in the last one", next_, after[-1])


def _stretched(run: DictConfig) -> list[float]:
    longer = run.copy()
    if "epochs" in longer.schedule:
        longer.schedule.epochs = _whole(run, run.epochs)
    return _rates(longer, run.epochs)


def _whole(run: DictConfig, epochs: int) -> int:
    """Epochs of a schedule that ends with so many of the run, which may begin in its midst."""
    return epochs + int(run.schedule.get("start") or 0)


def write(run: DictConfig, folder: Path) -> None:
    """Put what `extend` changed into the config of the run; all else stays as it stands there."""
    with amended(folder) as found:
        found["epochs"] = found["trainer"]["max_epochs"] = run.epochs
        found["extended"] = OmegaConf.to_container(run.extended)
        if "epochs" in run.schedule:
            found["schedule"]["epochs"] = run.schedule.epochs
