"""A neuron enters the registry by being defined, and a file in the package is all that a new one takes."""

import importlib
import logging
import os
import shutil
import subprocess
import sys
import textwrap

import pytest
import torch

from snnbench import neurons
from snnbench.errors import UserError
from snnbench.neurons import DALIF, LIF, LIFNoReset, MaskedPSN, SpikingNeuron, known, registry
from snnbench.neurons.psn import ParallelNeuron
from snnbench.registry import config_name
from snnbench.results import labels
from tests.conftest import ROOT

NEW = """
import torch
from snnbench.neurons.base import SpikingNeuron


class TwoFaced(SpikingNeuron):
    label = "2-Faced"
    year = 2024

    def step(self, x, state, c, spike):
        h = 0.3 * state["v"] + torch.tanh(x)
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}
"""


@pytest.mark.parametrize(
    ("cls", "name"),
    [("DALIF", "dalif"), ("IF", "if"), ("LIFNoReset", "lif_no_reset"), ("MaskedPSN", "masked_psn"), ("GLIF2", "glif2")],
)
def test_names_as_configs_spell_them(cls, name):
    assert config_name(cls) == name


def test_the_projects_neurons_stand_in_the_order_of_their_years():
    names = list(registry.own())
    own = ["lif", "plif", "dsr", "glif", "ltlif", "asgl", "klif", "psn", "clif", "ltsnn", "arlif", "channelwise_psn"]
    assert names[:15] == [*own, "dalif", "mpdagl", "dsatgo"]
    assert set(names[15:]) == {"graded_lif", "if", "lif_no_reset", "masked_psn", "sliding_psn"}
    assert (known()["dalif"].label, known()["plif"].label) == ("DA-LIF", "PLIF")
    assert list(known())[: len(names)] == names


def test_bases_stay_outside():
    class _Shared(LIF):
        pass

    class Abstract(SpikingNeuron):
        pass

    assert not {SpikingNeuron, ParallelNeuron, _Shared, Abstract} & set(known().values())


def test_a_users_class_enters_under_a_name_and_label_of_its_own():
    class MyLIF(DALIF):
        pass

    assert known()["my_lif"] is MyLIF
    assert (MyLIF.label, MyLIF.config_name, MyLIF.year is DALIF.year) == ("MyLIF", "my_lif", True)
    assert "my_lif" not in registry.own()
    assert not hasattr(neurons, "MyLIF")


def test_a_class_defined_again_takes_the_place_of_the_older():
    def define():
        class Again(LIF):
            pass

        return Again

    first, second = define(), define()
    assert first is not second
    assert known()["again"] is second


def test_a_reloaded_module_replaces_its_classes():
    module = importlib.import_module("snnbench.neurons.psn")
    before = dict(vars(module))
    try:
        importlib.reload(module)
        assert known()["masked_psn"] is module.MaskedPSN is neurons.MaskedPSN
        assert module.MaskedPSN is not MaskedPSN
    finally:
        vars(module).update(before)
        for cls in (before["PSN"], before["MaskedPSN"], before["SlidingPSN"]):
            registry.enter(cls, cls.config_name)


def test_another_modules_class_does_not_replace_ours(caplog):
    with caplog.at_level(logging.WARNING, "snnbench"):
        other = type("LIF", (SpikingNeuron,), {"step": LIF.step, "__module__": "elsewhere"})
    assert known()["lif"] is LIF
    assert known()["elsewhere.LIF"] is other
    assert "the name lif belongs to snnbench.neurons.lif.LIF" in caplog.text


def test_what_is_no_neuron_is_no_attribute():
    assert neurons.LIFNoReset is LIFNoReset
    assert {"LIF", "SlidingPSN", "known"} <= set(dir(neurons))
    with pytest.raises(AttributeError, match=r"'snnbench\.neurons' has no attribute 'LIFF'"):
        neurons.LIFF  # noqa: B018


def test_labels_read_without_torch_are_those_of_the_classes():
    code = "import sys; from snnbench.results import labels; print(labels.neurons()); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = {name: cls.label for name, cls in registry.own().items()}
    assert done.stdout.strip() == str(expected)
    assert labels.neurons() == expected
    assert labels.neuron("masked_psn") == "masked PSN"
    assert labels.neuron("somebodys") == "somebodys"


def test_a_file_dropped_into_the_package_is_a_neuron_like_the_others(tmp_path):
    """Known by its name, importable from the package, labelled, and fused with the reference's numbers."""
    shutil.copytree(ROOT / "snnbench", tmp_path / "snnbench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "snnbench" / "neurons" / "twofaced.py").write_text(NEW)
    code = """
        import torch
        from snnbench.neurons import TwoFaced, registry
        from snnbench.results import labels

        names = list(registry.own())
        assert registry.own()["two_faced"] is TwoFaced
        assert names.index("lif_no_reset") < names.index("two_faced")  # its file has another name: it comes last
        assert labels.neurons() == {name: cls.label for name, cls in registry.own().items()}
        assert labels.neuron("two_faced") == "2-Faced"
        x = torch.linspace(-2, 3, 120).view(4, 3, 10)
        assert torch.equal(TwoFaced(engine="cpu")(x), TwoFaced(engine="reference")(x))
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "SNNBENCH_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def test_a_kind_of_output_that_there_is_not_is_named():
    with pytest.raises(UserError, match=r"_Misspelt.outputs='gradde': must be one of .* Did you mean 'graded'\?"):

        class _Misspelt(LIF):
            outputs = "gradde"


def test_states_that_a_step_does_not_return_are_named():
    class _Forgetful(SpikingNeuron):
        def step(self, x, state, c, spike):
            return spike(x - self.v_th), {"w": x}

    with pytest.raises(UserError, match=r"_Forgetful.step: returns the states \['w'\], declared are \['v'\]; 'v'"):
        _Forgetful(engine="reference")(torch.rand(2, 1, 3))
