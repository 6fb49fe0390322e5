"""No folder, whatever lies in it, stops a reader, or makes it wait; the others are read, and it is named."""

import os
import random
import shutil
import signal
import traceback
from contextlib import suppress

import pytest
from omegaconf import OmegaConf

from scripts import compare, dashboard, sync_wandb, tables
from snnbench import sweep
from snnbench.config import CONFIGS, compose_row
from snnbench.errors import UserError
from snnbench.results.figures.kinds import KINDS
from snnbench.results.selection import select
from snnbench.runs.folder import open_folder
from snnbench.runs.read import read_ledger
from snnbench.runs.result import read_result
from tests.results.hostile_folders import FILES, PLACED, mutate
from tests.results.made_up_runs import of_row

ROW = "plif/mnist_plifnet_t8"
LONGEST = 60  # seconds of one reader
KEPT = ("seed0", "other_recipe", "subset")


@pytest.fixture
def outputs(lab, tmp_path):
    """Three real runs and a made-up one of a row with a curve."""
    found = tmp_path / "runs"
    for name in KEPT:
        shutil.copytree(lab.runs[name], found / name, ignore=shutil.ignore_patterns("checkpoints"))
    made = of_row(tmp_path / "made", ROW, [50.0 + epoch / 10 for epoch in range(100)])
    shutil.copy(lab.runs["seed0"] / "layers.csv", made)
    shutil.move(made, found / "row")
    return found


def readers(outputs, place):
    """Every reader of a folder of runs, by its name."""
    folder = str(outputs)

    def drawn():
        selection = select(read_ledger([outputs]), any_data=True)
        for kind in KINDS.values():
            kind.choose(selection.counted, "last_epoch")

    def planned():
        cfg = OmegaConf.create(compose_row(ROW))
        cfg.paths.outputs = folder
        sweep.describe(sweep.plan([((), cfg)]))

    def opened():
        for run in outputs.iterdir():
            with suppress(UserError):
                open_folder(str(run))
            with suppress(UserError):
                read_result(run)

    return {
        "tables": lambda: tables.main([folder]),
        "check": lambda: tables.main(["--check", ROW, folder]),
        "curve": lambda: tables.main(["--check", ROW, "--curve", folder]),
        "comparison": lambda: compare.main([folder, "--any-data", "--json", str(place / "c.json")]),
        "dashboard": lambda: dashboard.main([folder, "--output", str(place / "d.html")]),
        "figures": drawn,
        "wandb": lambda: sync_wandb.main([folder, "--plan"]),
        "sweep": planned,
        "eval and resume": opened,
    }


@pytest.fixture
def faults():
    """`faults(readers)`: what each of them had to say that was no answer."""

    def late(number, frame):
        raise TimeoutError("it waits")

    def read(found):
        wrong = []
        for name, reader in found.items():
            signal.alarm(LONGEST)
            try:
                reader()
            except (Exception, SystemExit) as error:
                line = traceback.extract_tb(error.__traceback__)[-1]
                wrong.append(f"{name}: {error!r} in {line.filename.rpartition('/')[2]}:{line.lineno}")
            finally:
                signal.alarm(0)
        return wrong

    before = signal.signal(signal.SIGALRM, late)
    yield read
    signal.signal(signal.SIGALRM, before)


def damaged(outputs, tmp_path, faults, rounds, seed):
    draw, found = random.Random(seed), {}
    for number in range(rounds):
        place = tmp_path / f"round{number}"
        shutil.copytree(outputs, place / "runs")
        done = [mutate(folder, draw) for folder in draw.sample(sorted((place / "runs").iterdir()), 3)]
        wrong = faults(readers(place / "runs", place))
        if wrong:
            found[" | ".join(done)] = wrong
        shutil.rmtree(place)
    return found


def test_folders_with_anything_in_them_stop_no_reader(outputs, tmp_path, faults, capsys):
    assert damaged(outputs, tmp_path, faults, rounds=8, seed=1) == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 15))
def test_many_more_of_them(outputs, tmp_path, faults, capsys, seed):
    assert damaged(outputs, tmp_path, faults, rounds=60, seed=seed) == {}


@pytest.mark.parametrize("how", PLACED)
def test_what_stands_in_the_place_of_a_file_is_named_in_one_line(outputs, faults, how):
    for name in FILES:
        folder = outputs / name
        shutil.copytree(outputs / "seed0", folder)
        (folder / name).unlink()
        PLACED[how](folder / name)
    assert faults({"ledger": lambda: read_ledger([outputs])}) == []
    ledger = read_ledger([outputs])
    kept = {run.folder.name for run in ledger.runs} | {run.folder.name for run, _ in ledger.copies}
    assert {*KEPT, "row"} <= kept
    for name in ("config.yaml", "result.json"):
        (problem,) = (line for line in ledger.problems if line.startswith(f"{outputs / name}:"))
        assert name in problem
        assert len(problem) < 300
        assert "\n" not in problem


def test_what_may_not_be_read_is_named(outputs, monkeypatch):
    opened = os.open

    def refusing(path, *rest, **more):
        if str(path).endswith("seed0/config.yaml"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *rest, **more)

    monkeypatch.setattr("os.open", refusing)  # as root, every file can be read
    ledger = read_ledger([outputs])
    assert f"{outputs / 'seed0'}: config.yaml cannot be read (Permission denied)" in ledger.problems
    assert len(ledger.runs) == 3


def test_a_lock_that_is_a_pipe_is_not_waited_for(outputs, faults):
    for name in KEPT:
        result = (outputs / name / "result.json").read_text()
        (outputs / name / "result.json").write_text(result.replace('"finished"', '"running"'))
        (outputs / name / ".lock").unlink(missing_ok=True)
    os.mkfifo(outputs / "seed0" / ".lock")
    (outputs / "subset" / ".lock").mkdir()
    (outputs / "other_recipe" / ".lock").symlink_to(".lock")
    assert faults({"ledger": lambda: read_ledger([outputs])}) == []
    assert {run.status for run in read_ledger([outputs]).runs} == {"killed", "finished"}


def test_papers_and_rows_that_are_none_are_named(tmp_path, capsys):
    assert tables.main(["--configs", str(tmp_path)]) == 2
    assert "papers.yaml: not the papers (FileNotFoundError" in capsys.readouterr().err
    for text in ("[", "[1]", "papers: 5", "papers: {}\nnot_runnable: [[1]]"):
        (tmp_path / "papers.yaml").write_text(text)
        assert tables.main(["--configs", str(tmp_path)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    shutil.copy(CONFIGS / "papers.yaml", tmp_path)
    rows = {"a": "row: []", "b": "row: {id: x, reported: 5}", "c": "[[[", "d": "row: {id: 1, paper: 2, reported: []}"}
    (tmp_path / "experiment" / "x").mkdir(parents=True)
    for name, text in rows.items():
        (tmp_path / "experiment" / "x" / f"{name}.yaml").write_text(text)
    os.mkfifo(tmp_path / "experiment" / "x" / "e.yaml")
    (tmp_path / "outputs").mkdir()
    assert tables.main([str(tmp_path / "outputs"), "--configs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(f"{name}.yaml: not a row (" in out for name in (*rows, "e"))


def test_a_file_may_be_as_large_as_a_run_makes_it_and_no_larger(tmp_path):
    from snnbench.files import read_bytes

    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", most=5) == b"12345"
    with pytest.raises(OSError, match="larger than"):
        read_bytes(tmp_path / "x", most=4)


def test_eval_and_resume_refuse_such_folders_in_one_line(command, outputs):
    for name in ("config.yaml", "result.json"):
        for how in ("a pipe", "an endless device", "a loop", "a folder", "a bomb", "deep lists", "a long number"):
            folder = outputs / f"{name}-{how.replace(' ', '-')}"
            shutil.copytree(outputs / "seed0", folder)
            (folder / name).unlink()
            PLACED[how](folder / name)
            for words in (("eval", f"run={folder}"), ("train", f"resume={folder}")):
                done = command(*words)
                assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
                assert name in done.err
