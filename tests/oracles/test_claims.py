"""No row claims more of the authors' code than its oracle says, and none less. Data alone: no network is run."""

import inspect

import pytest

from snnbench.results.rows import read_registry, read_rows
from tests.oracles import claims, test_network, test_oracle_settings
from tests.oracles.conftest import KNOWN
from tests.oracles.oracle import SYSTEMS, load

ROWS, _ = read_rows()
ORACLES = {row: load(system) for system in SYSTEMS for row in load(system).rows}
REGISTRY = read_registry()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_a_proof_where_an_oracle_stands_for_it(row):
    assert (ROWS[row].proof is not None) == (row in ORACLES)
    assert "proof" in ROWS[row].block, "proof: null says that nothing was compared"


@pytest.mark.parametrize("row", ORACLES)
def test_a_proof_is_what_the_oracle_says(row):
    oracle, proof = ORACLES[row], ROWS[row].proof
    equal = claims.compared(oracle, row, KNOWN)
    assert proof.oracle == oracle.system
    assert len(proof.commit) == 7
    assert claims.commit_of(oracle).startswith(proof.commit)
    assert proof.same_parts_as == (None if row == oracle.row else oracle.row)
    assert set(proof.compared) == equal
    assert set(proof.open) == claims.parts_of(row) - equal
    order = list(REGISTRY.parts)
    for parts in (proof.compared, proof.open):
        assert list(parts) == sorted(set(parts), key=order.index)


@pytest.mark.parametrize("row", ROWS)
def test_the_word_for_a_recipe_follows_from_its_proof(row):
    recipe, proof = ROWS[row].recipe, ROWS[row].proof
    assert recipe in REGISTRY.recipes
    assert (recipe == "exact") == (proof is not None and not proof.open and recipe not in ("approximate", "inferred"))
    assert recipe != "proved in part" or ROWS[row].proved
    assert recipe != "read" or proof is None
    if row in ORACLES and claims.known_to_differ(ORACLES[row].system, KNOWN):
        assert recipe in ("approximate", "inferred")


def test_no_row_stands_in_two_oracles_and_all_exist():
    assert len(ORACLES) == sum(len(load(system).rows) for system in SYSTEMS)
    assert ORACLES.keys() <= ROWS.keys()
    assert all(load(system).row in load(system).rows for system in SYSTEMS)


def test_every_comparison_of_a_system_is_of_a_part():
    others = {"test_every_row_of_the_system_is_the_one_that_was_compared"}
    found = {
        name
        for module in (test_network, test_oracle_settings)
        for name, test in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_") and "system" in inspect.signature(test).parameters
    }
    assert found - others == {test for tests in claims.TESTS.values() for test in tests}
    assert claims.TESTS.keys() <= REGISTRY.parts.keys()


@pytest.mark.parametrize(
    ("known", "part"),
    [
        ("test_gradients[glif_resnet18]", "gradients"),
        ("test_logits[eval-glif_resnet18]", "network"),
        ("test_logits[glif_resnet18-eval]", "network"),
        ("test_gradients[glif_resnet18_many]", None),
    ],
)
def test_what_is_known_to_differ_cannot_be_claimed(known, part):
    oracle = load("glif_resnet18")
    for row in oracle.rows:
        before = claims.compared(oracle, row, {})
        assert before - claims.compared(oracle, row, {known: "why"}) == ({part} - {None})


def test_a_row_of_other_parts_or_settings_cannot_claim_them(monkeypatch):
    oracle = load("arlif_cifar10dvs_vggsnn")
    everything = set(claims.TESTS)
    assert claims.compared(oracle, "arlif/cifar10dvs_vggsnn_t4", {}) == everything
    assert claims.compared(oracle, "arlif/cifar10dvs_vggsnn_t16", {}) == everything - {"settings"}  # batch 16, not 32
    assert claims.compared(oracle, "arlif/cifar10dvs_vggsnn_t4_hard", {}) == set()


def test_the_loss_of_mixed_labels_is_compared_where_a_row_mixes_them():
    whole, mixed = load("clif_resnet18"), load("clif_resnet18_mix")
    row = "clif/cifar10_resnet18_t4_mix"  # of the same parts but for what mixes the labels
    assert set(claims.TESTS) - claims.compared(whole, row, {}) == {"loss", "settings"}
    assert claims.compared(mixed, row, {}) == set(claims.TESTS)


def test_starts_that_no_oracle_has_are_open():
    oracle = load("dalif_resnet19")  # how alpha and beta start is not known
    assert "initialization" not in claims.compared(oracle, oracle.row, {})
