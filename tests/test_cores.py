"""How many cores are free, and what threads are chosen from that, from files as Linux has them."""

import os
import time

import pytest

from snnbench import cores

HZ = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine(cores=..., cgroup=..., files=...)`: a root with proc/ and sys/."""

    def make(number: int, files: dict[str, str] | None = None, cgroup: str = "", allowed: set[int] | None = None):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed or set(range(number)))
        write(tmp_path, {"proc/self/cgroup": cgroup, **(files or {})})
        return tmp_path

    return make


def write(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def stat(root, busy: list[float], idle: list[float], column: int = 0) -> None:
    """/proc/stat with so many busy and idle seconds of each core."""
    lines = []
    for core, (b, i) in enumerate(zip(busy, idle, strict=True)):
        counts = [0] * 10
        counts[column], counts[3] = round(b * HZ), round(i * HZ)
        lines.append(f"cpu{core} {' '.join(map(str, counts))}")
    write(root, {"proc/stat": "\n".join(["cpu  1 2 3 4 5 6 7 8 9 10", *lines, "intr 5 0", ""])})


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass, and that this process computes: `clock(wall, own)`."""
    now, own = [100.0], [5.0]
    times = os.times()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(os, "times", lambda: type(times)((own[0], 0.0, 0.0, 0.0, 0.0)))

    def pass_(wall: float, computing: float = 0.0) -> None:
        now[0] += wall
        own[0] += computing

    return pass_


# What a cgroup allows.


@pytest.mark.parametrize(
    ("cgroup", "files", "quota"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3.0),
        ("0::/a/b\n", {"a/b/cpu.max": "200000 100000\n", "a/cpu.max": "300000 100000\n"}, 2.0),
        ("0::/not/here\n", {"cpu.max": "400000 100000\n"}, 4.0),
        ("4:cpu,x:/job\n", {"cpu,x/job/cpu.cfs_quota_us": "50000\n", "cpu,x/job/cpu.cfs_period_us": "100000\n"}, 0.5),
        ("4:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2.5),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("4:memory:/\n", {"memory/cpu.cfs_quota_us": "100000\n", "memory/cpu.cfs_period_us": "100000\n"}, None),
        ("0::/\n", {"cpu.max": "nonsense\n"}, None),
        ("0::/\n", {"cpu.max": "100000 0\n"}, None),
        ("", {}, None),
    ],
)  # fmt: skip
def test_quotas_of_both_versions_and_of_the_groups_around(machine, cgroup, files, quota):
    root = machine(8, {f"sys/fs/cgroup/{name}": text for name, text in files.items()}, cgroup)
    assert cores.usable(root).quota == quota


def test_without_cgroups_there_is_no_quota(tmp_path):
    assert cores.quota(tmp_path) is None


def test_cores_that_share_their_units_count_once(machine):
    pairs = {core: f"{core % 4},{core % 4 + 4}\n" for core in range(8)}
    files = {f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list": text for core, text in pairs.items()}
    assert cores.usable(machine(8, files)).whole == 4
    assert cores.usable(machine(8, files, allowed={0, 4, 1})).whole == 2
    assert cores.usable(machine(8)).whole == 4  # the files are there still


# How many threads are worth having.


@pytest.mark.parametrize(
    ("number", "others", "quota", "threads"),
    [
        (2, 0.0, None, 2),
        (2, 0.3, None, 2),  # two at .7 of a core are faster than one
        (2, 0.6, None, 1),
        (2, 1.0, None, 1),
        (2, 2.0, None, 1),
        (2, 5.0, None, 1),
        (16, 0.05, None, 16),
        (16, 0.4, None, 15),  # sixteen at .6 of a core are as fast as ten
        (16, 12.0, None, 4),
        (8, 0.0, 2.5, 2),
        (8, 0.0, 0.5, 1),
        (8, 7.0, 4.0, 1),
    ],
)
def test_as_many_threads_as_are_done_soonest(number, others, quota, threads):
    assert cores.Usable(frozenset(range(number)), number, quota).threads(others) == threads


def test_others_on_the_second_half_of_shared_cores_leave_the_first():
    usable = cores.Usable(frozenset(range(16)), 8)
    assert [usable.threads(others) for others in (0, 4, 12)] == [8, 8, 4]


# What others do.


@pytest.mark.parametrize("column", [0, 1, 2, 5, 6, 7])  # user, nice, system, irq, softirq, steal
def test_what_others_keep_busy_is_seen_without_ones_own(machine, clock, column):
    root = machine(4)
    stat(root, [0, 0, 0, 0], [10, 10, 10, 10])
    watch = cores.Watch(root)
    clock(4.0, computing=3.0)
    stat(root, [4, 3, 0, 0], [10, 11, 14, 14], column)
    assert watch.others() == pytest.approx(1.0)


def test_waiting_for_a_disk_is_no_work(machine, clock):
    root = machine(2)
    stat(root, [0, 0], [0, 0])
    watch = cores.Watch(root)
    clock(4.0)
    stat(root, [4, 4], [0, 0], column=4)
    assert watch.others() == 0.0


def test_cores_that_are_not_ours_do_not_count(machine, clock):
    root = machine(4, allowed={2, 3})
    stat(root, [0, 0, 0, 0], [0, 0, 0, 0])
    watch = cores.Watch(root)
    clock(2.0)
    stat(root, [2, 2, 1, 0], [0, 0, 1, 2])
    assert watch.others() == pytest.approx(0.5)


def test_a_watch_that_has_just_begun_waits_a_moment(machine, clock):
    root = machine(2)
    stat(root, [0, 0], [0, 0])
    watch, began = cores.Watch(root), time.monotonic()
    stat(root, [cores.SHORTEST, 0], [0, cores.SHORTEST])
    assert watch.others() == pytest.approx(1.0, rel=0.1)
    assert time.monotonic() - began == pytest.approx(cores.SHORTEST)


@pytest.mark.parametrize(("text", "others"), [("1.25 9.0 9.0 3/90 77\n", 1.25), ("7.0 1 1 1/1 1\n", 2.0)])
def test_where_no_core_counts_the_load_is_taken(machine, clock, text, others):
    root = machine(2, {"proc/loadavg": text})
    assert cores.Watch(root).others() == others
    stat(root, [0, 0], [0, 0])  # as a sandbox has it, which never moves
    assert cores.Watch(root).others() == others


def test_where_nothing_tells_all_cores_are_free(machine, clock, monkeypatch):
    monkeypatch.delattr(os, "getloadavg")
    assert cores.Watch(machine(2)).others() == 0.0
