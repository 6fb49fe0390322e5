"""One parser of result.json: what it refuses is refused everywhere, in the same words."""

import fcntl
import json
import os

import pytest

from snnbench import status
from snnbench.runs.read import read_ledger
from snnbench.runs.result import Unreadable, read_result, status_of, write_result


def test_what_is_written_is_read(lab, tmp_path):
    result = read_result(lab.runs["seed0"])
    write_result(tmp_path, result)
    assert read_result(tmp_path) == result == lab.result("seed0")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path, {**result, "final_loss": {"test/loss": float("nan")}})
    assert read_result(tmp_path) == result


def test_a_damaged_result_is_refused_everywhere_in_the_same_words(lab, command):
    folder = lab.runs["seed0"]
    (folder / "result.json").write_text('{"schema": 1, "status": "fin')
    with pytest.raises(Unreadable) as refused:
        read_result(folder)
    said = str(refused.value)
    assert said.startswith(f"{folder}: result.json is damaged (")
    assert read_ledger([folder]).problems == [said]
    for words in (("train", f"resume={folder}"), ("eval", f"run={folder}")):
        done = command(*words)
        assert (done.code, done.err) == (2, f"error: {said}\n")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "9" * 5000 + "}", "", "\x00", '{"schema": [[1]]}'])
def test_whatever_stands_there_ends_no_reader(lab, text):
    (lab.runs["seed0"] / "result.json").write_text(text)
    (lab.runs["seed1"] / "config.yaml").write_text(text)
    ledger = read_ledger([lab.outputs])
    assert len(ledger.problems) == 2
    assert len(ledger.runs) == len(lab.runs) - 2


def test_a_pipe_or_a_device_is_not_read(lab):
    for run, name in (("seed0", "result.json"), ("seed1", "config.yaml"), ("short", "metrics.csv")):
        (lab.runs[run] / name).unlink()
    os.mkfifo(lab.runs["seed0"] / "result.json")
    (lab.runs["seed1"] / "config.yaml").symlink_to("/dev/zero")
    os.mkfifo(lab.runs["short"] / "metrics.csv")
    ledger = read_ledger([lab.outputs])
    assert sorted("not a plain file" in problem for problem in ledger.problems) == [True, True]
    (short,) = (run for run in ledger.runs if run.folder == lab.runs["short"])
    assert short.curve == {}


def test_killed_is_one_rule_for_the_ledger_and_for_the_table_of_a_sweep(lab, capsys):
    lab.edit_result("seed0", status="running")
    lab.edit_result("seed1", status="running")
    jobs = [{"job": n, "words": [name], "folder": str(lab.runs[name])} for n, name in enumerate(("seed0", "seed1"))]
    with (lab.runs["seed1"] / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = [status_of(lab.runs[name], lab.result(name)) for name in ("seed0", "seed1")]
        status.print_table(jobs)
        by_folder = {run.folder: run.status for run in read_ledger([lab.outputs]).runs}
    assert found == ["killed", "running"]
    assert [by_folder[lab.runs[name]] for name in ("seed0", "seed1")] == found
    killed, running = (line for line in capsys.readouterr().out.splitlines() if line.startswith("│"))
    assert "killed" in killed
    assert "running" in running


def test_a_result_without_the_newest_keys_is_read(lab):
    """As of a version that recorded neither labels nor the energy."""
    result = lab.result("seed0")
    for key in ("labels", "energy", "peak_memory_bytes", "samples_per_second"):
        result.pop(key, None)
    (lab.runs["seed0"] / "result.json").write_text(json.dumps(result))
    assert read_ledger([lab.runs["seed0"]]).problems == []
