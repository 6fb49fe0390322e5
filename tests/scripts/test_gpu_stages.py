"""The stages of the GPU report, as far as a machine without one can run them: small cases, and what tools print."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import jelly
from baselines import Case
from on_gpu import counters, kernels, odd, rivals, sanitizer, step, training
from on_gpu.record import Record
from on_gpu.stages import STAGES
from whole_step import contestants

SMALL = {"steps": 2, "batch": 4, "width": 4, "size": 16, "device": "cpu", "seconds": 0.02}


def test_every_stage_has_a_module_that_runs_and_a_table():
    from on_gpu import table

    assert set(table.TABLES) == {stage.name for stage in STAGES}
    for stage in STAGES:
        assert (ROOT / "scripts" / (stage.module.replace(".", "/") + ".py")).exists()


@pytest.mark.parametrize("neuron", kernels.NEURONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_fused_spikes_and_all_gradients_are_checked_before_a_time(neuron, dtype, monkeypatch):
    case = Case(neuron, 4, dtype, "conv", (2, 4, 8, 8), "cpu")
    assert kernels.check(case) is None
    real = kernels.outcome

    def other(layer, x, g):
        s, gx, gradients = real(layer, x, g)
        off = 1.0 if layer.engine == "reference" else 1.02
        return (s, gx, {name: value * off for name, value in gradients.items()}) if gradients else (s, gx * off, {})

    monkeypatch.setattr(kernels, "outcome", other)
    assert "gradient" in kernels.check(case)


def test_all_kernels_have_as_many_values_whatever_T():
    shapes = {kernels.case_of("LIF", steps, dtype, "cpu").shape for steps, dtype in kernels.ORDER}
    assert {steps for steps, _ in kernels.ORDER} == {1, 2, 4, 8, 16, 32}
    assert len(kernels.ORDER) == len(set(kernels.ORDER)) == 18
    assert {kernels.FRAMES // shape[0] * torch.Size(shape).numel() for shape in shapes} == {1 << 26}


@pytest.mark.parametrize(("neuron", "mixed"), [("LIF", None), ("DALIF", "bfloat16")])
def test_a_step_is_measured_without_configs(neuron, mixed):
    row = step.row_of(step.Case(neuron, mixed, **SMALL))
    assert row["failures"] == {}
    same = {"spikingjelly-torch"} if neuron == "LIF" else set()
    assert set(row["milliseconds"]) == {"plain", "auto"} | same
    assert row["samples_per_second"]["auto"] == pytest.approx(4000 / row["milliseconds"]["auto"])
    assert set(row["length_over_plain" if mixed else "distance_from_float64"]) == set(row["milliseconds"])


def test_a_step_that_learns_otherwise_under_autocast_is_not_timed(monkeypatch):
    real = step.all_contestants

    def with_a_cheat(device):
        def threshold(net):
            for layer in net.modules():
                if hasattr(layer, "v_th"):
                    layer.v_th = 0.01

        known = real(device)
        monkeypatch.setitem(contestants.OFF, "threshold", threshold)
        return known | {"fuse": contestants.Contestant(("neurons", "threshold"))}

    monkeypatch.setattr(step, "all_contestants", with_a_cheat)
    row = step.row_of(step.Case("LIF", "bfloat16", **SMALL))
    assert row["failures"]["fuse"].startswith("gradients ")
    assert "fuse" not in row["milliseconds"]


def test_no_step_needs_hydra(tmp_path):
    code = "import sys; sys.modules['hydra'] = sys.modules['omegaconf'] = None\n"
    code += "from on_gpu import step, kernels, rivals, doctor, odd, counters, sanitizer, text\n"
    code += f"print(len(step.row_of(step.Case('LIF', **{SMALL!r}))['milliseconds']))\n"
    env = os.environ | {"PYTHONPATH": f"{ROOT}/scripts{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert int(done.stdout) >= 2, done.stderr


def test_rivals_are_measured_with_the_gradients_that_training_asks_for(monkeypatch):
    monkeypatch.setattr(rivals, "case_of", lambda *key: Case(*key[:2], torch.float32, "conv", (2, 3, 4, 4), "cpu"))
    monkeypatch.setattr(rivals, "SECONDS", 0.01)
    row = rivals.row_of(("PLIF", 2, "float32"), ("spikingjelly",), "cpu")
    assert row["failures"] == {}
    assert set(row["milliseconds"]) == {"copy", "fused", "reference", "spikingjelly-torch"}


def test_spikingjellys_implementation_is_chosen_by_its_environment():
    code = "from spikingjelly._ops import lif, plif, clif; print(*(m._selection._requested for m in (lif, plif, clif)))"
    done = subprocess.run([sys.executable, "-c", code], env=jelly.choose("torch"), capture_output=True, text=True)
    assert done.stdout.split()[-3:] == ["torch"] * 3, done.stderr


def test_calls_of_odd_sizes_run_for_each_neuron(monkeypatch):
    monkeypatch.setattr(odd, "STEPS", (1, 7))
    monkeypatch.setattr(odd, "DTYPES", (torch.float32, torch.float16))
    assert odd.main(60, ("GLIF",), "cpu") == (2 * 2 * 3 * 3,) * 2
    assert odd.main(-1, ("GLIF",), "cpu") == (0, 2 * 2 * 3 * 3)


CLEAN = "========= COMPUTE-SANITIZER\n108 of 432 calls\n========= ERROR SUMMARY: 0 errors\n"
DIRTY = """========= COMPUTE-SANITIZER
========= Invalid __global__ read of size 16 bytes
=========     at backward+0x1b0
========= ERROR SUMMARY: 3 errors
"""


def test_what_compute_sanitizer_says_is_read():
    assert sanitizer.found_in(CLEAN) == {"errors": 0, "calls": "108 of 432 calls"}
    found = sanitizer.found_in(DIRTY)
    assert found["wrong"] == "3 errors"
    assert "Invalid __global__ read" in found["said"]
    assert "Device not supported" in sanitizer.found_in("========= Error: Device not supported")["unavailable"]
    with pytest.raises(RuntimeError, match="ImportError"):
        sanitizer.found_in("ImportError: no torch\n========= ERROR SUMMARY: 0 errors")


NCU = """==PROF== Connected to process 42
"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"
"0","42","forward(const float *, long)","GPU Speed Of Light Throughput","Duration","us","190.43"
"0","42","forward(const float *, long)","GPU Speed Of Light Throughput","Memory Throughput","%","91.5"
"0","42","forward(const float *, long)","GPU Speed Of Light Throughput","DRAM Throughput","%","91.5"
"0","42","forward(const float *, long)","Memory Workload Analysis","Memory Throughput","Tbyte/s","2.75"
"0","42","forward(const float *, long)","Memory Workload Analysis","L2 Hit Rate","%","n/a"
"0","42","forward(const float *, long)","Launch Statistics","Registers Per Thread","register/thread","30"
"1","42","backward(const float *, long)","Compute Workload Analysis","Issue Slots Busy","%","1,042.5"
"""


def test_what_nsight_compute_counts_is_read():
    (forward, first), (backward, second) = counters.counted(NCU)
    assert (forward, backward) == ("forward", "backward")
    assert first == {
        "duration": "190.43 us", "memory_percent": 91.5, "dram_percent": 91.5, "memory_bandwidth": "2.75 Tbyte/s",
        "registers": 30.0,
    }  # fmt: skip
    assert second == {"issue_percent": 1042.5}
    assert counters.counted("==ERROR== LibraryNotLoaded") == []


def test_counters_are_those_of_each_neurons_kernels_or_an_error(tmp_path, monkeypatch):
    head, *lines = NCU.splitlines()[1:]
    both = [line for line in lines if line.startswith(('"0"', '"1"'))]
    many = [line.replace(f'"{n % 2}"', f'"{n}"', 1) for n in range(6) for line in both if line.startswith(f'"{n % 2}"')]
    tool = tmp_path / "ncu"
    tool.write_text(f"#!/bin/sh\ncat {tmp_path}/out.csv\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "out.csv").write_text("\n".join([head, *many]))
    row = counters.row_of(4, "float32", Record(tmp_path, "counters", 20))
    assert list(row["kernels"]) == [f"{neuron} {way}" for neuron in counters.NEURONS for way in ("forward", "backward")]
    assert row["kernels"]["GLIF backward"] == {"issue_percent": 1042.5}
    (tmp_path / "out.csv").write_text("==ERROR== LibraryNotLoaded")
    with pytest.raises(RuntimeError, match="LibraryNotLoaded"):
        counters.row_of(4, "float32", Record(tmp_path, "counters", 20))


def test_training_is_left_without_data(tmp_path, monkeypatch):
    monkeypatch.delenv("SNNBENCH_DATA", raising=False)
    record = Record(tmp_path, "training", 10)
    training.run(record)
    assert record.close() == "green"
    assert "SNNBENCH_DATA" in record.found["left"][0]["why"]


TRAIN = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1]) / "name" / "time"
folder.mkdir(parents=True)
try:
    for epoch in range(1000):
        lines = "".join(f"{n},{n + 10},\\n" for n in range(epoch + 1))
        (folder / "new").write_text("epoch,test/acc,lr\\n" + lines)
        (folder / "new").replace(folder / "metrics.csv")
        time.sleep(0.05)
except KeyboardInterrupt:
    (folder / "result.json").write_text('{"status": "interrupted"}')
"""


def test_a_training_is_stopped_in_time_and_its_epochs_are_read(tmp_path):
    assert training.trained(tmp_path) == {}
    (tmp_path / "train.py").write_text(TRAIN)
    assert training.limited([sys.executable, str(tmp_path / "train.py"), str(tmp_path / "out")], 5) is None
    found = training.trained(tmp_path / "out")
    assert [(row["epoch"], row["test/acc"]) for row in found["epochs"][:2]] == [(0, 10), (1, 11)]
    assert "lr" not in found["epochs"][0]
    assert found["result"] == {"status": "interrupted"}


def test_a_case_apart_ends_in_time(tmp_path, monkeypatch):
    from on_gpu.apart import apart
    from on_gpu.record import Late

    (tmp_path / "toy_apart.py").write_text(
        "import os, time\ndef answer(x):\n    time.sleep(x)\n    return {'slept': x, 'seen': os.environ.get('TOY')}\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), f"{ROOT}/scripts", str(ROOT)]))
    record = Record(tmp_path, "toy", 100)
    assert apart("toy_apart", 0, record, 20, env=os.environ | {"TOY": "a"}) == {"slept": 0, "seen": "a"}
    assert apart("toy_apart", 60, record, 1) == {"late": "not done in 1 s"}
    with pytest.raises(Late):
        apart("toy_apart", 60, Record(tmp_path, "toy", 1.5), 20)
    with pytest.raises(Late):
        apart("toy_apart", 0, record, 20, least=30)
    with pytest.raises(RuntimeError, match="exit code 1"):
        apart("toy_apart", "no number", record, 20)
