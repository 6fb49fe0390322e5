"""The GPU report's machinery, with toy stages: limits, red gates, going on, budgets, rows that are there at once."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
from on_gpu import record, runner, table
from on_gpu.stages import Stage

TOYS = {
    "good": "record.measure({'one': lambda: {'value': 1}, 'two': lambda: {'value': 2}})",
    "wrong": "record.measure({'one': lambda: {'wrong': 'spikes differ'}, 'two': lambda: {'value': 2}})",
    "raises": "record.measure({'one': lambda: 1 / 0, 'two': lambda: {'value': 2}})",
    "nan": "record.measure({'one': lambda: {'value': float('nan')}})",
    "hangs": "record.measure({'one': lambda: {'value': 1}, 'two': lambda: sleeper()})",
    "dies": "record.measure({'one': lambda: {'value': 1}}); os._exit(3)",
    "slow": "record.measure({str(n): lambda: time.sleep(0.3) or {} for n in range(100)})",
}
HEAD = """
import os, subprocess, sys, time
from pathlib import Path

def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(os.environ["TOY_PID"]).write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)

def run(record):
    with Path(os.environ["TOY_RUNS"]).open("a") as file:
        file.write(__name__ + "\\n")
    """


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """`toys("good", "wrong", ...)`: stages of these; `toys.runs()` says which were begun."""
    code = tmp_path / "code"
    code.mkdir()
    for name, body in TOYS.items():
        (code / f"toy_{name}.py").write_text(HEAD + body + "\n")
    monkeypatch.setenv("PYTHONPATH", str(code))
    monkeypatch.setenv("TOY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("TOY_PID", str(tmp_path / "pid"))
    monkeypatch.setattr(runner, "LEAST", 0.5)

    def make(*names, seconds=20.0, **options):
        options = {"device": False, "gate": True, **options}
        return [Stage(name, f"about {name}", f"toy_{name}", seconds, **options) for name in names]

    make.runs = lambda: (tmp_path / "runs").read_text().split() if (tmp_path / "runs").exists() else []
    return make


def found(folder, stage):
    return json.loads((folder / f"{stage}.json").read_text())


def test_stages_run_in_order_and_a_finished_one_is_not_repeated(toys, tmp_path):
    ended = runner.report(toys("good"), tmp_path, 60, "")
    assert ended == {"good": "green"}
    rows = found(tmp_path, "good")["rows"]
    assert [(row["case"], row["value"]) for row in rows] == [("one", 1), ("two", 2)]
    again = runner.report(toys("good", "raises"), tmp_path, 60, "")
    assert again == {"good": "green (of a run before)", "raises": "red"}
    assert toys.runs() == ["toy_good", "toy_raises"]


def test_nothing_runs_behind_a_red_gate_but_on_request(toys, tmp_path):
    both = toys("wrong", "good")
    assert runner.report(both, tmp_path, 60, "") == {"wrong": "red", "good": "not begun: wrong is red"}
    assert not (tmp_path / "good.json").exists()
    assert runner.report(both, tmp_path, 60, "")["good"] == "not begun: wrong is red"  # the gate is shut still
    assert runner.report(both, tmp_path, 60, "", keep_going=True)["good"] == "green"
    assert toys.runs() == ["toy_wrong", "toy_good"]


def test_a_red_stage_that_is_no_gate_stops_nothing(toys, tmp_path):
    ended = runner.report([*toys("wrong", gate=False), *toys("good")], tmp_path, 60, "")
    assert ended == {"wrong": "red", "good": "green"}


def test_a_case_that_raises_has_its_error_and_the_next_one_runs(toys, tmp_path):
    runner.report(toys("raises", "nan"), tmp_path, 60, "", keep_going=True)
    one, two = found(tmp_path, "raises")["rows"]
    assert one["error"].startswith("ZeroDivisionError")
    assert two["value"] == 2
    assert "error" in found(tmp_path, "nan")["rows"][0]


def test_a_stage_that_hangs_is_ended_with_all_that_it_started(toys, tmp_path):
    began = time.monotonic()
    ended = runner.report(toys("hangs", seconds=4.0), tmp_path, 60, "")
    assert ended == {"hangs": "out of time"}
    assert time.monotonic() - began < 10
    left = found(tmp_path, "hangs")
    assert [row["case"] for row in left["rows"]] == ["one"]
    assert left["left"] == [{"case": "two", "why": "time"}]
    for pid in (tmp_path / "pid").read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_stage_that_dies_keeps_its_rows_and_shuts_the_gate(toys, tmp_path):
    ended = runner.report(toys("dies", "good"), tmp_path, 60, "")
    assert ended == {"dies": "broken", "good": "not begun: dies is red"}
    assert [row["case"] for row in found(tmp_path, "dies")["rows"]] == ["one"]
    assert "exit code 3" in found(tmp_path, "dies")["why"]


def test_what_does_not_fit_is_left_and_taken_up_by_the_next_run(toys, tmp_path):
    slow = toys("slow", seconds=6.0)
    assert runner.report(slow, tmp_path, 60, "") == {"slow": "out of time"}
    first = [row["case"] for row in found(tmp_path, "slow")["rows"]]
    left = [each["case"] for each in found(tmp_path, "slow")["left"]]
    assert first + left == [str(n) for n in range(100)]
    runner.report(slow, tmp_path, 60, "")
    second = [row["case"] for row in found(tmp_path, "slow")["rows"]]
    assert second[: len(first)] == first
    assert len(second) > len(first)


def test_a_budget_is_shared_and_what_it_does_not_reach_is_named(toys, tmp_path):
    slow, good = [*toys("slow", seconds=8.0), *toys("good", seconds=8.0)]
    began = time.monotonic()
    assert runner.report([slow, good], tmp_path, 8.0, "") == {"slow": "out of time", "good": "green"}
    assert time.monotonic() - began < 9
    assert runner.report([slow], tmp_path, 0.3, "")["slow"] == "not begun: the budget is spent"


def test_stages_that_do_not_run_have_no_share_of_the_budget(toys, tmp_path, capfd):
    runner.report(toys("good"), tmp_path, 60, "")
    capfd.readouterr()
    others = [*toys("good", seconds=8.0), *toys("wrong", seconds=8.0, device=True)]
    runner.report([*toys("raises", seconds=8.0, gate=False), *others], tmp_path, 8.0, "")
    assert "raises: about raises (8 s at most)" in capfd.readouterr().out


def test_what_a_stage_lacks_is_named(toys, tmp_path):
    lacking = toys("good", packages=("no_such_package",), tools=("no-such-tool",))
    ended = runner.report([*lacking, *toys("wrong", device=True)], tmp_path, 60, "")
    assert ended["good"] == "left out: without no_such_package, no-such-tool"
    assert ended["wrong"] == "left out: without a GPU"
    assert not (tmp_path / "good.json").exists()
    assert toys.runs() == []
    assert runner.report(toys("good"), tmp_path, 60, "")["good"] == "green"  # once it is there


def test_numbers_of_another_gpu_are_no_rows_of_this_one(tmp_path):
    there = record.Record(tmp_path, "kernels", 10, {"gpu": {"name": "H100"}})
    there.measure({"one": dict})
    there.close()
    assert record.read(tmp_path, "kernels", "H100")["state"] == "green"
    assert record.read(tmp_path, "kernels", "H200") == {}
    assert record.Record(tmp_path, "kernels", 10, {"gpu": {"name": "H200"}}).known("one") is None


def test_a_row_is_in_the_file_before_the_next_case_begins(tmp_path):
    seen = []
    first = record.Record(tmp_path, "toy", 10)
    first.measure({"one": dict, "two": lambda: seen.append(found(tmp_path, "toy")) or {}})
    assert [row["case"] for row in seen[0]["rows"]] == ["one"]
    assert (seen[0]["state"], seen[0]["current"]) == ("running", "two")


def test_the_table_holds_numbers_and_complaints(tmp_path):
    share = {"forward_share": 0.9, "backward_share": 0.8, "milliseconds": {"forward": 0.1234, "backward": 0.2}}
    kernels = record.Record(tmp_path, "kernels", 10)
    kernels.measure({"LIF": lambda: share, "GLIF": lambda: {"wrong": "1.0e-01 of the spikes differ"}})
    kernels.leave(["CLIF"], "time")
    text = table.write(tmp_path, {"kernels": kernels.close(), "step": "not begun: kernels is red"})
    assert "| LIF | 0.123 | 90% | 0.200 | 80% |" in text
    assert "- GLIF: wrong: 1.0e-01 of the spikes differ" in text
    assert "- left (time): CLIF" in text
    assert "## step: not begun: kernels is red" in text
    whole = json.loads((tmp_path / "report.json").read_text())
    assert whole["stages"]["kernels"]["state"] == "red"


def test_without_a_gpu_it_does_what_it_can_and_says_what_is_left(tmp_path):
    words = [sys.executable, str(ROOT / "scripts/gpu_report.py"), "--out", str(tmp_path / "out")]
    env = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*words, "--stages", "doctor", "kernels"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    if not record.name_of(found(tmp_path / "out", "doctor")):
        assert "## kernels: left out: without a GPU" in done.stdout
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(line.startswith("torch") for line in found(tmp_path / "out", "doctor")["rows"][0]["said"])
