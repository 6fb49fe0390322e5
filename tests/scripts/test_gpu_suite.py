"""The GPU report's tests stage: which tests it takes, and what it says of them."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

TOY_TESTS = """
import pytest

@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("n", [1, 2])
def test_toy(device, n):
    assert n < LIMIT, f"{n} is too much"
"""


@pytest.mark.parametrize("gpu", ["H100", ""])
def test_tests_of_a_device_are_chosen_told_of_and_not_repeated(tmp_path, gpu):
    folder = tmp_path / "toys"
    folder.mkdir()
    (folder / "test_toy.py").write_text(TOY_TESTS.replace("LIMIT", "2"))
    (folder / "test_cuda_text.py").write_text("def test_text():\n    pass\n")
    (folder / "test_cuda_lacking.py").write_text("import hydra_that_is_missing\n")
    code = "import sys\nfrom on_gpu import suite, record\nsuite.TESTS = sys.argv[1]\nsuite.WORKERS = 1\n"
    code += f"r = record.Record(__import__('pathlib').Path(sys.argv[2]), 'tests', 60, {{'gpu': {{'name': {gpu!r}}}}})\n"
    code += "suite.run(r); r.close()\n"
    env = os.environ | {"PYTHONPATH": f"{ROOT}/scripts{os.pathsep}{ROOT}"}

    def run():
        words = [sys.executable, "-c", code, str(folder), str(tmp_path)]
        subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, check=True)
        return json.loads((tmp_path / "tests.json").read_text())

    found = run()
    rows = {row["case"].rpartition("/")[2]: row for row in found["rows"]}
    assert found["left"][0]["why"] == "'hydra_that_is_missing'"
    if not gpu:
        assert set(rows) == {"test_cuda_text.py"}
        assert found["state"] == "green"
        return
    toy = rows["test_toy.py"]
    assert (toy["passed"], toy["failed"]) == (1, 1)
    assert "2 is too much" in toy["failures"]["test_toy[2-cuda]"]
    assert found["state"] == "red"
    (folder / "test_toy.py").write_text(TOY_TESTS.replace("LIMIT", "3"))
    again = {row["case"].rpartition("/")[2]: row for row in run()["rows"]}["test_toy.py"]
    assert (again["passed"], again["failed"], again["wrong"]) == (2, 0, "")
