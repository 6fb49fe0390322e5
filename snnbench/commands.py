"""Commands that are printed to be pasted: their words quoted for Hydra, and then for the shell. And paths as typed."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parent
ROOT = _PACKAGE / "home" if (_PACKAGE / "home").is_dir() else _PACKAGE.parent
"""Where train.py, eval.py, configs/ and scripts/ lie: a checkout, or the copy of it in an installed package."""
CONFIGS = ROOT / "configs"
AS_TYPED = "SNNBENCH_COMMAND"
"""Environment variable that is set where the `snnbench` command is at work, so that what it prints names it."""
_PLAIN = re.compile(r"[\w.][\w.-]*/[\w./-]*|/[\w./-]*|[A-Za-z]\w*", re.ASCII)
"""What neither Hydra nor a shell reads as anything but text: with a slash, or a name."""
_SCRIPT = re.compile(r"python (?:(?:scripts/)?(\w+)\.py|-m snnbench\.kernels\.(show))\b")
_NO_TEXT = {"null", "true", "false", "nan", "inf"}
_INTERPOLATION = re.compile(r"(\\*)\$\{")


def train(*flags: str, **values: object) -> str:
    """`python train.py`, these words as they are, and these keys with their values."""
    return command("train.py", *flags, *(override(key, value) for key, value in values.items()))


def _named() -> bool:
    """Whether the commands are called by the name `snnbench` here."""
    return AS_TYPED in os.environ or ROOT.parent == _PACKAGE


def evaluate(**values: object) -> str:
    """`python eval.py` with these keys and values."""
    return command("eval.py", *(override(key, value) for key, value in values.items()))


def command(script: str, *words: object) -> str:
    """`python <script>`, of this checkout, with these words, which are Hydra's overrides already or none.

    Where there is no checkout, or where it was typed so: `snnbench <its name>`.
    """
    here = ROOT / script
    first: tuple[object, ...] = ("python", here if here.is_file() else script)
    if _named():
        first = ("snnbench", here.stem.replace("_", "-"))
    return shlex.join(typed(word) if isinstance(word, Path) else str(word) for word in (*first, *words))


def described(text: str) -> str:
    """What a script says of itself, its commands as they are typed here: `snnbench tables` for a script's path."""
    return _SCRIPT.sub(lambda found: command(f"{found[1] or 'show_kernels'}.py"), text) if _named() else text


def this() -> str:
    """The command of this process, as it was given."""
    first = [Path(sys.executable).name, sys.argv[0]]
    if AS_TYPED in os.environ:
        first = ["snnbench", Path(sys.argv[0]).stem]
    return shlex.join([*first, *sys.argv[1:]])


def override(key: str, value: object) -> str:
    """`key=value` as Hydra's grammar reads it back to that very text: a path may hold any character."""
    if isinstance(value, bool) or value is None:
        return f"{key}={str(value).lower() if value is not None else 'null'}"
    if isinstance(value, int | float):
        return f"{key}={value}"
    text = typed(value) if isinstance(value, Path) else str(value)
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT:
        return f"{key}={text}"
    return f"{key}={_quoted(literal(text))}"


def literal(text: str) -> str:
    """`text` as OmegaConf gives it back as it is: with `${` in it, it would be an interpolation."""
    return _INTERPOLATION.sub(lambda found: found[1] * 2 + "\\${", text)


def literals(value: Any) -> Any:
    """A resolved config, in which every text is to stand for itself, as OmegaConf has to be given it."""
    if isinstance(value, dict):
        return {key: literals(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literals(item) for item in value]
    return literal(value) if isinstance(value, str) else value


def _quoted(text: str) -> str:
    """In Hydra's quotes: backslashes before a quote are doubled, and a quote has one before it."""
    inner = re.sub(r'(\\*)"', lambda found: found[1] * 2 + '\\"', text)
    end = len(inner) - len(inner.rstrip("\\"))
    return f'"{inner}{inner[len(inner) - end :]}"'


def typed(path: Path) -> str:
    """The path as a person would type it here: the shorter of absolute and relative, and never like an option."""
    try:
        text = min(str(path), os.path.relpath(path), key=len)
    except OSError:  # the folder that this is in was deleted
        text = str(path)
    return f"./{text}" if text.startswith(("-", "~")) else text


def home(path: str | Path) -> Path:
    """The path, with `~` for the home folder as in a shell, which expands none in `key=~/x` or in quotes."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no such user, or nobody knows the home
        return Path(path)
