"""A neuron that a user writes: fused with nothing more to do, and told clearly where it cannot be."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import shim
import torch
from compare import Fixed, close, outcome
from torch import nn

from snnbench import kernels
from snnbench.errors import UserError
from snnbench.kernels import bind
from snnbench.kernels.engines import cuda
from snnbench.neurons import LIF, SpikingNeuron


class Adaptive(SpikingNeuron):
    states = ("v", "a")

    def __init__(self, **options):
        super().__init__(**options)
        self.decay = nn.Parameter(torch.linspace(-1, 1, self.channels))

    def coefficients(self):
        return {"decay": self.decay}

    def step(self, x, state, c, spike):
        h = torch.sigmoid(c["decay"]) * state["v"] + torch.where(x > 0, x, 0.5 * x)
        s = spike(h - self.v_th - state["a"])
        return s, {"v": self.reset(h, s), "a": 0.9 * state["a"] + 0.1 * s}


def check(engine: str, device: str, run: Any = kernels.run) -> None:
    torch.manual_seed(0)
    neuron = Adaptive(channels=5).to(device)
    x, g = torch.randn(6, 3, 5, 4, device=device), torch.randn(6, 3, 5, 4, device=device)
    g_final = torch.randn(3, 5, 4, device=device)
    state = {"v": torch.rand(3, 5, 4, device=device), "a": torch.rand(3, 5, 4, device=device)}
    reference = outcome(Fixed(neuron, "reference"), x, state, g, g_final)
    fused = outcome(Fixed(neuron, engine), x, state, g, g_final, run)
    tolerance = 1e-6 if device == "cpu" else 4e-6
    assert torch.equal(fused.spikes, reference.spikes)
    assert close(fused.grad_x, reference.grad_x, tolerance)
    assert close(fused.grad_coefficients["decay"], reference.grad_coefficients["decay"], 1e-5)
    for key in state:
        assert close(fused.final[key], reference.final[key], tolerance)
        assert close(fused.grad_state[key], reference.grad_state[key], tolerance)


def test_the_users_neuron_is_fused(device: str) -> None:
    check(device, device)


def test_the_users_neuron_has_a_cuda_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load", shim.load)
    check("reference", "cpu", shim.run)


class Broken(LIF):
    def __init__(self, **options):
        super().__init__(**options)
        self.gain = nn.Parameter(torch.tensor(1.5))
        self.register_buffer("floor", torch.tensor(0.1))


class Captures(Broken):
    def step(self, x, state, c, spike):
        return super().step(self.gain * x, state, c, spike)


class CapturesBuffer(Broken):
    def step(self, x, state, c, spike):
        return super().step(x + self.floor, state, c, spike)


class Branches(Broken):
    def step(self, x, state, c, spike):
        return super().step(x if x.sum() > 0 else 2 * x, state, c, spike)


class InPlace(Broken):
    def step(self, x, state, c, spike):
        state["v"] += x
        return super().step(x, state, c, spike)


class Unknown(Broken):
    def step(self, x, state, c, spike):
        return super().step(torch.special.i0(x), state, c, spike)


class Sums(Broken):
    def step(self, x, state, c, spike):
        return super().step(x / x.mean(), state, c, spike)


class Random(Broken):
    def step(self, x, state, c, spike):
        return super().step(x + torch.rand_like(x), state, c, spike)


BAD = {
    Captures: "parameter 'gain'",
    CapturesBuffer: "buffer 'floor'",
    Branches: "cannot be fused",
    InPlace: "in-place",
    Unknown: "aten.i0.default has no kernel",
    Sums: "aten.mean.default has no kernel",
    Random: "draws random numbers with aten.rand_like.default",
}


@pytest.mark.parametrize("kind", BAD)
def test_what_cannot_be_fused_is_named(kind: type, device: str, caplog: pytest.LogCaptureFixture) -> None:
    x = torch.randn(3, 2, 4, device=device)
    with pytest.raises(UserError, match=f"engine={device}") as error:
        kind(engine=device).to(device)(x)
    assert BAD[kind] in str(error.value)
    assert kind.__name__ in str(error.value)
    assert "test_user_neuron.py:" in str(error.value)

    bind._tell.cache_clear()
    with caplog.at_level(logging.INFO, "snnbench"):
        for _ in range(3):
            torch.manual_seed(0)
            fallen_back = kind().to(device)(x.clone())
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert BAD[kind] in warnings[0].getMessage()
    torch.manual_seed(0)
    assert torch.equal(fallen_back, kind(engine="reference").to(device)(x.clone()))


def test_a_neuron_may_say_that_it_is_not_fusable(caplog: pytest.LogCaptureFixture) -> None:
    class Declines(LIF):
        not_fusable = "it would rather not"

    with caplog.at_level(logging.WARNING, "snnbench"):
        Declines()(torch.randn(3, 2, 4))
    assert not caplog.records
    with pytest.raises(UserError, match="it would rather not"):
        Declines(engine="cpu")(torch.randn(3, 2, 4))


@pytest.mark.parametrize("engine", ["cuda"])
def test_an_engine_for_another_device_is_refused(engine: str) -> None:
    with pytest.raises(UserError, match=r"engine=cuda: the input is on cpu"):
        LIF(engine=engine)(torch.randn(3, 2, 4))
