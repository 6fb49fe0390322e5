"""The numbers in the rows against the sources' numbers, copied by hand into reported.yaml."""

from collections import Counter
from pathlib import Path

import yaml

from snnbench.results.rows import read_registry, read_rows
from snnbench.runs.deployed import of_rows, read_deployed

SOURCES = yaml.safe_load((Path(__file__).parent / "reported.yaml").read_text())
MILESTONES, ALSO, DEPLOYED, QUOTED = (SOURCES.pop(key) for key in ("milestones", "also", "deployed", "not_runnable"))
REPORTED = {
    f"{paper}/{net}_{variant}": acc
    for paper, nets in SOURCES.items()
    for net, values in nets.items()
    for variant, acc in values.items()
}
ROWS, PROBLEMS = read_rows()


def test_every_row_file_can_be_read():
    assert PROBLEMS == []


def test_the_rows_are_those_of_the_sources():
    assert set(ROWS) == set(REPORTED)


def test_every_row_reports_what_its_source_does():
    assert {id: row.acc for id, row in ROWS.items()} == REPORTED


def test_milestones_and_further_values():
    assert {id: row.milestones for id, row in ROWS.items() if row.milestones} == MILESTONES
    also = {id: [value["acc"] for value in row.block["also"]] for id, row in ROWS.items() if "also" in row.block}
    assert also == ALSO


def test_networks_run_with_another_neuron_report_what_their_source_does():
    """In the order of its columns, which is that of the thresholds: 1 - v_reset, as the membrane is seen from there."""
    found = dict(of_rows(ROWS, read_deployed()))
    assert {trained: [row.acc for row in own] for trained, own in found.items()} == DEPLOYED
    for trained, own in found.items():
        soft = [row for row in own if row.neuron["v_reset"] is None]
        assert [row.name for row in soft] == (["soft"] if ROWS[trained].acc in (95.41, 78.36) else [])
        thresholds = [row.neuron["v_th"] for row in own if row not in soft]
        assert thresholds == [1.0, 1.02, 1.04, 1.06, 1.08, 1.1]
        assert {row.neuron["v_reset"] for row in own} <= {None, 0.0}
        assert {row.checkpoint for row in own} == {"best"}
        assert all(row.source in read_registry().sources for row in own)


def test_published_rows_that_cannot_be_run_are_listed_with_their_values():
    copied = [
        (paper, method, data, T, acc)
        for paper, methods in QUOTED.items()
        for method, sets in methods.items()
        for data, values in sets.items()
        for T, acc in values
    ]
    listed = [(q.paper, q.method, q.data, q.T, q.acc) for q in read_registry().quoted]
    assert Counter(listed) == Counter(copied)
    assert all(quoted.reason for quoted in read_registry().quoted)
