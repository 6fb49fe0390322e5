"""Imports go one way: every floor knows only those below it, and nothing imports in a circle."""

import subprocess
import sys

from tests.conftest import ROOT

LINT = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def test_no_import_runs_upwards_or_in_a_circle():
    """In a process of its own: import-linter switches off every logger that is there."""
    done = subprocess.run([sys.executable, "-c", LINT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
