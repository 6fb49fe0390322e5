"""What the compiler says of the kernels, where no GPU can: `inspect_kernels.py`, a neuron at a time."""

from __future__ import annotations

import functools
import sys
import tempfile
from pathlib import Path
from typing import Any

from on_gpu.record import Record
from snnbench.files import read_json

SCRIPT = Path(__file__).parent.parent / "inspect_kernels.py"
NEURONS = ("lif", "dalif", "arlif", "plif", "clif", "glif", "klif")


def run(record: Record) -> None:
    if not SCRIPT.exists():
        record.leave(NEURONS, f"without {SCRIPT.name}")
        return
    record.measure({neuron: functools.partial(row_of, neuron, record) for neuron in NEURONS})


def row_of(neuron: str, record: Record) -> dict[str, Any]:
    """What the script found.

    Raises:
        Late: it did not end in time.
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        words = [sys.executable, str(SCRIPT), "--neurons", neuron, "--steps", "4", "16", "--json", str(out)]
        done = record.ran(words)
        if done.returncode:
            raise RuntimeError(done.stderr.strip()[-500:])
        return {"said": done.stdout.splitlines(), "found": read_json(out)}
