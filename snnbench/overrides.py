"""What was typed after `python train.py`, looked at before Hydra does, whose refusals name other words or none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from omegaconf import DictConfig

from snnbench import commands, own
from snnbench.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

MOST = 12  # names in a message
SEVERAL = ("callbacks", "logger")  # groups of which several configs go together
WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--experimental-rerun"),
)
"""Hydra's flags after which a word is theirs."""


@dataclass(frozen=True)
class CommandLine:
    """The words of a command.

    Attributes:
        config_name: the primary config; the script has its name.
        folders: where configs are found: the project's, that of --config-dir, and one's own.
        words: all of them, flags included.
        overrides: those that set a key or choose a config.
        multirun: whether it is a sweep.
        refused: why Hydra will not read them; "" where it will.
    """

    config_name: str
    folders: tuple[Path, ...]
    words: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    multirun: bool = False
    refused: str = ""

    @classmethod
    def read(cls, words: Sequence[str], config_dir: Path, config_name: str) -> CommandLine:
        """As Hydra will read it, flags before overrides; without overrides where Hydra will refuse to read it."""
        from hydra._internal.utils import get_args_parser

        words, parser = _flags_first(words), get_args_parser()
        parser.error = _refuse  # type: ignore[method-assign, assignment]
        parser.exit = _refuse  # type: ignore[method-assign, assignment]
        known = [word for word in words if word != "--version"]
        try:
            found = parser.parse_args(known)
        except _Refused as error:
            return cls(config_name, (config_dir,), tuple(words), refused=str(error))
        more = (found.config_dir and Path(found.config_dir), own.folder())
        folders = (config_dir, *(folder for folder in more if folder))
        return cls(config_name, folders, tuple(words), tuple(found.overrides), found.multirun)

    @cached_property
    def parsed(self) -> list[Override]:
        """Those overrides that are ones."""
        from hydra.core.override_parser.overrides_parser import OverridesParser

        parser, found = OverridesParser.create(), []
        for word in self.overrides:
            try:
                found.append(parser.parse_override(word))
            except HydraException:  # said by Hydra itself
                continue
        return found

    def as_sweep(self) -> str:
        """The same command with -m."""
        return commands.command(f"{self.config_name}.py", "-m", *self.words)

    def options(self, group: str) -> list[str]:
        """The names of the configs of a group, which may lie in folders of it; none of what is no group."""
        found = [folder / group for folder in self.folders if group and (folder / group).is_dir()]
        direct = {path.stem for folder in found for path in folder.glob("*.yaml")}
        deeper = {str(path.relative_to(folder).with_suffix("")) for folder in found for path in folder.rglob("*.yaml")}
        return sorted(direct or deeper)

    def is_group(self, key: str) -> bool:
        return bool(key) and any((folder / key).is_dir() for folder in self.folders)

    def choices(self) -> Iterator[tuple[str, str, str]]:
        """Each config that was chosen: the word, the group, the name; of a sweep, the first one."""
        for override in self.parsed:
            if self.is_group(override.key_or_group) and not override.is_delete():
                for value in _values(override)[:1]:
                    for name in value if isinstance(value, list) else [value]:
                        yield str(override.input_line), override.key_or_group, str(name)

    def check(self) -> None:
        """Refuse an unknown flag, a sweep without -m, and a group that is given what is not the name of one config.

        Raises:
            UserError: names the word.
        """
        if self.refused:
            raise UserError(f"{self.refused}. See --help.")
        for override in self.parsed:
            word, group = str(override.input_line), override.key_or_group
            if override.is_hydra_override() or override.is_delete():
                continue
            if override.is_sweep_override() and not self.multirun:
                hint = f"needs -m: {self.as_sweep()}\nAs one value it is a list, {_as_list(word)}, or a quoted text."
                raise UserError(f"{word}: is a sweep of several runs, which {hint}")
            if self.is_group(group) and not all(_names(value, group in SEVERAL) for value in _values(override)):
                raise UserError(f"{word}: {self.wanted(group)}")
        for word, group, name in self.choices():
            files = [path for folder in self.folders if (path := folder / group / f"{name}.yaml").is_file()]
            if len(files) > 1:
                hidden = commands.typed(files[1])
                raise UserError(f"{word}: {hidden} would never be read, for this project has one. Rename yours.")

    def wanted(self, group: str, name: str = "") -> str:
        """What a group takes; with the names that begin with this one, or the nearest."""
        options = self.options(group)
        plain = name.replace("/", "_")
        begins = [one for one in options if plain and "/" in one and one.replace("/", "_").startswith(plain)]
        nearest = sorted(options, key=lambda one: one.partition("/")[0] != name.partition("/")[0])  # a paper's rows
        known = f" Beginning so: {few(begins)}." if begins else f"{did_you_mean(name, options)} Known: {few(nearest)}."
        more = f" See --help {group}." if len(begins or options) > MOST else ""
        several = f", or several as {group}=[{','.join(options[:2])}]" if group in SEVERAL else ""
        return f"must be the name of a config of {group}{several}.{known}{more}"

    def keys(self) -> list[str]:
        """Every dotted key of the config with the configs that were chosen, as far as they compose."""
        import hydra

        words = [f"{group}={name}" for _, group, name in self.choices() if group != "sweep"]
        main, *more = (str(folder.absolute()) for folder in self.folders)
        path = [f"hydra.searchpath=[{','.join(map(_file, more))}]"] if more else []
        with hydra.initialize_config_dir(main, version_base="1.3"):
            for chosen in ([*words, *path], path, []):
                try:
                    return list(_dotted("", hydra.compose(self.config_name, chosen)))
                except Exception:  # what is chosen does not compose, which is then what is wrong
                    continue
        return []


def few(names: Sequence[str]) -> str:
    """The first of some names, for a message."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return f"{', '.join(names[:MOST])}{more}" if names else "none"


def _file(folder: str) -> str:
    return commands.override("x", f"file://{folder}")[2:]


def _values(override: Override) -> list[Any]:
    from hydra.core.override_parser.types import QuotedString

    if not override.is_sweep_override():
        return [override.value()]
    if not override.is_choice_sweep() or not isinstance(getattr(override.value(), "list", None), list):
        return []
    values: Any = override.sweep_iterator()
    return [value.text if isinstance(value, QuotedString) else value for value in values]


def _names(value: Any, several: bool) -> bool:
    """Whether it names a config; or, where `several` may be named, a list of them."""
    return isinstance(value, str) or (several and isinstance(value, list) and all(isinstance(v, str) for v in value))


def _as_list(word: str) -> str:
    key, _, value = word.partition("=")
    return f"{key}=[{value}]"


def _dotted(prefix: str, node: Any) -> Iterator[str]:
    for key, value in node.items_ex(resolve=False) if isinstance(node, DictConfig) else []:
        yield f"{prefix}{key!s}"
        yield from _dotted(f"{prefix}{key!s}.", value)


def _flags_first(words: Sequence[str]) -> list[str]:
    """argparse reads overrides in one piece only: those after a flag that stands between them it would refuse."""
    flags: list[str] = []
    overrides: list[str] = []
    last: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        if {"--info", "-i"} & {
            before,
            word,
        } and "=" not in word:  # its value may be left out, so an override would be it
            last.append(word)
        else:
            (flags if word.startswith("-") or before in WITH_VALUE else overrides).append(word)
    return [*flags, *overrides, *last]


class _Refused(Exception):
    pass


def _refuse(*said: object) -> None:
    raise _Refused(*said)
