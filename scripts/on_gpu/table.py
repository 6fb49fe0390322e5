"""The whole report: one JSON of all stages, and Markdown tables of what matters in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from on_gpu import record
from snnbench.files import write_json, write_text

Row = dict[str, Any]


def write(folder: Path, ended: dict[str, str]) -> str:
    """Write report.json and report.md into the folder; the text of the latter.

    Args:
        folder: with the stages' files.
        ended: how each stage ended, in order.
    """
    found = {name: record.read(folder, name) for name in ended}
    write_json(folder / "report.json", {"ended": ended, "stages": found})
    text = "\n".join(_lines(found, ended)) + "\n"
    write_text(folder / "report.md", text)
    return text


def _lines(found: dict[str, Row], ended: dict[str, str]) -> Iterable[str]:
    where = next((each["where"] for each in found.values() if each.get("where")), {})
    gpu = where.get("gpu", {})
    versions = ", ".join(f"{name} {version}" for name, version in where.get("versions", {}).items())
    yield f"# {gpu.get('name', 'no GPU')}, driver {gpu.get('driver_version', 'none')}, commit {where.get('commit')}"
    yield f"python {where.get('python')}, {versions}"
    for name, state in ended.items():
        stage = found[name]
        yield f"\n## {name}: {state}"
        if stage.get("log"):
            yield f"{stage.get('why')}: {stage['log'].strip().splitlines()[-1:]}"
        if stage.get("rows"):
            yield from TABLES.get(name, _plain)(stage["rows"])
        yield from _complaints(stage)


def _complaints(stage: Row) -> Iterable[str]:
    for row in stage.get("rows", []):
        for key in ("wrong", "error", "late", "unavailable"):
            if row.get(key):
                yield f"- {row['case']}: {key}: {row[key]}"
        for name, why in row.get("failures", {}).items():
            yield f"- {row['case']}: {name}: {why}"
    for why in dict.fromkeys(each["why"] for each in stage.get("left", [])):
        yield f"- left ({why}): {', '.join(each['case'] for each in stage['left'] if each['why'] == why)}"


def _grid(head: list[str], rows: Iterable[list[str]]) -> Iterable[str]:
    yield f"\n| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _number(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


def _plain(rows: list[Row]) -> Iterable[str]:
    yield f"{len(rows)} cases"


def _doctor(rows: list[Row]) -> Iterable[str]:
    for row in rows:
        yield from row.get("said", [])
    speeds = [row for row in rows if "tb_per_second" in row]
    yield from _grid(
        ["memory", "copy, TB/s", "read 2, write 1, TB/s"],
        [[row["case"], *(f"{row['tb_per_second'][name]:.2f}" for name in ("copy", "read2write1"))] for row in speeds],
    )


def _kernels(rows: list[Row]) -> Iterable[str]:
    timed = [row for row in rows if "milliseconds" in row]
    yield from _grid(
        ["kernel alone", "forward ms", "of a copy", "backward ms", "of read 2, write 1"],
        [
            [row["case"], *(f"{row['milliseconds'][way]:.3f} | {row[f'{way}_share']:.0%}" for way in WAYS)]
            for row in timed
        ],
    )


WAYS = ("forward", "backward")


def _step(rows: list[Row]) -> Iterable[str]:
    timed = [row for row in rows if "milliseconds" in row]
    head = ["step", "who", "ms", "over plain", "samples/s", "ms, graph replay", "peak MB"]
    yield from _grid(
        head,
        [
            [
                row["case"], name, f"{value:.2f}", _number(row.get("over_plain", {}).get(name), ".2f"),
                _number(row.get("samples_per_second", {}).get(name), ",.0f"),
                _number(row.get("graph_milliseconds", {}).get(name), ".2f"),
                _number(row.get("peak_megabytes", {}).get(name), ",.0f"),
            ]
            for row in timed
            for name, value in row["milliseconds"].items()
        ],
    )  # fmt: skip


def _tests(rows: list[Row]) -> Iterable[str]:
    counts = ("passed", "failed", "skipped")
    yield from _grid(["tests", *counts], [[row["case"], *(str(row.get(key, "")) for key in counts)] for row in rows])


def _said(rows: list[Row]) -> Iterable[str]:
    for row in rows:
        yield from ("", *row.get("said", []))


def _sanitizer(rows: list[Row]) -> Iterable[str]:
    found = [row for row in rows if "errors" in row]
    yield from _grid(
        ["tool", "calls", "errors"], [[row["case"], str(row["calls"]), str(row["errors"])] for row in found]
    )


def _rivals(rows: list[Row]) -> Iterable[str]:
    timed = [row for row in rows if row.get("milliseconds")]
    yield from _grid(
        ["forward and backward", "who", "ms", "times fused", "ms with the host", "peak MB"],
        [
            [
                row["case"], name, f"{value:.3f}", _number(row.get("speedup", {}).get(name), ".2f"),
                _number(row.get("eager_milliseconds", {}).get(name), ".3f"),
                _number(_megabytes(row.get("peak_bytes", {}).get(name)), ",.0f"),
            ]
            for row in timed
            for name, value in row["milliseconds"].items()
        ],
    )  # fmt: skip


def _megabytes(value: float | None) -> float | None:
    return None if value is None else value / 2**20


def _counters(rows: list[Row]) -> Iterable[str]:
    keys = ("duration", "dram_percent", "issue_percent", "occupancy_percent", "registers", "spilling_requests")
    yield from _grid(
        ["kernel", *(key.replace("_percent", " %") for key in keys)],
        [
            [f"{name} {row['case']}", *(str(metrics.get(key, "")) for key in keys)]
            for row in rows
            for name, metrics in row.get("kernels", {}).items()
        ],
    )


def _training(rows: list[Row]) -> Iterable[str]:
    done = [row for row in rows if row.get("epochs")]
    yield from _grid(
        ["row", "epochs", "test accuracy, %", "training, s", "limit, s"],
        [
            [
                row["case"], str(len(row["epochs"])),
                " ".join(_number(each.get("test/acc"), ".1f") for each in row["epochs"]),
                _number(row["result"].get("train_seconds"), ".0f"), _number(row["limit_seconds"], ".0f"),
            ]
            for row in done
        ],
    )  # fmt: skip


TABLES: dict[str, Callable[[list[Row]], Iterable[str]]] = {
    "doctor": _doctor,
    "tests": _tests,
    "text": _said,
    "sanitizer": _sanitizer,
    "kernels": _kernels,
    "step": _step,
    "rivals": _rivals,
    "counters": _counters,
    "training": _training,
}
"""What shows a stage's rows; of one that is not here their number."""
