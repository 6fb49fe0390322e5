"""Many long runs, made of one real short one: its files, with more epochs, more layers, and values drawn anew."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

EPOCHS, LAYERS, SHAPES = 200, 20, 8
NEURONS = ("lif", "plif", "klif", "glif", "clif", "dalif", "arlif")
COEFFICIENTS = ("alpha", "beta")


def multiply(run: Path, outputs: Path, count: int, rows: Sequence[str]) -> None:
    """Make `count` runs below `outputs` out of the finished `run`, with the full digits that a training writes.

    Their neurons, T and seeds differ; eight shapes of curves take turns. A few say that they are of one of `rows`.
    """
    draw = random.Random(0)
    shapes = [_curves(draw) for _ in range(SHAPES)]
    config, result = (run / "config.yaml").read_text(), json.loads((run / "result.json").read_text())
    for number in range(count):
        neuron, T, seed = NEURONS[number % 7], (1, 2, 4, 6, 8)[number // 7 % 5], number // 35
        folder = outputs / f"digits-convnet-{neuron}-T{T}" / f"run-{number}"
        folder.mkdir(parents=True)
        metrics, layers, last = shapes[number % SHAPES]
        (folder / "metrics.csv").write_text(metrics)
        (folder / "layers.csv").write_text(layers)
        shutil.copy(run / "environment.jsonl", folder)
        (folder / "config.yaml").write_text(
            _config(config, folder, neuron, T, seed, rows[number] if number < len(rows) else None)
        )
        accuracy = {"last_epoch": draw.uniform(60, 99), "best_test_epoch": {"acc": draw.uniform(97, 99), "epoch": 150}}
        changed = {"T": T, "seed": seed, "accuracy": accuracy, "layers": last, "energy": _energy(draw, last)}
        epochs = {"planned": EPOCHS, "run": EPOCHS}
        (folder / "result.json").write_text(json.dumps({**result, **changed, "epochs": epochs}, indent=2))


def _config(text: str, folder: Path, neuron: str, T: int, seed: int, row: str | None) -> str:
    new = {"T": T, "seed": seed, "epochs": EPOCHS, "name": f"digits-convnet-{neuron}-T{T}", "  output_dir": folder}
    new |= {"row": f"{{id: {row}}}"} if row else {}
    lines = [(line, line.partition(":")[0]) for line in text.splitlines()]
    text = "".join(f"{key}: {new[key]}\n" if key in new else f"{line}\n" for line, key in lines)
    return text.replace("\n  name: lif\n", f"\n  name: {neuron}\n")


def _curves(draw: random.Random) -> tuple[str, str, dict[str, dict[str, float]]]:
    """metrics.csv, layers.csv and what the last epoch's layers are: curves that level off, with noise."""
    head = "epoch,lr,train/loss,train/acc,test/loss,test/acc,test/firing_rate\n"
    metrics = []
    for epoch in range(EPOCHS):
        lr, low = 0.05 * (1 + math.cos(math.pi * epoch / EPOCHS)), math.exp(-epoch / 30)
        train, test = (100 - 70 * low - 5 * draw.random() for _ in range(2))
        values = (lr, 2 * low + draw.random() / 10, train, 2 * low + draw.random() / 5, test, 0.2 + draw.random() / 50)
        metrics.append(",".join(map(str, (epoch, *values))) + "\n")
    names = [f"blocks.{layer // 4}.units.{layer % 4}.neuron" for layer in range(LAYERS)]
    start = {(name, quantity): draw.random() for name in names for quantity in ("firing_rate", *COEFFICIENTS)}
    lines, last = [], {name: {} for name in names}  # type: ignore[var-annotated]
    for epoch in range(EPOCHS):
        for (name, quantity), value in start.items():
            last[name][quantity] = value * (1 + 0.2 * math.exp(-epoch / 30)) + draw.random() / 100
            lines.append(f"{epoch},{name},{quantity},{last[name][quantity]}\n")
    return head + "".join(metrics), "epoch,layer,quantity,value\n" + "".join(lines), last


def _energy(draw: random.Random, layers: dict[str, dict[str, float]]) -> dict:
    keys = ("input_rate", "ac", "mac", "ann_mac", "picojoule")
    each = {name: {key: 1e6 * draw.random() for key in keys} for name in layers}
    return {
        "model": "45nm",
        "samples": 10,
        **{key: 1e7 * draw.random() for key in keys[1:]},
        "ann_picojoule": 1e8,
        "layers": each,
    }
