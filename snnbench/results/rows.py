"""The rows of the papers' tables: those with a config, and those that cannot be run here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from snnbench import own
from snnbench.config import CONFIGS
from snnbench.errors import UserError, did_you_mean
from snnbench.files import DAMAGED, read_yaml


@dataclass(frozen=True)
class Proof:
    """What of a row was compared with the authors' code and is equal, and what nobody has compared.

    Attributes:
        oracle: the file of tests/oracles/numbers that holds what their code gave.
        commit: of their repository, its first digits.
        compared: keys of `parts` in configs/papers.yaml.
        open: those parts that have not been compared.
        same_parts_as: the row that was compared in this one's stead, being built from the same parts; None: itself.
    """

    oracle: str
    commit: str
    compared: tuple[str, ...]
    open: tuple[str, ...]
    same_parts_as: str | None = None

    @classmethod
    def of(cls, block: dict[str, Any] | None) -> Proof | None:
        if block is None:
            return None
        return cls(**{**block, "compared": tuple(block["compared"]), "open": tuple(block["open"])})

    def __str__(self) -> str:
        how = " in a row of the same parts" if self.same_parts_as else ""
        return f"Compared{how}: {', '.join(self.compared)}; not compared: {', '.join(self.open) or 'nothing'}"


@dataclass(frozen=True)
class Row:
    """A row that can be run: the `row:` block of configs/experiment/<paper>/<file>.yaml.

    Attributes:
        id: `<paper>/<file name>`; `python train.py experiment=<id>` runs it.
        paper: key in configs/papers.yaml.
        table: number of the paper's table, None where not known.
        acc: reported accuracy in percent, None where not known.
        protocol: how the paper chose the epoch: best_test_epoch, last_epoch, validation_chosen or unknown.
        source: how well `acc` is known; a key of `sources` in configs/papers.yaml.
        tolerance: percentage points within which a mean counts as reproduced.
        recipe: how well it is known; a key of `recipes` in configs/papers.yaml.
        proof: what of it was compared with the authors' code; None where nothing was.
        milestones: test accuracy by epoch, counted from 0, from the authors' log.
        milestone_tolerance: percentage points, for those.
        block: the whole block as it stands in the file.
        data: key of its data set.
        hours: how long it took whom, in the words of the file's head; None where that is not known.
    """

    id: str
    paper: str
    table: int | None
    acc: float | None
    protocol: str
    source: str
    tolerance: float
    recipe: str
    proof: Proof | None = None
    milestones: dict[int, float] = field(default_factory=dict)
    milestone_tolerance: float = 0.0
    block: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    hours: str | None = None

    @property
    def proved(self) -> bool:
        """Whether the network and its gradients were compared with the authors' and are equal."""
        return self.proof is not None and {"network", "gradients"} <= set(self.proof.compared)


@dataclass(frozen=True)
class Quoted:
    """A published row that cannot be run here, with the reason."""

    paper: str
    data: str
    backbone: str
    method: str
    T: int | None
    acc: float | None
    source: str
    reason: str

    @property
    def id(self) -> str:
        """What a row of it would be called, for patterns."""
        return f"{self.paper}/{self.data}_{self.backbone}" + (f"_t{self.T}" if self.T else "")


@dataclass(frozen=True)
class Registry:
    """configs/papers.yaml: papers by key, the meanings of the words in rows, and rows that cannot be run."""

    papers: dict[str, dict[str, Any]]
    sources: dict[str, str]
    protocols: dict[str, str]
    recipes: dict[str, str]
    parts: dict[str, str]
    quoted: tuple[Quoted, ...]


def read_registry(configs: Path = CONFIGS) -> Registry:
    """What papers.yaml says; the project's own is joined by one's own, which needs nothing but `papers:`.

    Raises:
        UserError: it is not there, or not as it should be.
    """
    path = configs / "papers.yaml"
    names = [part.name for part in fields(Quoted)]
    quoted = []
    try:
        raw = read_yaml(path)
        for values in raw["not_runnable"]:
            line = dict(zip(names, values, strict=True))
            quoted.append(Quoted(**{**line, "reason": raw["reasons"][line["reason"]]}))
        meanings = {key: raw[key] for key in ("papers", "sources", "protocols", "recipes", "parts")}
    except DAMAGED as error:
        raise UserError(f"{path}: not the papers ({type(error).__name__}: {' '.join(str(error).split())})") from error
    meanings["papers"] = {**_own_papers(configs), **meanings["papers"]}
    return Registry(**meanings, quoted=tuple(quoted))


def _places(configs: Path) -> list[Path]:
    """Where rows lie: in these configs, and beside the project's in one's own."""
    mine = own.folder() if configs == CONFIGS else None
    return [configs, mine] if mine else [configs]


def _own_papers(configs: Path) -> dict[str, Any]:
    """Of one's own rows, with what one's own papers.yaml says of them, if it is there."""
    found: dict[str, Any] = {}
    for place in _places(configs)[1:]:
        names = [path.name for path in sorted((place / "experiment").glob("*")) if path.is_dir()]
        found |= {name: {"title": name, "arxiv": None, "year": None, "repository": None} for name in names}
        path = place / "papers.yaml"
        try:
            raw = read_yaml(path) if path.exists() else {}
            found |= {str(name): {**found.get(name, {}), **paper} for name, paper in raw.get("papers", raw).items()}
        except (*DAMAGED, AttributeError) as error:
            raise UserError(f"{path}: not papers ({type(error).__name__}: {' '.join(str(error).split())})") from error
    return found


def read_rows(configs: Path = CONFIGS) -> tuple[dict[str, Row], list[str]]:
    """All rows by id, read without composing them, and one line for each file that cannot be read as a row."""
    rows: dict[str, Row] = {}
    problems = []
    for path in (path for place in _places(configs) for path in sorted((place / "experiment").glob("*/*.yaml"))):
        try:
            row = _row(read_yaml(path), path.read_text("utf-8"))
        except DAMAGED as error:
            problems.append(f"{path}: not a row ({type(error).__name__}: {' '.join(str(error).split())})")
            continue
        rows.setdefault(row.id, row)  # one's own add to the project's
    return rows, problems


def _row(config: dict[str, Any], text: str) -> Row:
    block, chosen = config["row"], config.get("defaults") or []
    reported = block["reported"]
    data = [one["override /data"] for one in chosen if isinstance(one, dict) and "override /data" in one]
    return Row(
        id=str(block["id"]),
        paper=str(block["paper"]),
        table=block["table"],
        acc=None if reported["acc"] is None else float(reported["acc"]),
        protocol=reported["protocol"],
        source=reported["source"],
        tolerance=float(block["tolerance"]),
        recipe=block["recipe"],
        proof=Proof.of(block.get("proof")),
        milestones={int(epoch): float(acc) for epoch, acc in (block.get("milestones") or {}).items()},
        milestone_tolerance=float(block.get("milestone_tolerance", 0.0)),
        block=block,
        data=str(data[0]) if data else "",
        hours=_hours(text),
    )


def _hours(text: str) -> str | None:
    """What the head comment says after "Hours:", up to where that comes from."""
    head = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    found = re.search(r"Hours: (.+?)(?:, |\.(?= |$)|$)", head)
    return None if found is None or found[1] == "unknown" else found[1]


def select_rows(
    rows: Mapping[str, Row], patterns: Iterable[str] = (), data: Iterable[str] = (), papers: Iterable[str] = ()
) -> dict[str, Row]:
    """The rows of these papers, names, beginnings of names or patterns (`dalif/cifar100*`), on these data sets.

    Raises:
        UserError: a pattern or data set has no row; `papers` may be without.
    """
    found = rows
    wanted = list(patterns)
    if wanted:
        for pattern in wanted:
            if pattern not in papers and not any(matches(pattern, id) for id in rows):
                known = [*papers, *sorted({row.paper for row in rows.values()}), *rows]
                raise UserError(f"{pattern}: there is no such paper or row.{did_you_mean(pattern, known)}")
        found = {id: row for id, row in rows.items() if any(matches(pattern, id) for pattern in wanted)}
    sets = list(data)
    for name in sets:
        known = sorted({row.data for row in rows.values()})
        if name not in known:
            raise UserError(f"--data {name}: no row has it.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    return {id: row for id, row in found.items() if not sets or row.data in sets}


def matches(pattern: str, id: str) -> bool:
    """Whether a row is meant by the key of its paper, its name, a beginning of that, or a pattern as of a shell."""
    if set("*?[") & set(pattern):
        return fnmatchcase(id, pattern)
    return id.startswith(pattern if "/" in pattern else f"{pattern}/")


def choose(kind: str, name: str, known: dict[str, Any]) -> None:
    """Refuse a paper or row that does not exist, with the nearest name.

    Raises:
        UserError: there is none of this name.
    """
    if name not in known:
        raise UserError(f"{name}: there is no such {kind}.{did_you_mean(name, known)}")
