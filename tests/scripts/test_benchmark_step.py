"""The benchmark of whole steps checks, measures and writes."""

import json
import subprocess
import sys

from tests.conftest import ROOT


def test_a_case_is_checked_timed_and_written(tmp_path):
    out = tmp_path / "results" / "step.json"
    words = ["--networks", "resnet20", "--neurons", "lif", "--steps", "2", "--width", "8", "--batch", "2", "--against"]
    done = subprocess.run(
        [sys.executable, "scripts/benchmark_step.py", *words, "--seconds", "0.05", "--out", str(out)],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| resnet20 | lif |" in done.stdout
    (row,) = json.loads(out.read_text())["cases"]
    assert row["failures"] == {}
    assert set(row["over_dense"]) == {"auto", "dense", "plain"}
    assert row["over_dense"]["dense"] == 1.0
    assert 0 < row["firing_rate"] < 1
    assert max(row["distance_from_float64"].values()) < 1e-3
    assert row["saved_bytes"]["auto"] <= row["saved_bytes"]["dense"] < row["saved_bytes"]["plain"]
