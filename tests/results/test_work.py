"""How long rows are said to take: every row is in the file, and one is counted by hand."""

import pytest

from scripts.estimate_rows import work_of
from scripts.tables import main
from snnbench.results.rows import read_rows
from snnbench.results.work import _stored, estimate

ROW = "plif/mnist_plifnet_t8"


def test_every_row_has_an_estimate():
    assert set(_stored()) == set(read_rows()[0])
    assert all(estimate(row).startswith("~") for row in _stored())
    assert estimate("plif/of_another_world") is None


def test_a_row_by_hand():
    first = 128 * 1 * 9 * 28 * 28  # a still image goes through its first convolution once
    second = 128 * 128 * 9 * 14 * 14
    linear = 128 * 7 * 7 * 2048 + 2048 * 100
    macs = first + 8 * (second + linear)
    counted, layers = work_of(ROW)
    assert counted == pytest.approx(1024 * macs * (3 * 60_000 + 10_000))
    assert layers == pytest.approx(1024 * 60_000 / 16 * 4)
    assert [counted, layers] == pytest.approx(_stored()[ROW], rel=0.01)


def test_the_list_of_rows_shows_it(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SNNBENCH_OUTPUTS", str(tmp_path))
    assert main(["rows", ROW, "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert f"{estimate(ROW)} [c]" in out
    assert "estimated from the operations" in out
