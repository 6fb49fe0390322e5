"""Every key of every group with values that make no sense: refused in one line before there is a folder, or run."""

import contextlib
import io
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import hydra
import pytest
from omegaconf import DictConfig

from snnbench import cli, config
from snnbench.training import run as training
from tests.conftest import CONFIGS

# Among them they have every kind of neuron, optimizer, schedule, loss, norm and augmentation.
BASES = [
    [],
    ["neuron=glif", "optimizer=sgd", "schedule=cosine_periodic", "loss=tet", "norm=tdbn", "augment=crop_flip"],
    ["neuron=arlif", "optimizer=adam", "schedule=constant", "loss=bce", "norm=bn_per_step", "augment=trivial_mix"],
    ["neuron=lif", "optimizer=lamb", "loss=tet_one_hot", "augment=affine"],
    ["neuron=klif", "loss=rate_mse", "logger=tensorboard"],
    ["neuron=plif"],
    ["neuron=masked_psn"],
    ["neuron=sliding_psn"],
    ["neuron=clif"],
]
VALUES = (
    *("-1", "0", "-0.01", "1.5", "nan", "inf", "-inf", "1e30", "1" + "0" * 40, "1e-400", "true", "false", "null"),
    *("nope", "NULL", "[]", "[a]", "[1,2]", "[[1]]", "{}", "{a:1}", "''", "' '", "2", "18446744073709551616"),
)
SMALL = {
    "epochs": "1",
    "data.limit": "64",
    "backbone.width": "4",
    "T": "2",
    "batch_size": "32",
    "engine": "reference",
    "trainer.limit_train_batches": "1",
    "trainer.limit_val_batches": "1",
}
SLOW_TO_COMPILE = "compile"
LONGEST = 60  # seconds of one case


class Hang(BaseException):
    pass


@cache
def keys() -> list[tuple[tuple[str, ...], str]]:
    """Each key of each composed config, with the choices that bring it; a group of another base is there once."""
    config.register_schema()
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for words in BASES:
        with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
            cfg = hydra.compose("train", [*words, *([] if "logger=tensorboard" in words else ["logger=none"])])
        for key in _dotted("", cfg):
            if key.partition(".")[0] not in ("paths", SLOW_TO_COMPILE):
                brought = [word for word in words if key.startswith(word.partition("=")[0])]
                found.setdefault((key, str(brought)), tuple(words))
    return [(words, key) for (key, _), words in found.items()]


def _dotted(prefix: str, node: DictConfig) -> Iterator[str]:
    for key, value in node.items_ex(resolve=False):
        yield f"{prefix}{key}"
        if isinstance(value, DictConfig):
            yield from _dotted(f"{prefix}{key}.", value)


def commands(count: int, seed: int) -> Iterator[list[str]]:
    """One or two keys of a base, each with a value that may be none."""
    draw = random.Random(seed)
    for _ in range(count):
        words, key = draw.choice(keys())
        wrong = {key: draw.choice(VALUES)}
        if draw.random() < 0.3:
            wrong[draw.choice(keys())[1]] = draw.choice(VALUES)
        small = {k: v for k, v in SMALL.items() if not any(k == w or k.startswith(f"{w}.") for w in wrong)}
        logger = [] if any("logger" in word for word in (*words, *wrong)) else ["logger=none"]
        yield [*words, *logger, *(f"{k}={v}" for k, v in {**small, **wrong}.items())]


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """`faults(words)`: what is wrong with how the command ended, or None."""
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    made: list[Path] = []
    new_folder = training.new_folder

    def noted(cfg):
        made.append(new_folder(cfg))
        return made[-1]

    def late(number, frame):
        raise Hang

    monkeypatch.setattr(training, "new_folder", noted)
    monkeypatch.setattr("torch.set_num_threads", lambda count: None)
    before = signal.signal(signal.SIGALRM, late)

    def run(words: list[str]) -> str | None:
        outputs = tmp_path / "outputs"
        monkeypatch.setenv("SNNBENCH_OUTPUTS", str(outputs))
        monkeypatch.setenv("SNNBENCH_DATA", str(tmp_path / "data"))
        monkeypatch.setattr(sys, "argv", ["train.py", *words])
        made.clear()
        err = io.StringIO()
        signal.alarm(LONGEST)
        try:
            with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
                code = cli.main(training.train, CONFIGS, "train")
        except Hang:
            return "hangs"
        except BaseException as error:
            return f"raises {error!r}"
        finally:
            signal.alarm(0)
        left = [path for path in outputs.rglob("*") if path.is_file()]
        shutil.rmtree(outputs, ignore_errors=True)
        return _fault(code, err.getvalue(), made, left)

    yield run
    signal.signal(signal.SIGALRM, before)


def _fault(code: int, err: str, made: list[Path], left: list[Path]) -> str | None:
    if code == 0:
        return None if made else "0 without a run"
    if code == 1 and made and "Try a lower optimizer.lr" in err:  # it was run, and its numbers exploded
        return None
    lines = err.strip().splitlines()
    if code != 2 or made or left:
        return f"code {code}, folder {bool(made)}: {err[-300:]}"
    if not lines[0].startswith("error: ") or len(lines) > 2 or "traceback" in err.lower():
        return f"badly said: {err[-300:]}"
    return None


def test_hostile_values_are_refused_or_run(faults):
    found = {" ".join(words): fault for words in commands(60, seed=1) if (fault := faults(words))}
    assert found == {}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_more_hostile_values(faults, seed):
    found = {" ".join(words): fault for words in commands(200, seed) if (fault := faults(words))}
    assert found == {}


def test_the_bases_have_every_group_and_many_keys():
    groups = {key.partition(".")[0] for _, key in keys()}
    assert {*config.GROUPS, "callbacks", "logger", "T", "threads"} - {"paths"} <= groups
    assert len(keys()) > 120
