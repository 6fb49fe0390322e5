"""What `--help` says: a page of a command, and more of its groups, its keys and the papers' rows on demand."""

from __future__ import annotations

import itertools
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from snnbench import commands, config, terminal
from snnbench.errors import UserError, did_you_mean
from snnbench.explain import WRONG, explain, nearest_key
from snnbench.files import read_yaml
from snnbench.guide.words import EVERYDAY, FLAGS, GROUPS, KEYS, PAGES
from snnbench.interrupt import WRONG_INPUT
from snnbench.overrides import WITH_VALUE, CommandLine

WIDEST = 120  # characters of a line of text, however wide the terminal
FULL = 105  # characters of a line of a config's comment, with the word that had no room in it


def print_help(words: Sequence[str], config_dir: Path, config_name: str) -> int:
    """Print `help_text`, or what is wrong; the exit code."""
    words = [word for word in words if word not in ("-m", "--multirun", "--plan")]
    try:
        print(help_text(words, config_dir, config_name))
    except WRONG as error:
        print(f"error: {explain(error, CommandLine.read(words, config_dir, config_name))}", file=sys.stderr)
        return WRONG_INPUT
    return 0


def help_text(words: Sequence[str], config_dir: Path, config_name: str) -> str:
    """What to print for a command with --help among its words.

    `--help` alone gives the page; after it may stand `rows` and patterns of rows, `keys`, groups or keys; with
    `group=option` alone, the keys that this option brings.

    Raises:
        UserError: there is no such topic.
    """
    config.register_schema()
    topics, rest = _split(words)
    typed = CommandLine.read(rest, config_dir, config_name)
    chosen = [group for _, group, _ in typed.choices()]
    if topics[:1] in (["rows"], ["experiment"]):
        return _rows(config_dir, topics[1:])
    if topics == ["keys"] or not (topics or chosen):
        return _keys(_composed(typed)) if topics else _page(typed)
    return "\n\n".join(_topic(typed, topic) for topic in topics or chosen)


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Bare words, which are topics, and all others but --help."""
    topics, rest = [], []
    for before, word in zip(["", *words], words, strict=False):
        if before in WITH_VALUE or word.startswith("-") or "=" in word:
            rest += [] if word in FLAGS else [word]
        else:
            topics.append(word)
    return topics, rest


def _page(typed: CommandLine) -> str:
    page = PAGES[typed.config_name]
    command = commands.command(f"{typed.config_name}.py")
    lines = [f"{command} {page.usage}", page.does, ""]
    lines += _pairs((f"{command} {' '.join(words)}", what) for words, what in page.examples)
    if page.composes:
        lines += ["", "Groups, group=option; the default first:"]
        lines += [_fitted(f"  {group:<17} {said}", options) for group, said, options in _groups(typed)]
        lines += ["", "Keys, such as:"]
        lines += textwrap.wrap(", ".join(EVERYDAY), _width(), initial_indent="  ", subsequent_indent="  ")
    else:
        keys = typed.keys()
        lines += ["", "Keys:", *_pairs((f"{key}=...", KEYS[key]) for key in keys if key in KEYS)]
    return "\n".join([*lines, "", "Flags:", *_pairs(page.flags)])


def _groups(typed: CommandLine) -> list[tuple[str, str, list[str]]]:
    """Each group of the command: its name, what it is, its options with the default first; rows by papers."""
    if not PAGES[typed.config_name].composes:
        return []
    primary = read_yaml(typed.folders[0] / f"{typed.config_name}.yaml")
    defaults = {key: value for one in primary["defaults"] if isinstance(one, dict) for key, value in one.items()}
    names = {str(path.parent.relative_to(folder)) for folder in typed.folders for path in folder.glob("*/**/*.yaml")}
    names = {"experiment" if name.startswith("experiment/") else name for name in names}
    order = [*GROUPS, *sorted(names - GROUPS.keys())]
    found = []
    for name in sorted((name for name in names if not name.endswith("/default")), key=order.index):
        default, options = str(defaults.get(name)), typed.options(name)
        if name == "experiment":
            options = sorted({f"{option.partition('/')[0]}/" for option in options})
        options = sorted((one for one in options if one != "default"), key=lambda one: (one != default, one))
        found.append((name, GROUPS.get(name, ""), options))
    return found


def _fitted(head: str, options: Sequence[str]) -> str:
    """A line with as many of the options as fit, and how many there are."""
    if not options:
        return head
    line, width = f"{head}: {', '.join(options)}", _width()
    shown = list(options)
    while len(line) > width and shown:
        shown.pop()
        line = f"{head}: {', '.join([*shown, '...'])} ({len(options)})"
    return line


def _topic(typed: CommandLine, topic: str) -> str:
    """A group's options, and the keys of the one that is chosen; or a key."""
    group = topic.replace(".", "/") if typed.is_group(topic.replace(".", "/")) else topic
    chosen = {key: name for _, key, name in typed.choices()}.get(group)
    parts = []
    known = ["rows", "keys", *(name for name, _, _ in _groups(typed))]
    if group in known[2:] and chosen is None:
        said = GROUPS.get(group)
        options = _pairs((name, _head(typed, group, name)) for name in typed.options(group))
        parts.append("\n".join([f"{group}=...{f', {said}' if said else ''}", *options]))
    elif chosen is not None:
        parts.append("\n".join(map(_filled, _whole(_comment(typed, group, chosen)))))
    node = _node(_composed(typed), group.replace("/", "."))
    parts += [] if node is None else [_keys(node)]
    if not parts:
        near = nearest_key(topic, typed.keys())
        hint = did_you_mean(topic, known) or (f" Did you mean {near!r}?" if near else "")
        raise UserError(f"--help {topic}: no group and no key.{hint}")
    return "\n\n".join(part for part in parts if part)


def _node(cfg: DictConfig, key: str) -> DictConfig | None:
    """The config with nothing but what stands at the dotted key; None where that is none."""
    node: Any = OmegaConf.to_container(cfg)
    path = key.split(".")
    for part in path:
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    for part in reversed(path):
        node = {part: node}
    return OmegaConf.create(node)


def _head(typed: CommandLine, group: str, name: str) -> str:
    """What an option is: the first sentence of its file's head comment, or what of it stands in the first line."""
    first = _comment(typed, group, name)[:1]
    return (
        re.split(r"(?<=[\w)\]]{2})[.:](?= [A-Z]|$)|  |, where$", first[0], maxsplit=1)[0].rstrip(":.") if first else ""
    )


def _comment(typed: CommandLine, group: str, name: str) -> list[str]:
    """The lines of the head comment of an option's file."""
    path = next((path for folder in typed.folders if (path := folder / group / f"{name}.yaml").is_file()), None)
    lines = path.read_text("utf-8").splitlines() if path else []
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return [line.removeprefix("#").removeprefix(" ").rstrip() for line in comment if not line.startswith("# @package")]


def _whole(lines: Sequence[str]) -> list[str]:
    """The lines of a comment; a sentence that its file breaks for want of room is one again, to be broken anew.

    Formulas are set in, and are lines of their own.
    """
    found: list[str] = []
    for before, line in zip(["", *lines], lines, strict=False):
        full = len(before) + len(line.partition(" ")[0]) > FULL
        if full and not before.startswith(" ") and not before.endswith((".", ":")):
            found[-1] += f" {line}"
        else:
            found.append(line)
    return found


def _filled(line: str) -> str:
    """The line broken by the terminal's width; a formula stays set in."""
    return textwrap.fill(line, _width(), subsequent_indent="    " if line.startswith(" ") else "")


def _composed(typed: CommandLine) -> DictConfig:
    import hydra

    words = [word for word in typed.overrides if not word.startswith(("hydra.", "+sweep="))]
    main, *more = (str(folder.absolute()) for folder in typed.folders)
    path = [f"hydra.searchpath=[{','.join(f'file://{folder}' for folder in more)}]"] if more else []
    with hydra.initialize_config_dir(main, version_base="1.3"):
        return hydra.compose(typed.config_name, [*words, *path])


def _keys(cfg: DictConfig) -> str:
    """A config as text, its first keys with what they mean."""
    lines = []
    for line in OmegaConf.to_yaml(cfg).rstrip().splitlines():
        key, _, value = line.partition(":")
        said = KEYS.get(key, "") if value.strip() else ""
        lines.append(f"{line:<27} # {said}" if said else line)
    return "\n".join(lines)


def _rows(config_dir: Path, patterns: Sequence[str]) -> str:
    from snnbench.results.rows import read_registry, read_rows, select_rows
    from snnbench.results.tables.render import render
    from snnbench.results.tables.runnable import rows_table

    rows, problems = read_rows(config_dir)
    chosen = select_rows(rows, patterns)
    return render([rows_table(chosen.values(), read_registry(config_dir))], problems, "text").rstrip()


def _pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a word and what it means, which is cut where the line ends."""
    found = list(pairs)
    left_width = max((len(left) for left, _ in found), default=0)
    room = max(_width() - left_width - 4, 20)
    return [
        f"  {left:<{left_width}}  {textwrap.shorten(right, room, placeholder=' ...')}".rstrip() for left, right in found
    ]


def _width() -> int:
    return min(terminal.width() or WIDEST, WIDEST)
