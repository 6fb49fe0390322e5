"""Every command that is printed can be pasted: read by the shell and then by Hydra, it means what it was made of."""

import json
import logging
import os
import random
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from snnbench import commands
from snnbench.errors import UserError

HOSTILE = [
    "a=b", "a,b", "[x]", "{x:1}", "a b", "it's", 'say "x"', "$HOME", "${seed}", "\\${x}", "~x", "~", "ü", "-x", "--",
    "a\nb", "back\\slash\\", "semi;colon", "a&b|c", "`id`", "!x", "#x", "*?", "null", "1e5", "1_000", "12:30", "true",
    "nan", "(x)", "<x>", " x ", "\ttab", "x'\"\\'\"", "@x", "%x", "+x", "a:b", "\udcff",
]  # fmt: skip


def read_back(line, key):
    """The value that the command gives `key`, after the shell, Hydra's parser and OmegaConf."""
    program, script, *words = shlex.split(line)
    assert program == "python"
    assert script.endswith(".py")
    override = next(o for o in OverridesParser.create().parse_overrides(words) if o.key_or_group == key)
    cfg = OmegaConf.create({key: None})
    OmegaConf.update(cfg, key, override.value())
    return cfg[key]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("below", ["", "outputs", "/tmp/x"])
def test_a_path_of_any_characters_comes_back(name, below):
    path = Path(below) / name
    assert Path(read_back(commands.train(resume=path), "resume")) == Path(commands.typed(path))
    assert os.path.abspath(commands.typed(path)) == os.path.abspath(path)


def test_any_text_comes_back():
    draw = random.Random(0)
    letters = "ab/=,[]{}()'\"\\$~ü \n\t#:;%!*?-+.1e@&|<>`^\r0_nul"
    for _ in range(3000):
        text = "".join(draw.choice([*letters, "${", "\\$", '\\"']) for _ in range(draw.randint(1, 8)))
        found = read_back(commands.evaluate(run=text, energy=True), "run")
        assert (found, type(found)) == (text, str)


def test_plain_words_stay_plain(monkeypatch):
    monkeypatch.chdir(commands.ROOT)
    assert commands.train(resume="outputs/digits/2026-s0") == "python train.py resume=outputs/digits/2026-s0"
    assert commands.train("-m", neuron="lif", T=4) == "python train.py -m neuron=lif T=4"
    assert commands.override("row", None) == "row=null"


def test_the_command_is_named_as_it_was_typed(monkeypatch):
    monkeypatch.setenv(commands.AS_TYPED, "1")
    assert commands.train("-m", resume="outputs/digits/2026-s0") == "snnbench train -m resume=outputs/digits/2026-s0"
    assert commands.command("scripts/prepare_data.py", "nmnist", "T=4") == "snnbench prepare-data nmnist T=4"
    monkeypatch.setattr("sys.argv", ["/somewhere/train.py", "neuron=lif"])
    assert commands.this() == "snnbench train neuron=lif"


def test_a_script_describes_itself_by_the_name_it_was_called_by(monkeypatch):
    text = "python scripts/sync_wandb.py outputs\npython train.py -m\npython -m snnbench.kernels.show T=4"
    monkeypatch.delenv(commands.AS_TYPED, raising=False)
    assert commands.described(text) == text
    monkeypatch.setenv(commands.AS_TYPED, "1")
    assert commands.described(text) == "snnbench sync-wandb outputs\nsnnbench train -m\nsnnbench show-kernels T=4"


def test_the_script_is_found_from_where_the_command_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = shlex.split(commands.train())[1]
    assert Path(script).resolve() == commands.ROOT / "train.py"


def finished(folder, capfd):
    from snnbench.training import report

    result = {"name": "x", "seed": 0, "provenance": "real", "accuracy": {"last_epoch": 90.0}}
    report.finished(folder, result)
    text, _, _ = capfd.readouterr().out.partition("\nfolder: ")
    return text[text.index("energy of a sample: ") :], "run"


def interrupted(folder, capfd):
    from snnbench.training import report

    report.interrupted(folder, any_epoch=True, why="interrupted")
    return capfd.readouterr().err, "resume"


def full_disk(folder, capfd):
    from snnbench.training.checkpoint import AtomicCheckpointIO

    with pytest.raises(UserError) as caught:
        AtomicCheckpointIO().save_checkpoint({}, folder / "checkpoints" / "last.ckpt")
    return str(caught.value), "resume"


def exists(folder, capfd):
    from snnbench.runs.folder import new_folder

    paths = {"output_dir": commands.literal(str(folder)), "outputs": "outputs"}
    with pytest.raises(UserError) as caught:
        new_folder(OmegaConf.create({"paths": paths, "name": "x", "seed": 0}))
    return str(caught.value), "resume"


def dashboard(folder, capfd):
    from snnbench.results.dashboard.entries import _later

    return _later(SimpleNamespace(status="finished", folder=folder, result={}))["energy"], "run"


@pytest.mark.parametrize("hint", [finished, interrupted, full_disk, exists, dashboard])
@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("~", "--", "\udcff")])
def test_every_hint_of_a_run_can_be_pasted(tmp_path, monkeypatch, capfd, hint, name):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / f"x{name}" if name.startswith((" ", "\t")) else tmp_path / name
    folder.mkdir()
    if hint is full_disk:
        (folder / "checkpoints").write_text("not a folder")
    text, key = hint(folder, capfd)
    line = text[text.index("python ") :]
    assert os.path.abspath(read_back(line, key)) == str(folder)


def test_the_upload_of_an_offline_log_can_be_pasted(tmp_path, monkeypatch, caplog):
    from snnbench.training import loggers

    folder = tmp_path / "a b=[c]"
    monkeypatch.setattr(loggers.build, "make", lambda *_, **__: SimpleNamespace(log_hyperparams=lambda _: None))
    monkeypatch.setattr(loggers, "begin_wandb", lambda *_: None)
    monkeypatch.setattr(loggers, "has_wandb_key", lambda: False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger = {"_target_": "x.WandbLogger", "offline": False, "save_dir": str(folder)}
    with caplog.at_level(logging.INFO, logger="snnbench"):
        loggers.build_loggers(OmegaConf.create({"logger": logger, "paths": {"output_dir": str(folder)}}))
    text = caplog.messages[-1]
    program, script, given = shlex.split(text[text.index("python ") :])
    assert (program, script.rpartition("/")[2]) == ("python", "sync_wandb.py")
    assert os.path.abspath(given) == str(folder)


def test_the_commands_of_figures_and_comparisons_compose(tmp_path, capsys):
    from scripts.compare import main as compare
    from snnbench.config import CONFIGS
    from snnbench.overrides import CommandLine
    from snnbench.results.figures.kinds import KINDS

    lines = [commands.train(*kind.command) for kind in KINDS.values()]
    assert compare([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    lines.append(said[said.index("python ") :])
    for line in lines:
        typed = CommandLine.read(shlex.split(line)[2:], CONFIGS, "train")
        typed.check()
        assert typed.multirun
        assert len(typed.parsed) == len(typed.overrides) > 0
        for _, group, name in typed.choices():
            assert name in typed.options(group) or (CONFIGS / group / f"{name}.yaml").is_file()


def test_overrides_are_read_from_a_recorded_command():
    from snnbench.runs.recipe import overrides

    recorded = shlex.join(["python", "train.py", "optimizer.lr=1", "paths.output_dir=a b=c", 'data.root="x y"'])
    assert overrides(recorded) == ["optimizer.lr=1"]
    assert overrides("python train.py 'T=3") == ["'T=3"]


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    from snnbench import config
    from snnbench.kernels.engines.cache import cache_dir

    monkeypatch.setenv("HOME", str(tmp_path))
    cfg = OmegaConf.create({"paths": {"data": "~/d", "outputs": "~", "output_dir": None}, "resume": "~/r"})
    config.at_home(cfg)
    assert (cfg.paths.data, cfg.paths.outputs, cfg.resume) == (f"{tmp_path}/d", str(tmp_path), f"{tmp_path}/r")
    monkeypatch.setenv("SNNBENCH_CACHE", "~/c")
    (tmp_path / "c").mkdir(mode=0o700)
    assert cache_dir() == tmp_path / "c"


def test_a_sweep_below_the_home_folder_lies_there(command, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNNBENCH_OUTPUTS", "~/runs")
    monkeypatch.chdir(tmp_path)
    done = command("train", "-m", "--plan", "T=1,2")
    assert done.code == 0, done.err
    assert not (tmp_path / "~").exists()
    monkeypatch.setenv("SNNBENCH_DATA", "~/data")
    words = ("epochs=1", "data.limit=64", "backbone.width=4", "T=1", "logger=none", "engine=reference")
    assert command("train", *words).code == 0
    (folder,) = (tmp_path / "home" / "runs").glob("*/*/result.json")
    assert json.loads(folder.read_text())["status"] == "finished"
    assert not (tmp_path / "~").exists()


def test_a_run_in_a_hostile_folder_is_resumed_by_the_line_that_was_printed(command, tmp_path, monkeypatch):
    from snnbench.training.module import SpikingClassifier

    folder = tmp_path / "a=b, [c] {d} 'e' \"f\" ${g} ü\\"
    words = ("epochs=2", "data.limit=64", "backbone.width=4", "T=1", "logger=none", "engine=reference")
    start = SpikingClassifier.on_train_epoch_start

    def stop(self):
        if self.current_epoch == 1:
            raise KeyboardInterrupt
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(SpikingClassifier, "on_train_epoch_start", stop)
        done = command("train", *words, commands.override("paths.output_dir", folder))
    assert done.code == 130, done.err
    line = done.err[done.err.index("python ") :]
    assert command("train", *shlex.split(line)[2:]).code == 0
    assert json.loads((folder / "result.json").read_text())["status"] == "finished"
    measured = command("eval", *shlex.split(commands.evaluate(run=folder))[2:])
    assert (measured.code, "is exactly" in measured.out) == (0, True), measured.err
