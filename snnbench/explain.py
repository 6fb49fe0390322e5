"""An error as one or two lines for the person who typed the command."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from snnbench.errors import UserError, did_you_mean

WRONG = (HydraException, OmegaConfBaseException, UserError)
"""Errors that mean: the input is wrong."""


def explain(error: Exception, known_keys: Iterable[str] = ()) -> str:
    """The error in one or two lines, with the nearest name where a name was misspelt."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = [str(option) for option in error.options or []]
        known = f" Known: {', '.join(options)}." if options else ""
        return f"{group or 'config'}={choice}: there is no such config.{did_you_mean(choice, options)}{known}"
    if str(error).startswith("Error merging override") and error.__cause__:
        error = error.__cause__  # type: ignore[assignment]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=", "reference_type=")))
    key = getattr(error, "full_key", None)
    if key and key not in text:
        text = f"{key}: {text}"
    if "Could not override" in text:
        name = text.split("'")[1]
        text = f"{name}: there is no such key.{_nearest_key(name, list(known_keys))} To add a new one: +{name}=..."
    return text


def _nearest_key(name: str, keys: list[str]) -> str:
    """A full match of the last part wins (`lr` means `optimizer.lr`), then the nearest spelling of the whole."""
    same = [key for key in keys if key.rpartition(".")[2] == name]
    return f" Did you mean {same[0]!r}?" if same else did_you_mean(name, keys)


def unexpected(error: Exception) -> str:
    """An error that nobody expected, and where its traceback is."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    where = getattr(error, "__notes__", None) or ["HYDRA_FULL_ERROR=1 shows the traceback"]
    return f"{text} ({where[-1]})"


def no_name(words: Iterable[str], error: Exception) -> str:
    """What is wrong where a config group got a number or null, of which Hydra does not name the group."""
    pairs = [word.lstrip("+").partition("=") for word in words if "=" in word and "." not in word.partition("=")[0]]
    wrong = next((f"{key}={value}" for key, _, value in pairs if re.fullmatch(r"null|true|false|[-\d.e]+", value)), "")
    if "Config group override" not in str(error) or not wrong:
        return unexpected(error)
    return f"{wrong}: a group takes the name of one of its configs; see --help."
