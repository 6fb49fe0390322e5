"""The processes that turn recordings into frames and write each at its place in the file."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
import traceback
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from snnbench.data.events.cache import Plan
from snnbench.data.events.frames import Events, complaint, to_frames
from snnbench.data.events.source import EventSource, Recording
from snnbench.data.files import damaged
from snnbench.errors import UserError

_REPORT_S = 0.2


@dataclass
class Result:
    """What was packed: checksums in the order of the samples, the highest count, and how many events."""

    checksums: list[int]
    highest: int = 0
    events: int = 0


@dataclass
class Report:
    """What a worker has done since its last report, or why it stopped."""

    rows: list[tuple[int, int]] = field(default_factory=list)
    highest: int = 0
    events: int = 0
    error: Exception | None = None


class _Task(NamedTuple):
    """A worker's share: recordings with the rows of their first samples."""

    plan: Plan
    share: list[tuple[int, int]]
    path: Path
    offset: int
    dtype: np.dtype[Any]
    parent: int


def run_workers(plan: Plan, path: Path, offset: int, dtype: np.dtype[Any], processes: int) -> Result:
    """Pack all of `plan` into the file at `path`, whose first frame starts at `offset`.

    Stops early, with the highest count found, when a count does not fit `dtype`.

    Raises:
        UserError: A recording is damaged.
        OSError: The file cannot be written.
    """
    rows = np.cumsum([0, *(len(recording.samples) for recording in plan.recordings)]).tolist()
    numbered = list(enumerate(rows[:-1]))
    processes = max(1, min(processes, len(numbered)))
    context: Any = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    result = Result([0] * rows[-1])
    running: dict[Any, Any] = {}
    try:
        for k in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            task = _Task(plan, numbered[k::processes], path, offset, dtype, os.getpid())
            worker = context.Process(target=_work, args=(task, sender), daemon=True)
            worker.start()
            sender.close()
            running[receiver] = worker
        with _Progress(plan.name, rows[-1]) as advance:
            while running and result.highest <= np.iinfo(dtype).max:
                for receiver in wait(list(running)):
                    if not _collect(receiver, result, advance):
                        running.pop(receiver).join()
    finally:
        for worker in running.values():
            worker.terminate()
            worker.join()
    return result


def _collect(receiver: Any, result: Result, advance: Any) -> bool:
    """Take one report; False when it was the worker's last."""
    try:
        report: Report | None = receiver.recv()
    except EOFError:
        raise OSError("a packing process died; is there too little memory?") from None
    if report is None:
        return False
    if report.error is not None:
        raise report.error
    for row, checksum in report.rows:
        result.checksums[row] = checksum
    result.highest = max(result.highest, report.highest)
    result.events += report.events
    advance(len(report.rows))
    return True


def _work(task: _Task, sender: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with open(task.path, "r+b", buffering=0) as file:
            _pack(task, file.fileno(), sender)
        sender.send(None)
    except (UserError, OSError) as error:
        sender.send(Report(error=error))
    except Exception:
        sender.send(Report(error=RuntimeError(traceback.format_exc())))


def _pack(task: _Task, file: int, sender: Connection) -> None:
    source, rule = task.plan.source, task.plan.rule
    report, last = Report(), time.monotonic()
    for index, row in task.share:
        recording = task.plan.recordings[index]
        for place, events in enumerate(_read(source, recording), row):
            wrong = complaint(events, source.height, source.width, rule.time_order)
            if wrong:
                sample = recording.samples[place - row]
                where = f" (sample {sample.name})" if len(recording.samples) > 1 else ""
                raise damaged(recording.path, wrong + where)
            frames = to_frames(events, source.height, source.width, rule)
            report.highest = max(report.highest, int(frames.max()))
            report.events += len(events.t)
            if frames.dtype > task.dtype:  # too narrow: the parent starts again with a wider type
                sender.send(report)
                return
            content = frames.astype(task.dtype).tobytes()
            _write_at(file, content, task.offset + place * len(content))
            report.rows.append((place, zlib.crc32(content)))
        if os.getppid() != task.parent:
            os._exit(1)  # the parent was killed: let go of its lock
        if time.monotonic() - last > _REPORT_S:
            sender.send(report)
            report, last = Report(), time.monotonic()
    sender.send(report)


def _read(source: EventSource, recording: Recording) -> Iterator[Events]:
    """The recording's samples; whatever a reader stumbles over comes out under the file's name."""
    try:
        yield from source.read(recording)
    except UserError:
        raise
    except Exception as error:
        raise damaged(recording.path, f"it cannot be read ({type(error).__name__}: {error})") from error


def _write_at(file: int, content: bytes, offset: int) -> None:
    rest = memoryview(content)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


class _Progress:
    """A bar on the terminal, and a line in the log at the beginning and at the end."""

    def __init__(self, name: str, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self.name, self.total, self.started = name, total, time.monotonic()
        self.bar = Progress(console=(console := Console(stderr=True)), disable=not console.is_terminal, transient=True)

    def __enter__(self) -> Any:
        logging.getLogger("snnbench").info("packing %d samples as %s", self.total, self.name)
        self.bar.start()
        bar_id = self.bar.add_task("packing", total=self.total)
        return lambda count: self.bar.advance(bar_id, count)

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
        if error[0] is None:
            seconds = time.monotonic() - self.started
            logging.getLogger("snnbench").info("packed in %.1f s", seconds)
