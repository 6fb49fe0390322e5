"""python scripts/benchmark_events.py [--out benchmarks/results/events.json] [--quick]

Measures what event data cost: events to frames against tonic's ToFrame, a training batch from the packed cache against
integrating its recordings on the fly, and the packing itself. Frames are compared first; nothing is timed that differs.
Exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # works in a checkout that is not installed

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

from snnbench import terminal  # noqa: E402
from snnbench.data.events import AEDAT2, EventData  # noqa: E402
from snnbench.data.events.cifar10dvs import CLASSES  # noqa: E402
from snnbench.data.events.frames import Events, FrameRule, to_frames  # noqa: E402
from snnbench.files import write_json  # noqa: E402
from snnbench.runs.environment import environment  # noqa: E402

T, SIZE, BATCH = 16, 128, 32
TARGETS = {"frames": 10.0, "batch": 20.0, "memory_bytes": 2 * 2**30, "cores_used": 1.5}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "events.json")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    words = parser.parse_args()
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    frames = [benchmark_frames(count, 3 if words.quick else 30) for count in (100_000, 300_000, 1_000_000)]
    with tempfile.TemporaryDirectory(prefix="snnbench-events-") as folder:
        packing, loading = benchmark_cache(Path(folder), files=10 if words.quick else 40)
    met = {
        "frames": all(row["times_faster"] >= TARGETS["frames"] for row in frames),
        "batch": loading["times_faster"] >= TARGETS["batch"],
        "memory_bytes": packing["anonymous_peak_bytes"] < TARGETS["memory_bytes"],
        # on a busy machine it says nothing about the code
        "cores_used": packing["cores_used"] >= min(TARGETS["cores_used"], packing["cores"]) if load < 1 else None,
    }
    words.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "load_before": load,
        "frames": frames,
        "packing": packing,
        "loading": loading,
        "targets": TARGETS,
        "met": met,
    }
    write_json(words.out, {"benchmark": "events", "environment": environment(), **result})
    for row in frames:
        print("{events} events to frames: {ms:.2f} ms, tonic {tonic_ms:.2f} ms, x {times_faster:.1f}".format(**row))
    print("batch of {batch}: {ms:.2f} ms, on the fly {on_the_fly_ms:.0f} ms, x {times_faster:.0f}".format(**loading))
    print(
        "packing: {samples_per_second:.0f} samples/s, {events_per_second:.2e} events/s, {cores_used:.2f} of {cores} "
        "cores, {mib:.0f} MiB anonymous".format(**packing, mib=packing["anonymous_peak_bytes"] / 2**20)
    )
    print(f"targets met: {met}")
    return 0 if all(value is not False for value in met.values()) else 1


def random_events(seed: int, count: int) -> Events:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, SIZE, (2, count), dtype=np.int16)
    return Events(x, y, rng.integers(0, 2, count, dtype=np.int8), np.sort(rng.integers(0, 1_300_000, count)))


def fastest_ms(run: Callable[[], object], repeats: int) -> float:
    """Of several runs, since other work on the machine only ever adds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def benchmark_frames(count: int, repeats: int) -> dict[str, Any]:
    """Against tonic's own ToFrame, on the structured array that its data sets yield."""
    from tonic.transforms import ToFrame

    events = random_events(count, count)
    kinds = [("x", np.int16), ("y", np.int16), ("p", bool), ("t", np.int64)]
    structured = np.empty(count, kinds)
    for name in ("x", "y", "p", "t"):
        structured[name] = getattr(events, name)
    tonic, rule = ToFrame((SIZE, SIZE, 2), n_event_bins=T), FrameRule(T, "number", "drop")

    def ours() -> Any:
        return to_frames(Events(*(structured[name] for name in ("x", "y", "p", "t"))), SIZE, SIZE, rule)

    np.testing.assert_array_equal(ours(), tonic(structured))
    ms, tonic_ms = fastest_ms(ours, repeats), fastest_ms(lambda: tonic(structured), repeats)
    return {"events": count, "T": T, "sensor": SIZE, "ms": ms, "tonic_ms": tonic_ms, "times_faster": tonic_ms / ms}


class OnTheFly(Dataset[Any]):
    """Reads and integrates each recording whenever it is asked for, with the same fast code that packs."""

    def __init__(self, source: AEDAT2, rule: FrameRule) -> None:
        self.source, self.rule, self.recordings = source, rule, source.recordings()

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        (events,) = self.source.read(self.recordings[index])
        frames = to_frames(events, SIZE, SIZE, self.rule).astype(np.uint8)
        return torch.from_numpy(frames), self.recordings[index].samples[0].label


def benchmark_cache(root: Path, files: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Packing `files` recordings of 200,000 events for each of ten classes, then reading batches of them."""
    events = 200_000
    write_recordings(root, files, events)
    common = {"name": "cifar10dvs", "in_channels": 2, "num_classes": 10, "image_size": SIZE, "seed": 0}
    data = EventData(
        sources={"aedat2": AEDAT2}, source="aedat2", root=root, cache=root / "packed", split="last10pct_lexicographic",
        T=T, subset=True, batch_size=BATCH, eval_batch_size=BATCH, drop_last=True, **common,
    )  # fmt: skip
    before, start = os.times(), time.perf_counter()
    with anonymous_memory() as peak:
        data.prepare_data()
    seconds, after = time.perf_counter() - start, os.times()
    used = sum(after[:4]) - sum(before[:4])
    cores, count = len(os.sched_getaffinity(0)), 10 * files
    packing = {
        "samples": count, "events_each": events, "seconds": seconds, "samples_per_second": count / seconds,
        "events_per_second": count * events / seconds, "cores": cores, "cores_used": used / seconds,
        "anonymous_peak_bytes": peak[0],
    }  # fmt: skip
    data.setup("fit")
    assert data.pack is not None
    fly = OnTheFly(data.source, data.rule)  # type: ignore[arg-type]
    for index in (0, count // 2, count - 1):
        np.testing.assert_array_equal(fly[index][0].numpy(), data.pack.frames[index])

    loader, slow = data.train_dataloader(), DataLoader(fly, BATCH, shuffle=True, drop_last=True, num_workers=0)
    ms = fastest_ms(lambda: deque(loader, maxlen=0), 9) / len(loader)
    on_the_fly_ms = fastest_ms(lambda: deque(slow, maxlen=0), 2) / len(slow)
    batch = next(iter(loader))
    cast_ms = fastest_ms(lambda: data.on_after_batch_transfer(batch, 0), 5)
    loading = {"batch": BATCH, "T": T, "sensor": SIZE, "ms": ms, "on_the_fly_ms": on_the_fly_ms, "cast_ms": cast_ms}
    return packing, {**loading, "times_faster": on_the_fly_ms / ms}


def write_recordings(root: Path, files: int, count: int) -> None:
    for label, name in enumerate(CLASSES):
        folder = root / AEDAT2.folder_name / name
        folder.mkdir(parents=True)
        for number in range(files):
            x, y, p, t = (values.astype(np.int64) for values in random_events(1000 * label + number, count))
            body = np.stack([(127 - x) << 8 | (127 - y) << 1 | (1 - p), t], 1).astype(">u4").tobytes()
            (folder / f"cifar10_{name}_{number}.aedat").write_bytes(b"#!AER-DAT2.0\r\n" + body)


@contextmanager
def anonymous_memory() -> Iterator[list[int]]:
    """The peak, in bytes, of the anonymous memory that this process and its children come to hold meanwhile."""
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], sum(map(anonymous, family())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def family() -> list[int]:
    pid = os.getpid()
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())] if children.exists() else [pid]


def anonymous(pid: int) -> int:
    """A page that forked processes share counts once in all."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss_Anon")), 0)


if __name__ == "__main__":
    sys.exit(terminal.run(main))
