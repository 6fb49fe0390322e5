"""What labels say of runs that differ: as little as tells them apart."""

import pytest

from snnbench.results.selection import distinctions

ATAN = {"neuron.surrogate.name": "atan", "neuron.surrogate.alpha": 2.0}
TANH = {"neuron.surrogate.name": "tanh", "neuron.surrogate.k": 3.0}


@pytest.mark.parametrize(
    ("configs", "texts"),
    [
        ([ATAN, ATAN], ["", ""]),
        ([ATAN, TANH], ["surrogate.name atan", "surrogate.name tanh"]),
        ([TANH, {**TANH, "neuron.surrogate.k": 4.0}], ["surrogate.k 3", "surrogate.k 4"]),
        (
            [{**ATAN, "neuron.tau": 2.0}, {**TANH, "neuron.tau": 4.0}],
            ["surrogate.name atan, tau 2", "surrogate.name tanh, tau 4"],
        ),
        ([{"norm.v_th": 1.0}, {}], ["norm.v_th 1", "norm.v_th absent"]),
    ],
)
def test_options_that_follow_from_a_name_are_left_out(configs, texts):
    assert distinctions(configs) == texts


def test_what_alone_tells_two_apart_stays():
    found = distinctions([ATAN, TANH, {**TANH, "neuron.surrogate.k": 4.0}])
    assert len(set(found)) == 3
    assert "surrogate.k 4" in found[2]
