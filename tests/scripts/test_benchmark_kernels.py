import json
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import benchmark_kernels as benchmark


def test_the_script_measures_checks_and_writes(tmp_path):
    out = tmp_path / "results" / "kernels.json"
    words = ["--neurons", "LIF", "--sizes", "small", "--seconds", "0.05", "--against", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "scripts/benchmark_kernels.py", "--device", "cpu", *words],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| LIF T=4 float32 small |" in done.stdout
    written = json.loads(out.read_text())
    assert written["environment"]["versions"]["torch"] == torch.__version__.partition("+")[0]
    (row,) = written["cases"]
    assert row["failures"] == {}
    assert row["shape"] == [4, 8, 64, 8, 8]
    assert set(row["milliseconds"]) == {"copy", "fused", "reference"}
    assert row["saved_bytes"]["fused"] == row["tensor_bytes"]  # x alone
    assert row["saved_bytes"]["reference"] > 2 * row["tensor_bytes"]


def test_wrong_spikes_and_gradients_are_seen():
    s, g = (torch.rand(1000) > 0.5).float(), torch.randn(1000)
    assert benchmark.difference((s, g), (s, g)) is None
    assert "spikes differ" in benchmark.difference((1 - s, g), (s, g))
    assert "gradient differs" in benchmark.difference((s, g * 1.1), (s, g))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_gradient_in_half_precision_may_be_rounded_the_other_way(dtype):
    s, g = torch.ones(1000), torch.rand(1000).to(dtype) + 0.5
    step = torch.finfo(dtype).eps / 2 * torch.exp2(torch.floor(torch.log2(g.float())) + 1)  # to the next number
    assert benchmark.difference((s, (g.float() + step).to(dtype)), (s, g)) is None
    assert "gradient differs" in benchmark.difference((s, (g.float() + 4 * step).to(dtype)), (s, g))


def test_a_contestant_that_is_wrong_gets_no_time(monkeypatch):
    case = benchmark.Case("LIF", 2, torch.float32, "small", (2, 3, 4, 4), "cpu")
    real = benchmark.contestants

    def with_a_cheat(*given):
        found = real(*given)
        s, g = found["reference"]()
        return {**found, "cheat": lambda: (torch.ones_like(s), g)}

    monkeypatch.setattr(benchmark, "contestants", with_a_cheat)
    row = benchmark.run_case(case, set(), seconds=0.01)
    assert "spikes differ" in row["failures"]["cheat"]
    assert "cheat" not in row["milliseconds"]
    assert row["speedup"].keys() == {"copy", "reference"}


def test_without_a_reference_nothing_is_timed_and_the_row_says_why(monkeypatch):
    case = benchmark.Case("LIF", 2, torch.float32, "small", (2, 3, 4, 4), "cpu")
    real = benchmark.contestants

    def broken(*given):
        return {**real(*given), "reference": lambda: torch.zeros(2) @ torch.zeros(3)}

    monkeypatch.setattr(benchmark, "contestants", broken)
    row = benchmark.run_case(case, set(), seconds=0.01)
    assert "RuntimeError" in row["failures"]["reference"]
    assert set(row["milliseconds"]) == {"copy"}
    assert "n/a" in benchmark.markdown([row], [])


@pytest.mark.parametrize("neuron", benchmark.NEURONS)
def test_every_neuron_with_a_step_is_timed_as_it_stands(neuron):
    case = benchmark.Case(neuron, 3, torch.float32, "small", (2, 4, 5, 5), "cpu")
    layer = case.build("reference")
    assert type(layer).__name__ == neuron
    assert layer(case.input()).shape == (3, 2, 4, 5, 5)


@pytest.mark.parametrize("neuron", ["LIF", "GLIF", "ARLIF"])
def test_the_kernels_alone_run_for_every_neuron(neuron):
    case = benchmark.Case(neuron, 2, torch.float32, "small", (2, 3, 4, 4), "cpu")
    row = benchmark.kernel_alone(case, seconds=0.01)
    assert row["forward_over_copy"] > 0
    assert row["backward_over_read2write1"] > 0
