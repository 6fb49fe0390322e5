"""Commands end quietly and with the right code wherever their output goes, and fit a terminal of any width."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from snnbench import terminal
from snnbench.runs.read import read_ledger
from tests.conftest import CONFIGS, ROOT
from tests.results.made_up_runs import run

SPLIT = "µ ± ─│ ü \udcff \N{MULTIPLICATION SIGN} …"


def child(main, out, *, encoding="utf-8", prints=True, err=None):
    """The exit code of `main` as a command of its own, its standard output being `out`; and what went to stderr."""
    log, place = os.pipe()
    number = os.fork()
    if number == 0:
        os.dup2(place if err is None else err, 2)
        if out is None:
            os.close(1)
            sys.stdout = None
        else:
            os.dup2(out, 1)
            sys.stdout = io.TextIOWrapper(io.FileIO(1, "wb", closefd=False), encoding, "strict", line_buffering=True)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "wb", closefd=False), encoding, "strict", write_through=True)
        try:
            code = terminal.run(main, prints=prints)
        except BaseException as error:
            os.write(place, f"raised {error!r}".encode())
            code = 99
        os._exit(code)
    os.close(place)
    with open(log, "rb") as file:
        said = file.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), said


@pytest.fixture
def nobody():
    """A pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def full():
    place = os.open("/dev/full", os.O_WRONLY)
    yield place
    os.close(place)


@pytest.fixture
def outputs(tmp_path):
    for neuron in ("lif", "dalif"):
        for T in (2, 4):
            run(tmp_path / "outputs", neuron, T)
    return tmp_path / "outputs"


def scripts(outputs):
    from scripts import compare, dashboard, figures, prepare_data, publish_code, sync_wandb, tables
    from snnbench import doctor
    from snnbench.guide.text import print_help
    from snnbench.kernels import show

    folder = str(outputs)
    return {
        "tables": (lambda: tables.main([folder]), 0),
        "tables of nothing": (lambda: tables.main(["--check", "arlif/cifar10_resnet18_t4", folder]), 2),
        "what can be run": (lambda: tables.main(["rows", folder]), 0),
        "help": (lambda: print_help([], CONFIGS, "train"), 0),
        "help of rows": (lambda: print_help(["rows"], CONFIGS, "train"), 0),
        "compare": (lambda: compare.main([folder]), 0),
        "compare nothing": (lambda: compare.main([str(outputs / "run0")]), 2),
        "dashboard": (lambda: dashboard.main([folder]), 0),
        "figures": (lambda: figures.main([folder, "--kind", "grid", "--output", f"{folder}/f"]), 2),
        "sync_wandb": (lambda: sync_wandb.main([folder, "--plan"]), 0),
        "prepare_data": (lambda: prepare_data.main(["digits", f"paths.data={folder}"]), 0),
        "publish_code": (lambda: publish_code.main(["--help"]), 0),
        "doctor": (doctor.main, 0),
        "show": (lambda: show.main(["neuron=lif"]), 0),
    }


NAMES = list(scripts(Path("x")))


@pytest.mark.parametrize("name", NAMES)
def test_a_script_whose_reader_is_gone_ends_quietly_with_its_own_code(outputs, nobody, name):
    main, code = scripts(outputs)[name]
    said = child(main, nobody)
    assert said[0] == code, said[1]
    assert "Traceback" not in said[1]
    assert "BrokenPipe" not in said[1]


def test_so_it_does_where_stdout_is_closed_or_has_no_such_letters(outputs):
    main, _ = scripts(outputs)["tables"]
    assert child(main, None) == (0, "")
    reader, writer = os.pipe()
    code, said = child(lambda: print(SPLIT) or 0, writer, encoding="ascii")
    os.close(writer)
    assert (code, said) == (0, "")
    assert os.read(reader, 100) == b"u +- -| \\xfc \xff x ...\n"
    os.close(reader)


@pytest.mark.parametrize("width", ["80", "120"])
@pytest.mark.parametrize("name", ["tables", "what can be run", "compare", "help", "help of rows"])
def test_a_terminal_of_ascii_gets_lines_that_fit(outputs, monkeypatch, tmp_path, name, width):
    monkeypatch.setenv("COLUMNS", width)
    main, code = scripts(outputs)[name]
    for encoding in ("ascii", "utf-8"):
        path = tmp_path / encoding
        with path.open("wb") as file:
            assert child(main, file.fileno(), encoding=encoding) == (code, "")
        lines = path.read_bytes().decode(encoding).splitlines()
        long = [line for line in lines if len(line) > int(width) and str(outputs) not in line]
        assert len(lines) > 5
        assert long == [] or (encoding == "ascii" and all("+-" in line for line in long))  # ± is a sign, +- are two


def test_a_full_disk_is_said_and_fails_what_only_prints(outputs, full):
    main, _ = scripts(outputs)["tables"]
    code, said = child(main, full)
    assert code == 1
    assert said == "error: the output could not be written: No space left on device\n"
    assert child(lambda: print("x") or 0, full, prints=False)[0] == 0
    assert child(lambda: print("x") or 3, full)[0] == 3


def test_exits_and_interruptions_have_their_codes(nobody):
    def refuse():
        sys.exit("no")

    def interrupt():
        raise KeyboardInterrupt

    assert child(refuse, nobody) == (1, "no\n")
    assert child(interrupt, nobody) == (130, "")


@pytest.mark.parametrize("where", ["nobody", "full", "ascii", "closed"])
def test_a_training_is_finished_wherever_its_output_went(tmp_path, monkeypatch, nobody, full, where):
    from snnbench import cli
    from snnbench.training.run import train

    words = ["epochs=1", "data.limit=64", "backbone.width=4", "T=1", "logger=none", "engine=reference"]
    folder = tmp_path / "µ ± run"
    monkeypatch.setattr(sys, "argv", ["train.py", *words, f'paths.output_dir="{folder}"'])
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    sink = {"nobody": nobody, "full": full, "ascii": os.open(os.devnull, os.O_WRONLY), "closed": None}[where]
    encoding = "ascii" if where == "ascii" else "utf-8"
    code, said = child(lambda: cli.main(train, CONFIGS, "train"), sink, encoding=encoding, prints=False, err=sink)
    assert code == 0, said
    assert json.loads((folder / "result.json").read_text())["status"] == "finished"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_what_a_run_and_an_evaluation_print_fits_and_is_whole(capsys, monkeypatch, width):
    from snnbench import terminal
    from snnbench.training.report import energy_table

    monkeypatch.setenv("COLUMNS", str(width))
    counts = {"ac": 1.23456789e9, "mac": 9.8e8, "picojoule": 5.5e9, "ann_mac": 1.8e9}
    name = "stages.3.blocks.1.convolution2"
    layers = {name: {"input": "averages", "input_rate": 0.123, **counts}}
    energy = {"model": "45nm", "samples": 10000, "ann_picojoule": 8e9, "layers": layers, **counts}
    terminal.console().print(energy_table(energy))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    first = "".join(line.split("│")[1].strip() for line in lines if line.startswith("│"))
    assert first == f"{name}all"
    assert "…" not in "".join(lines)


def test_every_command_is_protected():
    files = [ROOT / "train.py", ROOT / "eval.py", *(ROOT / "scripts").glob("*.py"), *(ROOT / "snnbench").rglob("*.py")]
    commands = [path for path in files if '\nif __name__ == "__main__":' in path.read_text()]
    assert len(commands) > 10
    assert [path.name for path in commands if "terminal.run(" not in path.read_text()] == []


def test_a_machine_whose_locale_knows_ascii_alone_can_train_and_read(tmp_path):
    """In processes of their own: Python asks for the locale when it starts."""
    outputs = tmp_path / os.fsdecode(b"r\xc3\xbc\xff")  # of which the last byte is no UTF-8
    words = ["epochs=1", "data.limit=64", "backbone.width=4", "T=1", "logger=none", "engine=reference"]
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **ascii_only, "SNNBENCH_OUTPUTS": str(outputs)}
    for command in (["train.py", *words], ["scripts/dashboard.py", str(outputs)], ["scripts/tables.py", str(outputs)]):
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert b"digits-convnet-dalif-T1" in done.stdout
    ledger = read_ledger([outputs])
    assert (len(ledger.runs), ledger.problems) == (1, [])
