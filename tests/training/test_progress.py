"""The progress of a training: what fits a terminal, what a pipe gets, what is forecast."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console


class Trainer(SimpleNamespace):
    """What the progress asks of Lightning's trainer."""

    num_training_batches, max_epochs, current_epoch, is_global_zero = 1000, 400, 0, True
    num_val_batches, check_val_every_n_epoch = [300], 1


def progress(monkeypatch, job="", step=0.2, **options):
    """Shows an epoch, its evaluation and a bit; what was printed, and the bar's last line where there is one."""
    from snnbench.training import progress
    from snnbench.training.module import Meter

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "classifier", lambda module: module)
    monkeypatch.setattr(progress.status, "place", lambda: job)
    values = {"test/acc": 91.234, "test/loss": 0.4567, "train/acc": 95.5, "train/loss": 0.1}
    meter = Meter()
    meter.update(torch.tensor(0.1239), torch.zeros(1, 4, 2), torch.zeros(4, dtype=torch.long))
    module = SimpleNamespace(epoch_values=values, meters={"fit": meter}, eval_names=["test"])
    trainer, shown = Trainer(), progress.Progress()
    shown._console = Console(file=io.StringIO(), **options)
    shown.on_train_start(trainer, module)
    for epoch in (0, 1):
        trainer.current_epoch = epoch
        for batch in range(1000 if epoch == 0 else 10):
            now[0] += step if epoch or batch >= 3 else 25 * step  # the first steps compile
            shown.on_train_batch_end(trainer, module, None, None, batch)
        if epoch == 0:
            for batch in range(300):
                now[0] += step / 3
                shown.on_validation_batch_end(trainer, module, None, None, batch)
            shown.on_train_epoch_end(trainer, module)
    bar = Console(width=shown._console.width, file=io.StringIO(), force_terminal=True, color_system=None)
    if shown._bar:
        bar.print(shown._bar.get_renderable())
    shown.on_train_end(trainer, module)
    return shown._console.file.getvalue(), bar.file.getvalue()


def seconds(text):
    """Of 22:09:58."""
    hours, minutes, rest = map(int, text.split(":"))
    return 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize("job", ["", "job 3 of 12"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_keeps_epoch_time_left_loss_and_accuracy_and_leaves_a_line(monkeypatch, width, job):
    text, bar = progress(monkeypatch, job, force_terminal=True, width=width, color_system=None)
    (line,) = bar.splitlines()
    assert len(line) <= width
    for part in ("epoch 2/400", " left", "loss 0.124", "test 91.23 %", "job 3/12" if job else ""):
        assert part in line
    history = [
        line for line in text.replace("\r", "\n").splitlines() if "epoch 1/400  test 91.23 % (loss 0.457)" in line
    ]
    assert len(history) == 1
    assert "train 95.50 % (loss 0.1)" in history[0]
    assert text.count("forecast by") == 1


def test_a_pipe_has_a_line_at_once_each_minute_of_an_epoch_and_after_each(monkeypatch):
    text, bar = progress(monkeypatch, "job 3 of 12", width=80)
    assert bar == ""
    lines = text.splitlines()
    assert all(line.startswith(("job 3/12  epoch 1/400", "forecast")) for line in lines)
    assert lines[0] == "job 3/12  epoch 1/400 begins; 1,000 steps an epoch"
    within = [line.removeprefix("job 3/12  epoch 1/400  ") for line in lines[1:-1] if not line.startswith("forecast")]
    assert [line.partition(" ")[0] for line in within] == ["0", "35", "65", "95"]  # %: a minute after each line
    assert all("loss 0.124" in line for line in within)
    assert lines[-1].startswith("job 3/12  epoch 1/400  test 91.23 % (loss 0.457)  train 95.50 % (loss 0.1)  ")
    each = (997 * 0.2 + 20) / 0.997  # without the first steps
    assert seconds(lines[-1].split()[-2]) == pytest.approx(399 * each, abs=1)


def test_the_whole_is_forecast_from_the_first_steps_its_evaluations_included(monkeypatch):
    text, _ = progress(monkeypatch, width=80)
    (line,) = (line for line in text.splitlines() if line.startswith("forecast"))
    words = line.split()
    assert line == f"forecast by 54 steps: {words[4]} for 400 epochs, 3:40 each"
    assert seconds(words[4]) == pytest.approx(400 * (200 + 20), rel=0.01)


def test_a_short_training_is_not_forecast(monkeypatch):
    monkeypatch.setattr(Trainer, "max_epochs", 2)
    assert "forecast" not in progress(monkeypatch, step=0.012, width=80)[0]  # 13 seconds an epoch
