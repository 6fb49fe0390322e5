"""An error as one or two lines for the person who typed the command."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterable

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException

from snnbench import commands
from snnbench.errors import UserError, did_you_mean
from snnbench.overrides import CommandLine, few

WRONG = (HydraException, OmegaConfBaseException, UserError)
"""Errors that mean: the input is wrong."""
NEAR = 0.7  # of difflib's ratio; with less, time means optimizer
ELSEWHERE = {
    **dict.fromkeys(("dataset", "task"), "data"),
    **dict.fromkeys(("model", "network", "net", "arch", "architecture"), "backbone"),
    **dict.fromkeys(("learning_rate", "learningrate"), "optimizer.lr"),
    **dict.fromkeys(("timesteps", "time_steps", "steps", "time", "time_step"), "T"),
    **dict.fromkeys(("gpu", "gpus", "device", "cuda"), "trainer.accelerator"),
    **dict.fromkeys(("workers", "num_worker", "j"), "data.num_workers"),
    **dict.fromkeys(("data_dir", "data_path", "datadir", "root_dir"), "paths.data"),
    **dict.fromkeys(("output", "out", "output_path", "save_dir", "log_dir", "logdir"), "paths.outputs"),
    **dict.fromkeys(("ckpt", "checkpoint", "restore"), "resume"),
    **dict.fromkeys(("amp", "fp16", "bf16"), "trainer.precision"),
    **dict.fromkeys(("criterion", "loss_fn"), "loss"),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), "schedule"),
    **dict.fromkeys(("augmentation", "augmentations", "aug", "transform"), "augment"),
    **dict.fromkeys(("bs", "batch", "b"), "batch_size"),
    **dict.fromkeys(("wd", "decay_rate"), "optimizer.weight_decay"),
    **dict.fromkeys(("threshold", "vth", "v_threshold", "thresh"), "neuron.v_th"),
    **dict.fromkeys(("random_seed", "manual_seed"), "seed"),
    **dict.fromkeys(("num_epochs", "n_epochs"), "epochs"),
}
"""What other programs call a key of ours."""
PLUGINS = {
    "hydra/launcher": {"submitit_local": "slurm", "submitit_slurm": "slurm", "ray": "ray"},
    "hydra/sweeper": {"optuna": "optuna"},
}
"""Configs that a package brings, and the extra of ours that installs it."""
_NOISE = ("full_key:", "object_type=", "reference_type=", "See https://hydra.cc")


def explain(error: BaseException, typed: CommandLine | None = None) -> str:
    """The error in one or two lines, with the nearest name where a name was misspelt.

    Args:
        error: what was raised.
        typed: the command, where its words are to be blamed.
    """
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        return _missing(str(error.missing_cfg_file), [str(option) for option in error.options or []], typed)
    if str(error).startswith("Error merging override") and error.__cause__:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, UserError) and len(lines) <= 2:
        return "\n".join(lines)
    text = " ".join(line for line in lines if not line.startswith(_NOISE))
    key = getattr(error, "full_key", None)
    if key and key not in text:
        text = f"{key}: {text}"
    if text.startswith("Missing mandatory value: "):
        return f"{text.split()[3]}=...: is missing. See --help."
    number = re.match(r"(.+?): Value '(.*)' of type '\w+' could not be converted to (Integer|Float)", text)
    if number:
        return f"{number[1]}={number[2]}: must be a {'whole ' if number[3] == 'Integer' else ''}number."
    if isinstance(error, OverrideParseException):
        return _unread(str(error.override))
    if text.startswith("Multiple values for "):
        group = text.split()[3].rstrip(".")
        return f"{group}: is chosen already, so a second one cannot be added. Leave out the +: {group}=..."
    if text.startswith("field ") and text.endswith("is not Optional"):
        return f"{key or text.split(chr(39))[1]}=null: needs a value."
    new = re.search(r"Key '(.+?)' is not in struct", text)
    if new and "Could not override" not in text:
        return f"{key}: is missing here."
    if "Could not override" in text:
        return _no_such_key(text.split("'")[1], typed)
    return text


def _unread(word: str) -> str:
    key, equals, value = word.partition("=")
    if not equals or not re.fullmatch(r"[+~]{,2}[\w.@/]+", key, re.ASCII):
        return f"{word}: cannot be read as key=value." + (f" Write {word}=..." if word.isidentifier() else "")
    quoted = shlex.quote(commands.override(key, value))
    return f"{word}: cannot be read by Hydra, which wants quotes around such a value. If it is a text: {quoted}"


def _missing(file: str, options: list[str], typed: CommandLine | None) -> str:
    """A config that is not there: blamed is the word that asked for it, itself or through what it brings."""
    group, _, name = file.rpartition("/")
    chosen = list(typed.choices()) if typed else []
    for word, typed_group, typed_name in chosen:
        if f"{typed_group}/{typed_name}" == file and typed:
            return f"{word}: {typed.wanted(typed_group, typed_name)}"
    near = did_you_mean(name, options)
    if extra := PLUGINS.get(group, {}).get(name):
        return f"{group}={name}: is not installed. pip install 'snnbench[{extra}]', or in a checkout '.[{extra}]'."
    if group in PLUGINS:
        known = sorted({*options, *PLUGINS[group]})
        return f"{group}={name}: is not known.{did_you_mean(name, known)} Known: {few(known)}."
    for word, _, typed_name in reversed(chosen):
        if typed_name == name:
            return f"{word}: takes {file}.yaml, which is not there. Write it, or choose another: {group}=...{near}"
    word = next((word for word, key, _ in chosen if key == "experiment"), chosen[0][0] if chosen else "")
    where = f"{word}: its defaults name" if word else "the configs name"
    return f"{where} {file}.yaml, which is not there.{near}"


def _no_such_key(name: str, typed: CommandLine | None) -> str:
    if typed and typed.is_group(name):
        word = next((one.input_line for one in typed.parsed if one.key_or_group == name), f"{name}=...")
        return f"{word}: {name} is no part of this config yet. To add it: +{word}"
    if typed and "/" in name:
        return f"{name}: there is no such group of configs.{did_you_mean(name, _groups(typed))}"
    keys = typed.keys() if typed else []
    if name in keys:
        return f"{name}: is there, but not all that it is given. To add a key to it: +{name}.<key>=..."
    near = nearest_key(name, keys)
    if typed and typed.is_group(near.replace(".", "/")):
        near = near.replace(".", "/")
    parent = name.rpartition(".")[0]
    beside = [key.rpartition(".")[2] for key in keys if parent and key.rpartition(".")[0] == parent]
    beside = [key for key in beside if key != "name" and not key.startswith("_")]
    said = f" Did you mean {near!r}?" if near else f" {parent} has {few(beside)}." if beside else ""
    return f"{name}: there is no such key.{said} To add one: +{name}=..."


def _groups(typed: CommandLine) -> list[str]:
    found = ((folder, path) for folder in typed.folders for path in folder.rglob("*") if path.is_dir())
    return sorted({str(path.relative_to(folder)) for folder, path in found})


def nearest_key(name: str, keys: Iterable[str]) -> str:
    """The key that is probably meant, or "".

    One with the same last part (`lr` means `optimizer.lr`); what other programs call so; else the nearest one beside
    it, or where there is nothing beside, of all.
    """
    keys = [key for key in keys if key != name]
    parent, _, last = name.rpartition(".")
    same = [key for key in keys if key.rpartition(".")[2] == last]
    if same:
        return max(same, key=lambda key: difflib.SequenceMatcher(None, name, key).ratio())
    if ELSEWHERE.get(last) in keys:
        return ELSEWHERE[last]
    beside = {key.rpartition(".")[2]: key for key in reversed(keys) if parent and key.rpartition(".")[0] == parent}
    longer = [key for key in beside if key.startswith(last)]
    near = longer[:1] or difflib.get_close_matches(last, list(beside), n=1, cutoff=NEAR)
    if near or beside:
        return beside[near[0]] if near else ""
    near = difflib.get_close_matches(name, keys, n=1, cutoff=NEAR)
    if not near and not parent:
        last_parts = {key.rpartition(".")[2]: key for key in reversed(keys)}
        near = [last_parts[part] for part in difflib.get_close_matches(last, last_parts, n=1, cutoff=NEAR)]
    return near[0] if near else ""


def unexpected(error: BaseException) -> str:
    """An error that nobody expected, and where its traceback is."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    where = getattr(error, "__notes__", None) or ["HYDRA_FULL_ERROR=1 shows the traceback"]
    return f"{text} ({where[-1]})"
