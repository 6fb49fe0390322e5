"""The rates that callbacks set, as optimizer steps meet them."""

from types import SimpleNamespace

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from snnbench.training.optim import CosineSchedule
from snnbench.training.rates import NewRates, PerBatch

EPOCHS, BATCHES = 3, 5


class Module(lightning.LightningModule):
    """Two groups of parameters, and the rates at which each optimizer step was made."""

    def __init__(self, schedule):
        super().__init__()
        self.a, self.b = (torch.nn.Parameter(torch.ones(())) for _ in range(2))
        self.schedule, self.met = schedule, []

    def training_step(self, batch, batch_idx):
        return (self.a + self.b) * batch[0].sum()

    def on_before_optimizer_step(self, optimizer):
        self.met.append([group["lr"] for group in optimizer.param_groups])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD([{"params": [self.a]}, {"params": [self.b], "lr": 0.2}], lr=0.4)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.schedule(optimizer), "interval": "epoch"}}


def train(schedule, folder, accumulate=1):
    module = Module(schedule)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS,
        callbacks=[PerBatch()],
        accumulate_grad_batches=accumulate,
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(TensorDataset(torch.ones(BATCHES, 1)), batch_size=1))
    return module.met


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_step_has_the_rate_of_its_fraction_of_the_epoch(tmp_path, accumulate):
    schedule = CosineSchedule(epochs=EPOCHS, warmup=1, warmup_lr=0.0, min_lr=0.1, after_warmup=True, per_batch=True)
    firsts = [epoch + first / BATCHES for epoch in range(EPOCHS) for first in range(0, BATCHES, accumulate)]
    expected = []
    for at in firsts:
        cosine = (1 + torch.tensor((at - 1) / (EPOCHS - 1) * torch.pi, dtype=torch.float64).cos().item()) / 2
        expected.append([at * peak if at < 1 else 0.1 + (peak - 0.1) * cosine for peak in (0.4, 0.2)])
    found = train(schedule, tmp_path, accumulate)
    assert found == [pytest.approx(rates, rel=1e-9) for rates in expected]


def test_a_warm_up_by_steps_goes_on_to_the_rate_of_a_schedule_that_got_more_epochs():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.4)
    old, new = (CosineSchedule(epochs=epochs, warmup_steps=8)(optimizer) for epochs in (2, 4))
    for scheduler in (old, new):
        optimizer.step()
        scheduler.step()
    new.load_state_dict(old.state_dict())
    trainer = SimpleNamespace(lr_scheduler_configs=[SimpleNamespace(scheduler=new)])
    NewRates().on_train_start(trainer, None)
    new.warm_up(3)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(CosineSchedule(epochs=4).lr(1, 0.4) / 2)
