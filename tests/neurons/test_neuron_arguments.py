"""Arguments out of range, and the configs."""

import math
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from snnbench.errors import UserError
from snnbench.neurons import ARLIF, CLIF, DALIF, GLIF, IF, KLIF, LIF, PLIF, PSN, MaskedPSN, SlidingPSN, registry
from snnbench.neurons.surrogate import surrogates
from snnbench.registry import keywords

CONFIGS = Path(__file__).parents[2] / "configs"
FILES = {path.stem: OmegaConf.load(path) for path in sorted((CONFIGS / "neuron").glob("*.yaml"))}
del FILES["relu"]  # no spiking neuron: test_relu.py
NAMES = [name for name, config in FILES.items() if "_target_" in config]
VARIANTS = {name: config.defaults[0] for name, config in FILES.items() if name not in NAMES}


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (IF, {"v_th": 0}, r"neuron.v_th=0: must be a number in \(0, inf\)"),
        (IF, {"v_th": math.nan}, "neuron.v_th=nan: must be a number"),
        (IF, {"v_th": math.inf}, "neuron.v_th=inf"),
        (IF, {"v_th": "1"}, "neuron.v_th='1': must be a number"),
        (IF, {"v_th": True}, "neuron.v_th=true: must be a number"),
        (
            IF,
            {"v_reset": 1.0},
            r"v_reset=1.0: must be a number in \(-inf, 1.0\), or null. It must lie below neuron.v_th",
        ),
        (IF, {"v_reset": -math.inf}, "neuron.v_reset=-inf"),
        (IF, {"detach_reset": "no"}, "neuron.detach_reset='no': must be true or false"),
        (IF, {"v_th": 1e39}, "neuron.v_th=1e\\+39"),  # float32 has no such number
        (IF, {"v_th": 10**400}, "neuron.v_th=1000"),
        (IF, {"channels": 0}, "neuron.channels=0: must be a whole number of at least 1"),
        (IF, {"engine": "cdua"}, "engine='cdua': unknown. Did you mean 'cuda'?"),
        (LIF, {"tau": 0.5}, r"neuron.tau=0.5: must be a number in \[1, inf\)"),
        (LIF, {"leak": 1.5}, r"neuron.leak=1.5: must be a number in \[0, 1\]"),
        (LIF, {"decay_input": 1}, "neuron.decay_input=1: must be true or false"),
        (PLIF, {"tau": 1.0}, r"neuron.tau=1.0: must be a number in \(1, inf\)"),
        (PLIF, {"decay_input": None}, "neuron.decay_input=null"),
        (KLIF, {"k": 0.0}, r"neuron.k=0.0: must be a number in \(0, inf\)"),
        (KLIF, {"tau": -2}, "neuron.tau=-2"),
        (KLIF, {"scale_reset": "yes"}, "neuron.scale_reset='yes'"),
        (GLIF, {"T": 0}, "neuron.T=0"),
        (GLIF, {"T": 4, "tau": 1.0}, r"neuron.tau=1.0: must be a number in \(0, 1\)"),
        (GLIF, {"T": 4, "v_th": 1.5}, r"neuron.v_th=1.5: must be a number in \(0, 1\)"),
        (GLIF, {"T": 4, "leak": 0.0}, "neuron.leak=0.0"),
        (GLIF, {"T": 4, "alpha": 1.0}, r"neuron.alpha=1.0: must be a number in \(0, 1\)"),
        (GLIF, {"T": 4, "hard_gates": "yes"}, "neuron.hard_gates='yes': must be true or false"),
        (GLIF, {"T": 4, "v_re": 2.0}, "neuron.v_re=2.0"),
        (GLIF, {"T": 4, "conduct": 0.0}, "neuron.conduct=0.0"),
        (CLIF, {"tau": 0.0}, "neuron.tau=0.0"),
        (ARLIF, {"leak": -0.1}, r"neuron.leak=-0.1: must be a number in \[0, 1\]"),
        (ARLIF, {"reset": "adaptve"}, "neuron.reset='adaptve': unknown. Did you mean 'adaptive'?"),
        (ARLIF, {"carry_memory": 0}, "neuron.carry_memory=0"),
        (ARLIF, {"threshold_adjustment": 0}, "neuron.threshold_adjustment=0"),
        (DALIF, {"squash": "tnah"}, "neuron.squash='tnah': unknown. Did you mean 'tanh'?"),
        (
            DALIF,
            {"alpha_init": "rand"},
            "alpha_init='rand': must be a finite number, randn, or ones. Did you mean 'randn'",
        ),
        (DALIF, {"beta_init": math.inf}, "neuron.beta_init=inf"),
        (DALIF, {"beta_init": "randn", "learn_beta": False}, "neuron.beta_init=randn: needs neuron.learn_beta=true"),
        (DALIF, {"learn_alpha": "x"}, "neuron.learn_alpha='x'"),
        (DALIF, {"membrane_norm": True}, "neuron.membrane_norm=true: needs the number of channels"),
        (DALIF, {"membrane_norm": 1}, "neuron.membrane_norm=1"),
        (PSN, {"T": 2.0}, "neuron.T=2.0: must be a whole number"),
        (PSN, {"T": 4, "engine": "cuda"}, "engine=cuda: PSN is a matrix product over time"),
        (MaskedPSN, {"T": 4, "k": 0}, "neuron.k=0"),
        (MaskedPSN, {"T": 4, "k": 2, "engine": "cpu"}, "engine=cpu: MaskedPSN is a matrix product"),
        (MaskedPSN, {"T": 4, "k": 2, "lambda_init": 1.1}, r"neuron.lambda_init=1.1: must be a number in \[0, 1\]"),
        (MaskedPSN, {"T": 4, "k": 2, "lambda_rate": 0.5}, r"neuron.lambda_rate=0.5: must be a number in \[1, inf\)"),
        (SlidingPSN, {"k": 2, "init": "unifrom"}, "neuron.init='unifrom': unknown. Did you mean 'uniform'?"),
        (SlidingPSN, {"k": True}, "neuron.k=true"),
        (SlidingPSN, {"k": 2, "v_th": -1.0}, "neuron.v_th=-1.0"),
    ],
)
def test_a_bad_argument_is_named(cls, options, message):
    with pytest.raises(UserError, match=message) as caught:
        cls(**options)
    assert len(str(caught.value).splitlines()) <= 2


def test_progress_is_a_fraction():
    with pytest.raises(UserError, match=r"neuron\.progress=2"):
        MaskedPSN(T=4, k=2).set_progress(2)


def composed(tmp_path, *overrides):
    root = f"defaults: [_self_, neuron: lif]\nhydra:\n  searchpath: ['file://{CONFIGS}']\nT: 3\nengine: reference\n"
    (tmp_path / "root.yaml").write_text(root)
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        return OmegaConf.to_container(compose("root", overrides=list(overrides)).neuron, resolve=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_lists_every_keyword_and_repeats_the_defaults(name, tmp_path):
    config = composed(tmp_path, f"neuron={name}")
    assert config.pop("name") == name
    neuron = instantiate(config)(channels=2)
    cls = type(neuron)
    assert registry.own()[name] is cls
    assert {key for key in config if not key.startswith("_")} == keywords(cls).keys() - {"channels"}
    needed = {key: config[key] for key, found in keywords(cls).items() if found.default is found.empty}
    torch.manual_seed(0)
    assert repr(neuron) == repr(cls(channels=2, engine="reference", **needed))
    assert neuron(torch.randn(3, 4, 2)).shape == (3, 4, 2)


def test_there_is_a_config_for_every_neuron():
    assert set(NAMES) == registry.own().keys()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_only_changes_values_of_the_neuron_it_starts_from(name, tmp_path):
    config, base = composed(tmp_path, f"neuron={name}"), composed(tmp_path, f"neuron={VARIANTS[name]}")
    assert config["name"] == name
    assert config.keys() == base.keys()
    assert instantiate({k: v for k, v in config.items() if k != "name"})(channels=2)(torch.randn(3, 4, 2)).dtype


def test_every_surrogate_is_an_option_with_its_numbers_visible(tmp_path):
    paths = sorted((CONFIGS / "neuron" / "surrogate").glob("*.yaml"))
    assert {path.stem for path in paths} == surrogates.own().keys()
    for path in paths:
        config = composed(tmp_path, f"neuron/surrogate={path.stem}")
        spike = instantiate({key: value for key, value in config.items() if key != "name"})().spike
        assert vars(spike) == {key: value for key, value in config["surrogate"].items() if key != "name"}


def test_a_surrogate_is_replaced_by_name_or_by_group(tmp_path):
    group = composed(tmp_path, "neuron/surrogate=rectangle", "neuron.surrogate.width=3")
    assert group["surrogate"] == {"name": "rectangle", "width": 3, "strict": False}
    assert composed(tmp_path, "neuron.surrogate=sigmoid")["surrogate"] == "sigmoid"


class Misspelt(LIF):
    table: ClassVar[dict[str, float]] = {"gain": 1.0}

    def __init__(self, read, **options):
        super().__init__(**options)
        self.read, self.gain = read, torch.nn.Parameter(torch.ones(()))

    def coefficients(self):
        return {"gain": self.gain}

    def step(self, x, state, c, spike):
        return super().step(x * self.read(self, state, c), state, c, spike)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (
            lambda n, state, c: c["gian"],
            r"Misspelt.step reads 'gian', which is not in its coefficients\(\): gain. Did you",
        ),
        (lambda n, state, c: state["u"], r"Misspelt.step reads 'u', which is not in its states: v"),
        (lambda n, state, c: n.table["gian"], "^'gian'$"),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.filterwarnings("ignore")
def test_a_name_that_a_step_misspells(read, message, engine):
    with pytest.raises(KeyError, match=message) as caught:
        Misspelt(read, engine=engine)(torch.rand(3, 2, 4))
    assert isinstance(caught.value, UserError) == ("Misspelt" in message)


def test_a_step_may_ask_for_what_may_be_there():
    def read(neuron, state, c):
        try:
            return c["other"]
        except KeyError:
            return c.get("another", c["gain"])

    x = torch.rand(3, 2, 4) * 2
    assert torch.equal(Misspelt(read)(x), LIF()(x))
