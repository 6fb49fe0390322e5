"""A run's weights under another neuron than the one they were trained with: `eval.py run=RUN neuron=lif`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from snnbench.errors import UserError, did_you_mean
from snnbench.neurons.base import of_neurons
from snnbench.runs.deployed import Deployed, choose_deployed, essence
from snnbench.seeding import aside
from snnbench.training import build


@dataclass(frozen=True)
class Exchange:
    """The neuron that a run was trained with, the other one, and the published row that this is, if it is one."""

    trained: dict[str, Any]
    neuron: dict[str, Any]
    row: Deployed | None = None

    @property
    def other_class(self) -> bool:
        return bool(self.trained.get("_target_") != self.neuron.get("_target_"))


def exchange(run: DictConfig, cfg: DictConfig, block: Any) -> Exchange | None:
    """Put the neuron that `cfg` asks for into the config of a run; None where that is the run's own.

    Args:
        run: its config, which is changed.
        cfg: of eval.py: `row`, or `neuron` with a whole config or with some keys of the run's.
        block: the `row` block of the run's result, or None.

    Raises:
        UserError: there is no such row, or the run is of another one; a key that the run's neuron has not.
    """
    given: Any = OmegaConf.to_container(cfg.neuron, resolve=False)
    if cfg.row is None and not given:
        return None
    row = None if cfg.row is None else choose_deployed(cfg.row)
    trained_row = block.get("id") if isinstance(block, Mapping) else None
    if row is not None and given:
        raise UserError(f"row={cfg.row}: says which neuron; leave out neuron, or row.")
    if row is not None and row.trained != trained_row:
        raise UserError(
            f"row={cfg.row}: is measured on runs of {row.trained}; this one is of {trained_row or 'no row'}.\n"
            "Its neuron alone can be given to any run: neuron=lif neuron.v_th=..."
        )
    trained: Any = OmegaConf.to_container(run.neuron, resolve=True)
    wanted = dict(row.neuron) if row is not None else given
    if "_target_" not in wanted:
        _known(wanted, trained, run.T)
        wanted = OmegaConf.to_container(OmegaConf.merge(trained, wanted))
    run.neuron = OmegaConf.create(wanted)
    found: Any = OmegaConf.to_container(run.neuron, resolve=True)
    if essence(found) == essence(trained) and row is None:
        run.neuron = OmegaConf.create(trained)
        return None
    return Exchange(trained, found, row)


def _known(given: Mapping[str, Any], trained: Mapping[str, Any], T: int) -> None:
    for key in given:
        if key == "T":
            raise UserError(f"neuron.T={given[key]}: is not for eval.py to say: the run has T={T}.")
        if key not in trained:
            near = did_you_mean(key, trained)
            raise UserError(
                f"neuron.{key}: the run's neuron, {trained.get('name')}, has none.{near} For another one: neuron=lif"
            )


def load(
    module: nn.Module, state: Mapping[str, Tensor], run: DictConfig, swap: Exchange | None, drop: list[str]
) -> dict[str, Any] | None:
    """Give `module` the weights of a run, but for what its neurons had learned and the other ones have not.

    A parameter of one class of neurons means nothing to another: it is dropped, if `drop` names it. What the other
    class learns starts as its config says.

    Args:
        module: with the other neurons.
        state: the `state_dict` of the checkpoint.
        run: the config with the other neuron.
        swap: which one for which; None where the neuron is the run's own.
        drop: names of the neurons' parameters that are to be left out.

    Returns:
        What is recorded of the exchange: `neuron` and `trained`, the two configs, `row`, the published one or None,
        `dropped`, names of parameters, and `initial`, the mean of each parameter that starts as its config says. None
        without an exchange.

    Raises:
        UserError: a parameter would be lost without a word, or would start at random; the weights do not fit.
    """
    if swap is None:
        if drop:
            raise UserError(f"drop={drop}: goes with another neuron than the run's.")
        module.load_state_dict(state)
        return None
    name, ours = swap.neuron.get("name"), module.state_dict()
    theirs_own, ours_own = of_neurons(module, state), of_neurons(module, ours)
    kept = {} if swap.other_class else {key: state[key] for key in theirs_own if key in ours}
    lost = _short(key for key in theirs_own if key not in kept)
    _said(swap, lost, drop)
    new = [key for key in ours_own if key not in kept]
    _fixed(run, name, _short(new))
    weights = {key: value for key, value in state.items() if key not in theirs_own}
    try:
        module.load_state_dict({**weights, **kept, **{key: ours[key] for key in new}})
    except RuntimeError as error:
        raise UserError(f"neuron={name}: the run's weights do not fit: {' '.join(str(error).split())[:300]}") from error
    initial = {short: _mean([ours[key] for key in new if key.endswith(f".{short}")]) for short in _short(new)}
    row = swap.row.id if swap.row else None
    return {"neuron": swap.neuron, "trained": swap.trained, "row": row, "dropped": lost, "initial": initial}


def words(deployed: Mapping[str, Any]) -> list[str]:
    """What is said of such an evaluation: lines of text."""
    neuron, trained = deployed["neuron"], deployed["trained"]
    own = {key: value for key, value in neuron.items() if not key.startswith("_") and key not in ("name", "engine")}
    changed = own if neuron["_target_"] != trained["_target_"] else _changed(own, trained)
    values = ", ".join(f"{key} {'null' if value is None else value}" for key, value in changed.items() if _plain(value))
    lines = [f"evaluated with another neuron than trained: {neuron.get('name')} ({values}) for {trained.get('name')}"]
    if deployed["dropped"]:
        lines.append(f"left out, as the run's neurons had learned them: {', '.join(deployed['dropped'])}")
    if deployed["initial"]:
        starts = ", ".join(f"{name} {value:g}" for name, value in deployed["initial"].items())
        lines.append(f"not learned, but as the neuron's config starts them: {starts}")
    if deployed["row"]:
        lines.append(
            f"measured as the row {deployed['row']} says; tables.py shows it if the run counts for its own row"
        )
    return lines


def _changed(own: Mapping[str, Any], trained: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in own.items() if value != trained.get(key)}


def _plain(value: Any) -> bool:
    return not isinstance(value, Mapping)


def _said(swap: Exchange, lost: list[str], drop: list[str]) -> None:
    """Refuse to lose what the run has learned unless all of it was named, and nothing else."""
    if set(drop) - set(lost):
        known = f"What is left out here: {', '.join(lost) or 'nothing'}."
        raise UserError(f"drop={drop}: {', '.join(sorted(set(drop) - set(lost)))} is not left out. {known}")
    if set(lost) - set(drop):
        raise UserError(
            f"neuron={swap.neuron.get('name')}: the run's neurons, {swap.trained.get('name')}, have {', '.join(lost)}, "
            f"which it has not and the network would lose. Say so: drop=[{','.join(lost)}]"
        )


def _short(names: Any) -> list[str]:
    return list(dict.fromkeys(key.rpartition(".")[2] for key in names))


def _fixed(run: DictConfig, name: Any, wanted: list[str]) -> None:
    """Refuse parameters that a config does not decide: those that differ from one seed to another."""
    if not wanted:
        return
    made = []
    for seed in (0, 1):
        with aside(seed):
            made.append(build.make(run, "neuron")(channels=4).state_dict())
    random = [key for key in made[0] if not torch.equal(made[0][key], made[1][key])]
    if random:
        raise UserError(
            f"neuron={name}: its {', '.join(_short(random))} would start at random, and the run has not learned it: "
            "what came out would be of no network. Choose a neuron whose config says how it starts."
        )


def _mean(tensors: list[Tensor]) -> float:
    return float(torch.cat([tensor.detach().double().flatten() for tensor in tensors]).mean())
