"""The benchmark of whole steps: contestants show that they compute the same, wrong ones are found, all is written."""

import copy
import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from snnbench.neurons import LIF
from snnbench.neurons.base import spiking_layers
from snnbench.neurons.surrogate import ATan
from tests.conftest import ROOT, TINY

sys.path.insert(0, str(ROOT / "scripts"))
from whole_step import contestants, libraries, report
from whole_step.cases import Case, bring_to_rate, rates
from whole_step.checks import far, unequal
from whole_step.contestants import Contestant
from whole_step.measure import How, run_case

PLAIN = Contestant(tuple(contestants.OFF))
HOW = How("cpu", [], 0.01, "cpu", check_steps=3, check_batch=2, peak=False, threads=1, memory="system")


def tiny(neuron="lif", network="resnet20", **options):
    return Case(network, neuron, **{"steps": 2, "width": 4, "batch": 2, "size": 16, **options})


def changed(change) -> Contestant:
    """A contestant whose neurons were replaced by changed copies, and who claims that they are the same."""

    def make(layer):
        layer = copy.deepcopy(layer)
        change(layer)
        return layer

    return Contestant(PLAIN.off, library=libraries.Library(make))


def benchmark(*words: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "scripts/benchmark_step.py", *words, "--threads", "1", "--seconds", "0.02"]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


SMALL = ["--networks", "resnet20", "--neurons", "lif", "--size", "16", "--batch", "2"]


def test_cases_are_checked_timed_drawn_and_written(tmp_path):
    out = tmp_path / "results" / "step.json"
    words = [*SMALL, "--width", "8", "--steps", "1", "2"]
    more = [
        "--against",
        "parts",
        "spikingjelly",
        "snntorch",
        "--no-peak",
        "--check-steps",
        "2",
        "--figures",
        str(tmp_path),
    ]
    done = benchmark(*words, *more, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "| resnet20 | lif | 2 | 8 |" in done.stdout
    found = json.loads(out.read_text())
    assert (found["threads"], found["clock"], found["check_steps"]) == (1, "wall", 2)
    assert [row["steps"] for row in found["cases"]] == [1, 2]
    for row in found["cases"]:
        assert row["failures"] == {}
        parts = {f"without-{part}" for part in contestants.OFF}
        assert set(row["milliseconds"]) == {"plain", "auto", *parts, "spikingjelly-torch", "snntorch"}
        assert set(row["milliseconds"]) - set(row["same"]) == {"snntorch"}
        assert max(row["distance_from_float64"].values()) < 1e-3
        assert row["samples_per_second"]["auto"] == pytest.approx(2000 / row["milliseconds"]["auto"])
        assert row["saved_megabytes"]["auto"] < row["saved_megabytes"]["plain"]
        low, high = row["quartiles"]["auto"]
        assert low <= row["milliseconds"]["auto"] <= high
    assert (tmp_path / "resnet20-lif-steps.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_peak_is_that_of_a_process_of_its_own(tmp_path):
    words = [*SMALL, "--width", "4", "--steps", "1"]
    done = benchmark(*words, "--against", "--check-steps", "0", "--out", str(tmp_path / "step.json"))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "step.json").read_text())["cases"]
    assert set(row["peak_megabytes"]) == {"plain", "auto"}
    assert all(100 < peak < 10_000 for peak in row["peak_megabytes"].values())


@pytest.mark.parametrize("neuron", ["lif", "plif", "klif", "clif"])
def test_spikingjellys_neurons_compute_the_same_while_they_learn(neuron):
    net, x, labels = tiny(neuron, rate=0.3).build()
    known = {"plain": PLAIN, **contestants.chosen("cpu", ["spikingjelly"])}
    assert "spikingjelly-torch" in known
    assert known["spikingjelly-torch"].network(net) is not None
    assert unequal(net, x, labels, known, steps=4) == {}
    assert far(net, x, labels, known)[1] == {}


@pytest.mark.parametrize("neuron", ["arlif", "dalif", "glif"])
def test_where_a_library_has_no_equal_neuron_it_is_no_contestant(neuron):
    net, *_ = tiny(neuron).build()
    for name in ("spikingjelly-torch", "snntorch"):
        assert contestants.all_contestants("cpu")[name].network(net) is None


def test_a_neuron_whose_options_a_library_lacks_has_no_equal_there():
    for options in ({"leak": 0.25}, {"v_reset": -0.5}, {"surrogate": "tanh"}):
        assert libraries.spikingjelly(LIF(**options), "torch") is None


class Remembers(nn.Module):
    """A neuron that begins where its last sequence ended."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.state = layer, None

    def forward(self, x):
        spikes, state = self.layer.run(x, self.state)
        self.state = {key: value.detach() for key, value in state.items()}
        return spikes


WRONG = {
    "threshold": lambda layer: setattr(layer, "v_th", 1.01),
    "decay": lambda layer: setattr(layer, "tau", 2.01),
    "reset": lambda layer: setattr(layer, "v_reset", None),
    "slope": lambda layer: setattr(layer, "spike", ATan(alpha=2.02)),
    "gradient of the reset": lambda layer: setattr(layer, "detach_reset", True),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_contestant_is_found_and_not_timed(what):
    row = run_case(tiny(rate=0.3), HOW, {"plain": PLAIN, "again": PLAIN, "wrong": changed(WRONG[what])})
    assert list(row["failures"]) == ["wrong"]
    assert set(row["milliseconds"]) == {"plain", "again"}
    assert "wrong in resnet20 with lif computes something else" in report.markdown([row])


def test_a_state_that_is_left_over_is_found():
    net, x, labels = tiny(rate=0.3).build()
    wrong = Contestant(PLAIN.off, library=libraries.Library(lambda layer: Remembers(copy.deepcopy(layer))))
    found = unequal(net, x, labels, {"plain": PLAIN, "wrong": wrong}, steps=3)
    assert "in step 2" in found["wrong"]


def test_one_that_claims_nothing_is_timed_whatever_it_computes():
    other = Contestant(PLAIN.off, library=changed(WRONG["threshold"]).library, same=False)
    row = run_case(tiny(rate=0.3), HOW, {"plain": PLAIN, "other": other})
    assert row["failures"] == {}
    assert "other" in row["over_plain"]
    assert "*" in report.markdown([row])


@pytest.mark.parametrize("network", ["resnet20", "resnet18_preact", "vggsnn"])
@pytest.mark.parametrize("rate", [0.05, 0.4])
def test_layers_are_brought_to_a_rate(network, rate):
    net, x, _ = tiny("lif", network, batch=4, size=32).build()
    buffers = {name: buffer.clone() for name, buffer in net.named_buffers()}
    bring_to_rate(net, x, rate)
    found = rates(net, x)
    assert len(found) == len(spiking_layers(net))
    assert max(abs(one - rate) for one in found) < 0.02
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in net.named_buffers())


def test_channels_last_is_a_layout_and_no_other_input():
    for shape in ((2, 3, 4, 5), (6, 2, 3, 4, 5)):
        x = torch.randn(shape)
        other = Contestant(channels_last=True).input(x)
        assert torch.equal(other, x)
        assert other.stride()[-3:] == (1, 15, 3)


def test_weights_and_data_of_a_run_are_taken(command, tmp_path):
    folder = command("train", *TINY, "threads=1", "neuron=lif").folder
    net, x, labels = Case("convnet", "lif", 2, batch=8, checkpoint=str(folder)).build()
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"network.{key}"]) for key, value in net.state_dict().items())
    assert (len(x), len(labels)) == (8, 8)
    assert 0 < sum(rates(net, x)) / len(rates(net, x)) < 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_compiled_contestants_compute_the_same():
    row = run_case(tiny(network="plifnet_mnist", rate=0.3), HOW, contestants.chosen("cpu", ["compile"]))
    assert row["failures"] == {}
    assert set(row["milliseconds"]) == {"plain", "auto", "compile", "compile-auto", "compile-channels-last"}
