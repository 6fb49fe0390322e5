"""These tests are about equations and run on the reference engine; the fused engines are compared with it elsewhere."""

from __future__ import annotations

import functools

import pytest

from snnbench.neurons import SpikingNeuron


@pytest.fixture(autouse=True)
def _reference_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    build = SpikingNeuron.__init__

    @functools.wraps(build)  # keeps the signature, which the config tests read
    def built(self: SpikingNeuron, *args: object, **options: object) -> None:
        build(self, *args, **{"engine": "reference", **options})

    monkeypatch.setattr(SpikingNeuron, "__init__", built)
