"""The ways to write a read, of which each version of Python compiles some its own way: none may be missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import forms_flow  # noqa: F401
import pytest
import torch
from forms import ASIDE, FORMS, GAIN, Part
from forms_made import MANY, Fresh, getter
from reading import Neuron, compare

from snnbench.kernels import plans


@pytest.fixture
def put_back() -> Iterator[None]:
    yield
    GAIN.value = Fresh.gain = 1.5
    if "missing" in vars(Fresh):
        del Fresh.missing
    for drive, _ in FORMS.values():
        for variable in drive.__closure__ or ():
            variable.cell_contents = Part(1.5)


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_reading_is_missed(form: str, put_back: None) -> None:
    drive, change = FORMS[form]
    torch.manual_seed(0)
    neuron: Any = type("Formed", (Neuron,), {"drive": drive})()
    x = torch.randn(4, 2, 3)
    for name, value in {f"a{i}": 1.5 for i in range(MANY) if drive.__code__.co_nlocals > MANY}.items():
        setattr(neuron, name, value)
    neuron.parts, neuron.limit, neuron.digits = [Part(1.5), Part(1.5)], 1.5, 3
    neuron.parts[1].last_of_many = 1.5
    neuron.getters = [getter(part) for part in (*neuron.parts, Part(1.0))]
    before = compare(neuron, x)
    assert bool(plans.plan_of(neuron).obstacle) == (form in ASIDE), plans.plan_of(neuron).obstacle
    change(neuron)
    after = compare(neuron, x)
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True)), "the change changes nothing"
