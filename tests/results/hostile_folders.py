"""Ways in which a run's folder can be anything but that: what stands in its files, and what stands in their place."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

STRUCTURED = ("config.yaml", "result.json")
FILES = (*STRUCTURED, "environment.jsonl", "metrics.csv", "layers.csv")
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


VALUES = (
    *(None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 10**400, 10**30, 2**63, 1e308, -1e308, -5),
    *("", "x", "1", "\ud800", "a\nb", "=1+1", "<script>", "x" * 5000, [], [1], [[]], [None], _deep(50)),
    *({}, {"a": 1}, {"acc": 1}, {"name": None}, {"_target_": 5}, {"epoch": -1, "acc": 5}),
)


def _socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # the path of a socket may have 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(file.name)
    finally:
        os.chdir(here)


def _huge(file: Path) -> None:
    with file.open("wb") as hole:
        hole.truncate(8 << 30)


PLACED: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a socket": _socket,
    "an endless device": lambda file: file.symlink_to("/dev/zero"),
    "a terminal": lambda file: file.symlink_to("/dev/tty"),
    "a loop": lambda file: file.symlink_to(file.name),
    "a dangling link": lambda file: file.symlink_to("nowhere"),
    "a folder": Path.mkdir,
    "a huge file": _huge,
    "noise": lambda file: file.write_bytes(random.Random(0).randbytes(1000)),
    "nothing": lambda file: file.write_bytes(b""),
    "deep lists": lambda file: file.write_bytes(b"[" * 200_000),
    "deep mappings": lambda file: file.write_bytes(b'{"a":' * 100_000),
    "deep blocks": lambda file: file.write_bytes(b"".join(b" " * n + b"a:\n" for n in range(1000))),
    "a bomb": lambda file: file.write_text(BOMB),
    "a long number": lambda file: file.write_text('{"schema": ' + "9" * 400 + ', "seed": -0x' + "f" * 400 + "}"),
    "no numbers": lambda file: file.write_text('{"schema": NaN, "status": Infinity}'),
    "a table of nonsense": lambda file: file.write_text("epoch,test/acc\n" + "9" * 5000 + ",1\n"),
    "half a text": lambda file: file.write_text("\x00\x01{]}:,"),
    "an unhashable key": lambda file: file.write_text("? [a, {b: c}]\n: d\n"),
    "a tag": lambda file: file.write_text("!!python/object/apply:os.system ['true']\n"),
    "a date": lambda file: file.write_text("seed: 2001-01-01\nepochs: 1\nT: 2\ndata: {}\nneuron: {}\n"),
}
APPENDED = (
    *(b"x,y\n", b"1e999,1\n", b"-1,nan\n", b"0,inf\n", b"3," + b"9" * 400 + b"\n", b"\xff\n", b"1,2,3,4,5,6,7,8,9\n"),
    *(b'"a,b"\n', b"0,0\n", b"5,1e400\n", b"\n\n", b"999999999999999999999,1\n"),
)


def mutate(folder: Path, draw: random.Random) -> str:
    """Make something of a run's folder that no run leaves; what."""
    file = folder / draw.choice((*FILES, *STRUCTURED * 3))
    if file.name in STRUCTURED and draw.random() < 0.7:
        return f"{folder.name}/{file.name}: {', '.join(_edit(file, draw) for _ in range(draw.randint(1, 2)))}"
    data = file.read_bytes()
    if draw.random() < 0.3:
        how = draw.choice(("cut", "columns", "separators", "lines"))
        if how == "cut":
            data = data[: draw.randrange(len(data) + 1)]
        elif how == "lines":
            data += draw.choice(APPENDED)
        else:
            data = data.replace(b"acc", b"ac") if how == "columns" else data.replace(b",", b";")
        file.write_bytes(data)
        return f"{folder.name}/{file.name}: {how}"
    how = draw.choice(list(PLACED))
    file.unlink()
    PLACED[how](file)
    return f"{folder.name}/{file.name}: {how}"


def _edit(file: Path, draw: random.Random) -> str:
    """Put a strange value somewhere, or take one away."""
    text = file.read_text()
    read, write = (yaml.safe_load, yaml.safe_dump) if file.suffix == ".yaml" else (json.loads, json.dumps)
    whole = {"": read(text)}
    *way, last = draw.choice(list(_places(whole[""], ("",))))
    node: Any = whole
    for key in way:
        node = node[key]
    if draw.random() < 0.2 and way:
        del node[last]
        what = f"without {[*way[1:], last]}"
    else:
        node[last] = draw.choice(VALUES)
        what = f"{[*way[1:], last]} = {str(node[last])[:40]!r}"
    file.write_text(write(whole[""]), errors="surrogatepass")
    return what


def _places(node: Any, way: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    yield way
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        yield from _places(node[key], (*way, key))
