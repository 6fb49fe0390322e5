"""The files and commands of a page of docs/, by section."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

FENCE = re.compile(r"(?:^`(?P<name>[^`\n]+)`\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass
class Section:
    """Files by path below the reader's folder, and the commands that follow, one list of words each."""

    title: str
    files: dict[str, str] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def sections(page: str) -> dict[str, Section]:
    """Sections of docs/<page> by title."""
    found = {}
    for part in (ROOT / "docs" / page).read_text().split("\n## ")[1:]:
        section = Section(part.partition("\n")[0])
        for block in FENCE.finditer(part):
            if block["kind"] == "bash":
                lines = block["text"].replace("\\\n", " ").splitlines()
                section.commands += [line.partition("  #")[0].split() for line in lines if line.strip()]
            elif block["name"]:
                section.files[block["name"]] = block["text"]
        found[section.title] = section
    return found
