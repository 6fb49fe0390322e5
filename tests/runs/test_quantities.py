"""The table of quantities: what is read out of a result, and how it is written."""

import math

import pytest

from snnbench.runs.quantities import ENERGY, FIRING_RATE, QUANTITIES, shown
from snnbench.runs.quantity import BYTE, PICOJOULE, Format, Quantity, finite
from snnbench.training.measure import MEASURES, measures


def test_every_quantity_stands_under_a_key_that_is_measured():
    assert {quantity.path.split(".")[0] for quantity in QUANTITIES.values()} <= MEASURES.keys()
    assert len({quantity.path for quantity in QUANTITIES.values()}) == len(QUANTITIES)
    assert all(key == quantity.key for key, quantity in QUANTITIES.items())


@pytest.mark.parametrize("key", ["status", "neuron", "energy"])
def test_a_key_is_measured_once(key):
    with pytest.raises(ValueError, match=f"{key}: this key of result.json is taken"):
        measures(key)(lambda module, history: 1)


def test_a_chosen_value_comes_with_its_epoch():
    result = {"accuracy": {"last_epoch": 90.5, "best_test_epoch": {"acc": 91, "epoch": 3}, "validation_chosen": None}}
    last, best, chosen = (QUANTITIES[key] for key in result["accuracy"])
    assert [(quantity.of(result), quantity.epoch_of(result)) for quantity in (last, best, chosen)] == [
        (90.5, None),
        (91, 3),
        (None, None),
    ]
    assert best.summary == "accuracy/best_test_epoch"


@pytest.mark.parametrize("value", [None, "high", True, [1.0], {}, {"acc": "1"}, math.nan, -math.inf, 10**400])
def test_what_is_no_finite_number_is_no_value(value):
    assert finite(value) is None
    assert FIRING_RATE.of({"firing_rate": value}) is None
    assert ENERGY.of({"energy": {"model": "45nm", "picojoule": value}}) is None


def test_energy_by_another_model_is_another_quantity():
    assert ENERGY.of({"energy": {"model": "45nm", "picojoule": 5.0}}) == 5.0
    for energy in ({"model": "lemaire", "picojoule": 5.0}, {"picojoule": 5.0}, None, "much"):
        assert ENERGY.of({"energy": energy}) is None


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (Format("fixed", 2), 91.005, "91.00"),
        (Format("significant", 4), 1234567.0, "1,235,000"),
        (Format("significant", 4), 0.00012345678, "0.0001235"),
        (Format("count"), 11250000, "11,250,000"),
        (Format("duration"), 59.94, "59.9 s"),
        (Format("duration"), 61 * 60, "1 h 1 min"),
    ],
)
def test_formats(form, value, text):
    assert form(value) == text


def test_values_beside_each_other_have_one_unit():
    unit = ENERGY.unit([2.0, None, 3.5e6])
    assert (unit.name, unit.size) == ("µJ", 1e6)
    assert (ENERGY.head(unit), ENERGY.number(2e4, unit)) == ("energy µJ", "0.02")
    assert ENERGY.unit([]).name == ENERGY.unit([0.5]).name == PICOJOULE[0].name
    assert ENERGY.text(40_677) == "40.68 nJ"
    assert QUANTITIES["peak_memory"].text(3 * 2**29) == f"1.5 {BYTE[-1].name}"
    wall = QUANTITIES["wall_time"]
    assert (wall.text(7200), wall.head(wall.unit([7200]))) == ("2 h 0 min", "wall time")
    assert FIRING_RATE.text(0.2) == "0.200 spikes per neuron and timestep"


def test_an_entry_that_cannot_be_shown_is_refused():
    with pytest.raises(ValueError, match="not an identifier"):
        Quantity("a b", "a", "a", "a")
    with pytest.raises(ValueError, match=r"shown in \['paper'\]"):
        Quantity("a", "a", "a", "a", shown=("paper",))


def test_places_keep_the_order_of_the_table():
    assert [quantity.key for quantity in shown("sweep")] == ["last_epoch", "best_test_epoch"]
    assert [quantity.key for quantity in shown("comparison")] == ["firing_rate", "energy"]
