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
from snnbench.overrides import CommandLine

WRONG = (HydraException, OmegaConfBaseException, UserError)
"""Errors that mean: the input is wrong."""
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
        return f"{word}: cannot be read as key=value."
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
    return f"{name}: there is no such key.{_nearest_key(name, keys)} To add one: +{name}=..."


def _groups(typed: CommandLine) -> list[str]:
    found = ((folder, path) for folder in typed.folders for path in folder.rglob("*") if path.is_dir())
    return sorted({str(path.relative_to(folder)) for folder, path in found})


def _nearest_key(name: str, keys: Iterable[str]) -> str:
    """A key with the same last part (`lr` means `optimizer.lr`); else the nearest one beside it, or of all."""
    keys = [key for key in keys if key != name]
    parent, _, last = name.rpartition(".")
    same = [key for key in keys if key.rpartition(".")[2] == last]
    if same:
        nearest = max(same, key=lambda key: difflib.SequenceMatcher(None, name, key).ratio())
        return f" Did you mean {nearest!r}?"
    beside = {key.rpartition(".")[2]: key for key in keys if parent and key.startswith(f"{parent}.")}
    near = difflib.get_close_matches(last, list(beside), n=1)
    if near:
        return f" Did you mean {beside[near[0]]!r}?"
    return "" if beside else did_you_mean(name, keys)


def unexpected(error: BaseException) -> str:
    """An error that nobody expected, and where its traceback is."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    where = getattr(error, "__notes__", None) or ["HYDRA_FULL_ERROR=1 shows the traceback"]
    return f"{text} ({where[-1]})"
