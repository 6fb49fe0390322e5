"""What is said of a device and a precision before anything is trained."""

from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from snnbench.training import devices


@pytest.fixture(autouse=True)
def anew():
    devices.warn_of_bfloat16.cache_clear()
    yield
    devices.warn_of_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("precision", "accelerator", "supported", "warned"),
    [
        ("bf16-mixed", "cpu", False, True),
        ("bf16-mixed", "auto", False, not torch.accelerator.is_available()),
        ("bf16-mixed", "cpu", True, False),
        ("32-true", "cpu", False, False),
    ],
)
def test_bfloat16_that_the_cpu_lacks_is_warned_of_once(precision, accelerator, supported, warned, monkeypatch, caplog):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    cfg = OmegaConf.create({"trainer": {"precision": precision, "accelerator": accelerator}})
    with caplog.at_level("WARNING", "snnbench"):
        for _ in range(3):
            devices.check_device(cfg)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == warned
    assert all("18 times slower than 32-true. Set trainer.precision=32-true" in message for message in messages)
