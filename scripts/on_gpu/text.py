"""What the compiler says of the kernels, where no GPU can: `inspect_kernels.py`, whose JSON lies beside the record."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from on_gpu.record import Late, Record
from snnbench.files import read_json

SCRIPT = Path(__file__).parent.parent / "inspect_kernels.py"
CASES = {"T=4": ["--steps", "4"], "T=16": ["--steps", "16"]}


def run(record: Record) -> None:
    if not SCRIPT.exists():
        record.leave(CASES, f"without {SCRIPT.name}")
        return
    record.measure({case: lambda words=words: row_of(words, record) for case, words in CASES.items()})


def row_of(words: list[str], record: Record) -> dict[str, Any]:
    """What the script found.

    Raises:
        Late: it did not end in time.
        RuntimeError: it failed.
    """
    out = record.path.with_name("inspected.json")
    try:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *words, "--json", str(out)],
            capture_output=True, text=True, timeout=max(record.remaining - 1, 0),
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Late from error
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    return {"said": done.stdout.splitlines(), "found": read_json(out)}
