"""lr_find=true: a learning rate is suggested, its command works, and no run is left."""

import re
import shlex
from types import SimpleNamespace

import pytest
import torch

from snnbench.training.find_lr import HIGHEST, LOWEST, STEPS, RangeTest, steepest
from snnbench.training.optim import CosineSchedule
from tests.conftest import TINY


def test_the_suggested_command_trains_with_what_was_found(command):
    found = command("train", *TINY, "threads=1", "neuron=lif", "optimizer.lr=0.5", "lr_find=true", "tags=[a b]")
    assert found.code == 0, found.err
    assert not found.outputs.exists()
    line = found.out.splitlines()[-1]
    words = shlex.split(line[line.index("train.py") :])[1:]
    rate = float(re.search(r"optimizer.lr=(\S+)", line)[1])
    assert LOWEST < rate <= HIGHEST
    done = command("train", *words)
    assert done.code == 0, done.err
    assert done.result()["tags"] == ["a b"]
    assert f"lr: {rate}" in (done.folder / "config.yaml").read_text()


def test_accumulated_gradients_give_the_same_answer(command):
    words = (*TINY, "threads=1", "neuron=lif", "lr_find=true", "batch_size=32")
    outs = [command("train", *words, f"trainer.accumulate_grad_batches={parts}").out for parts in (1, 2)]
    lowest = [float(re.search(r"lowest, ([\d.]+)", out)[1]) for out in outs]
    assert lowest[0] == pytest.approx(lowest[1], rel=0.2)  # norms see other batches
    assert all(f"loss of {STEPS} steps" in out for out in outs)


def test_only_what_a_schedule_changes_rises_and_no_warm_up_lowers_it():
    groups = [{"params": [torch.zeros(1)]}, {"params": [torch.zeros(1)], "lr": 0.01, "scheduled": False}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = CosineSchedule(epochs=3, warmup_steps=50)(optimizer)
    of_epochs = [SimpleNamespace(scheduler=schedule)]
    trainer = SimpleNamespace(optimizers=[optimizer], lr_scheduler_configs=of_epochs, global_step=STEPS - 1)
    test = RangeTest(0.1)
    test.on_train_start(trainer, None)
    test.on_train_batch_start(trainer, None, None, 0)
    schedule.warm_up(0)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([HIGHEST, 0.01])


def test_the_steepest_point_is_over_the_logarithm_and_before_the_minimum():
    rates = [10 ** (-6 + step / 20) for step in range(STEPS)]
    losses = [2 - 1 / (1 + (1e-3 / rate) ** 2) + (rate > 0.1) * 50 * rate for rate in rates]  # halfway down at 1e-3
    assert steepest(rates, losses) == pytest.approx(1e-3, rel=0.1)
    assert steepest(rates, [1 + rate for rate in rates]) is None
    assert steepest([], []) is None


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        (["-m", "lr_find=true", "seed=0,1"], "Leave out -m"),
        (["lr_find=true", "trainer.devices=2", "trainer.accelerator=cpu"], "trainer.devices=2"),
        (["lr_find=perhaps"], "lr_find"),
        (["lr_find=true", "neuron.v_th=-1"], "neuron.v_th=-1"),
        (["lr_find=true", "resume=outputs/x"], "leave out lr_find=true"),
    ],
)
def test_what_cannot_be_found_is_refused(command, words, needle):
    done = command("train", *words, *(word for word in TINY if "resume" not in "".join(words)))
    assert done.code == 2, done.err
    assert needle in done.err
    assert not done.outputs.exists()
