"""Rows of papers, trained as `train.py` trains them, for as long as the stage lasts."""

from __future__ import annotations

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from on_gpu.record import Late, Record
from snnbench.runs.data_paths import VARIABLE
from snnbench.runs.schema import METRICS, RESULT

ROOT = Path(__file__).parent.parent.parent
ROWS = {
    "DA-LIF ResNet-20 T=2": ["experiment=dalif/cifar10_resnet20_t2"],
    "LIF ResNet-20 T=2": ["experiment=dalif/cifar10_resnet20_t2", "neuron=lif", "row=null"],
    "AR-LIF ResNet-18 T=4": ["experiment=arlif/cifar10_resnet18_t4"],
}
OPTIONS = ["trainer.accelerator=gpu", "data.download=false", "logger=none"]
STOPPING = 15.0
"""Seconds that a run has to end by itself, its results written, before it is killed."""


def run(record: Record) -> None:
    if not os.environ.get(VARIABLE):
        record.leave(ROWS, f"without ${VARIABLE}, the folder of the data sets")
        return
    shares = {name: len(ROWS) - number for number, name in enumerate(ROWS)}
    record.measure({name: functools.partial(row_of, name, shares[name], record) for name in ROWS})


def row_of(name: str, share: int, record: Record) -> dict[str, Any]:
    """One row's epochs, in its share of the time that is left.

    Raises:
        Late: there is no time.
        RuntimeError: it ended before its time, and not well.
    """
    seconds = record.remaining / share - STOPPING
    if seconds <= 0:
        raise Late
    outputs = record.path.parent.resolve() / "runs" / "".join(letter if letter.isalnum() else "-" for letter in name)
    words = [sys.executable, "train.py", *ROWS[name], *OPTIONS, f"paths.outputs={outputs}"]
    code = limited(words, seconds)
    row = trained(outputs)
    if code not in (0, None) and not row:
        raise RuntimeError(f"exit code {code}; the log says more")
    return {"limit_seconds": seconds, **row}


def limited(words: list[str], seconds: float) -> int | None:
    """The exit code of a command, or None if it was stopped: by Ctrl-C's signal first, which lets it write."""
    process = subprocess.Popen(words, cwd=ROOT)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            process.kill()
        return None
    finally:
        process.kill()
        process.wait()


def trained(outputs: Path) -> dict[str, Any]:
    """The epochs of the newest run of a folder, and its result; {} if it has none."""
    found = sorted(outputs.glob(f"*/*/{METRICS}"), key=lambda path: path.stat().st_mtime)
    if not found:
        return {}
    with found[-1].open() as file:
        epochs = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    result = found[-1].with_name(RESULT)
    return {"epochs": epochs, "result": json.loads(result.read_text()) if result.exists() else {}}
