"""A step that writes, draws or reads what cannot be watched is left to the reference; tracing leaves no traces."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import effects
import effects_within
import numpy as np
import pytest
import torch
from effects import SETTINGS, WRITES, offset
from effects_within import COUNTING
from reading import Neuron, Said, outcome

from snnbench.kernels import plans


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    yield
    set_back()


def set_back() -> None:
    effects.GAIN = SETTINGS.GAIN = 1.5
    offset.by = 0.5
    effects_within.TOTAL = 1.5
    COUNTING.__closure__[0].cell_contents = 1.5


def state_of(neuron: Any) -> list[Any]:
    """All that a step of WRITES might change."""
    own = {k: v for k, v in vars(neuron).items() if k not in ("iterator", "engine")}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    generators += (
        neuron.generator.get_state(),
        neuron.random.getstate(),
        str(neuron.numpy_generator.bit_generator.state),
    )
    others = effects.GAIN, SETTINGS.GAIN, offset.by, type(neuron).shared, neuron.config.inner.value, neuron.slots.value
    others += (COUNTING.__closure__[0].cell_contents, effects_within.TOTAL)
    kept = [own.keys(), neuron.number, neuron.numbers, neuron.table, neuron.array.tolist(), neuron.buffer.clone()]
    return copy.deepcopy([str(part) for part in (*kept, *generators, *others, neuron.layer.gain)])


@pytest.mark.parametrize("case", WRITES)
def test_a_step_with_effects_is_left_alone(case: str, said: Said) -> None:
    def make() -> Any:
        set_back()
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        neuron = type("Writing", (Neuron,), {"drive": drive, "shared": 1.5})()
        neuron.generator, neuron.random = torch.Generator().manual_seed(0), random.Random(0)
        neuron.numpy_generator, neuron.iterator = np.random.default_rng(0), iter(range(10_000))
        neuron.many, neuron.large = [1.5] * 2000, torch.full((2000,), 1.5)
        return neuron

    drive, named = WRITES[case]
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    neuron = make()
    before = state_of(neuron)
    assert plans.plan_of(neuron).obstacle
    assert state_of(neuron) == before, "tracing has left traces"
    results, after = [outcome(neuron, x) for _ in range(3)], state_of(neuron)
    neuron = make()
    assert all(torch.equal(a, b) for r in results for a, b in zip(r, outcome(neuron, x, "reference"), strict=True))
    assert state_of(neuron) == after
    assert named in said.line()
    assert "Writing.step" in said.line()
