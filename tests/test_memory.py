"""Memory is used again by commands that train, on glibc, and by nobody who only imports the package."""

import platform
import subprocess
import sys

import pytest

from snnbench import memory
from tests.conftest import ROOT

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's")
FAULTS = """
import resource, sys
{}
import numpy
def work():
    for _ in range(10):
        numpy.ones(1 << 23)  # 64 MiB
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(before: str, **environ: str) -> int:
    """Pages that the system had to bring for the same work done again."""
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environ}
    words = [sys.executable, "-c", FAULTS.format(before)]
    return int(subprocess.run(words, capture_output=True, text=True, env=environ, check=True).stdout)


@glibc
def test_what_was_freed_is_used_again_also_by_processes_that_are_started():
    assert faults("from snnbench import memory; assert memory.reuse()") < 100
    assert faults("", **memory.INHERITED) < 100


@glibc
def test_importing_changes_nothing():
    assert faults("import snnbench, snnbench.cli, snnbench.memory") > 100


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "MALLOC_MMAP_MAX_"])
def test_a_user_who_says_so_is_left_alone(name):
    environ = {name: "1"}
    assert not memory.reuse(environ)
    assert environ == {name: "1"}


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda *args: ("", ""))
    environ = {}
    assert not memory.reuse(environ)
    assert environ == {}


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's")
def test_the_peak_is_not_that_of_the_process_before():
    """Linux carries the peak of a process over to what it starts."""
    start = "import numpy, subprocess, sys; big = numpy.ones(50_000_000)"
    words = start + "; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    child = "from snnbench import memory as m; print(m.peak(), m.resource.getrusage(0).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", words, child], cwd=ROOT, capture_output=True, text=True, check=True)
    own, carried = map(int, done.stdout.split())
    assert own < 2e8 < carried * 1024
