"""Locks of files: one holder at a time, whatever the file system knows, and none for the dead."""

import json
import os
import subprocess
import sys
import time
from multiprocessing import get_context

import pytest

from snnbench import holds
from snnbench.holds import Held, hold, holder
from snnbench.interrupt import sigterm_interrupts
from tests.conftest import ROOT


def test_one_holder_at_a_time_and_the_facts_outlive_him(tmp_path):
    path = tmp_path / "lock"
    with hold(path, folder="a") as held:
        held.tell(more=1)
        found = holder(path)
        assert (found.pid, found.facts) == (os.getpid(), {"folder": "a", "more": 1})
        with pytest.raises(Held, match=f"process {os.getpid()} on "), hold(path):
            pass
    assert holder(path) is None
    with hold(path) as held:
        assert held.facts == {"folder": "a", "more": 1}
    assert len(list(tmp_path.iterdir())) <= 2


def killed(path):
    code = "import os, signal; from pathlib import Path; from snnbench.holds import hold\n"
    code += f"with hold(Path({str(path)!r}), folder='x'):\n os.kill(os.getpid(), signal.SIGKILL)"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)


def test_of_a_killed_process_it_is_free_at_once_and_its_facts_are_there(tmp_path):
    killed(tmp_path / "lock")
    assert holder(tmp_path / "lock") is None
    with hold(tmp_path / "lock") as held:
        assert held.facts == {"folder": "x"}


def test_a_dead_child_that_nobody_waited_for_holds_nothing(tmp_path):
    code = "import sys, os; from pathlib import Path; from snnbench.holds import hold\n"
    code += f"with hold(Path({str(tmp_path / 'lock')!r})):\n print('x', flush=True); sys.stdin.read(); os._exit(0)"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes) as process:
        process.stdout.readline()
        assert holder(tmp_path / "lock").pid == process.pid
        process.stdin.close()
        deadline = time.monotonic() + 20
        while holder(tmp_path / "lock") is not None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert holder(tmp_path / "lock") is None
        assert process.returncode is None


def test_of_another_machine_the_heartbeat_decides(tmp_path):
    path = tmp_path / "lock.7"
    content = {"host": "node9", "machine": "another", "pid": 1, "started": "1", "facts": {"folder": "y"}}
    path.write_text(json.dumps(content))
    assert str(holder(tmp_path / "lock")) == "process 1 on node9"
    os.utime(path, (time.time() - holds.EXPIRY - 1,) * 2)
    with hold(tmp_path / "lock") as held:
        assert held.file.name == "lock.8"
        assert held.facts == {"folder": "y"}


def test_a_process_of_the_same_id_is_not_taken_for_the_holder(tmp_path):
    with hold(tmp_path / "lock") as held:
        content = json.loads(held.file.read_text())
    (tmp_path / "lock.9").write_text(json.dumps({**content, "started": "1"}))
    assert holder(tmp_path / "lock") is None


def test_the_holder_beats(tmp_path, monkeypatch):
    monkeypatch.setattr(holds, "BEAT", 0.01)
    with hold(tmp_path / "lock") as held:
        os.utime(held.file, (0, 0))
        time.sleep(0.3)
        assert held.file.stat().st_mtime > time.time() - 60


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', "\x00"])
def test_what_is_being_written_is_held_and_what_stays_damaged_is_not(tmp_path, text):
    (tmp_path / "lock.1").write_text(text)
    assert holder(tmp_path / "lock") is not None
    os.utime(tmp_path / "lock.1", (0, 0))
    assert holder(tmp_path / "lock") is None
    with hold(tmp_path / "lock"):
        pass


def test_a_full_disk_leaves_no_lock_behind(tmp_path, monkeypatch):
    def full(facts):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(holds, "_content", full)
        with pytest.raises(OSError, match="No space"), hold(tmp_path / "lock"):
            pass
    with hold(tmp_path / "lock"):
        pass


def _race(folder, times):
    """Count up a number in a file, unprotected but by the lock."""
    done = 0
    while done < times:
        try:
            with hold(folder / "lock"):
                value = int((folder / "count").read_text())
                (folder / "count").write_text(str(value + 1))
                done += 1
        except Held:
            pass


def test_many_processes_never_hold_it_together(tmp_path):
    (tmp_path / "count").write_text("0")
    context = get_context("fork")
    racers = [context.Process(target=_race, args=(tmp_path, 50)) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert (tmp_path / "count").read_text() == "200"


def test_who_was_silent_too_long_and_lost_it_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(holds, "BEAT", 0.05)
    with sigterm_interrupts(), hold(tmp_path / "lock") as held:
        other = json.loads(held.file.read_text()) | {"machine": "another"}
        (tmp_path / "lock.2").write_text(json.dumps(other))
        with pytest.raises(KeyboardInterrupt):
            time.sleep(20)


def test_a_wrong_clock_of_this_machine_takes_no_lock_away(tmp_path, monkeypatch):
    content = {"host": "node9", "machine": "another", "pid": 1, "started": "1", "facts": {}}
    (tmp_path / "lock.1").write_text(json.dumps(content))
    monkeypatch.setattr(holds.time, "time", lambda: 1e10)
    with pytest.raises(Held), hold(tmp_path / "lock"):
        pass


def test_a_process_of_another_user_that_cannot_be_seen_is_not_taken_for_dead(tmp_path, monkeypatch):
    with hold(tmp_path / "lock") as held:
        content = held.file.read_text()
    (tmp_path / "lock.5").write_text(content)

    def not_mine(pid, number):
        raise PermissionError

    def gone(pid, number):
        raise ProcessLookupError

    monkeypatch.setattr(holds, "_started", lambda pid: None)
    monkeypatch.setattr(holds.os, "kill", not_mine)
    assert holder(tmp_path / "lock").pid == os.getpid()
    monkeypatch.setattr(holds.os, "kill", gone)
    assert holder(tmp_path / "lock") is None
