"""Imports go one way: every floor knows only those below it, and nothing imports in a circle."""

from importlinter.cli import lint_imports

from tests.conftest import ROOT


def test_no_import_runs_upwards_or_in_a_circle(capsys):
    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == 0, capsys.readouterr().out
