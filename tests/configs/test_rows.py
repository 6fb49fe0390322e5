"""Every row of a paper's table: it composes, has the right network, trains, and its number has a source."""

import json
import math
import re
from pathlib import Path

import hydra
import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from snnbench import config
from snnbench.data.augment import Augment, BatchTransform
from snnbench.neurons import LIF, ReLU, SpikingNeuron
from snnbench.runs.code import row_recipe
from snnbench.runs.recipe import recipe_hash
from snnbench.training import build
from tests.conftest import CONFIGS
from tests.rows import compose

FILES = sorted((CONFIGS / "experiment").glob("*/*.yaml"))
ROWS = [f"{path.parent.name}/{path.stem}" for path in FILES]
PAPERS = yaml.safe_load((CONFIGS / "papers.yaml").read_text())
EVENTS = {"nmnist", "cifar10dvs", "dvs128gesture"}


def head(row: str) -> str:
    return (CONFIGS / "experiment" / f"{row}.yaml").read_text().partition("defaults:")[0]


def conv(c_in, c_out, kernel=3, bias=False):
    return c_in * c_out * kernel**2 + (c_out if bias else 0) + 2 * c_out


def vgg(c_in, widths, features, classes):
    pairs = zip((c_in, *widths[:-1]), widths, strict=True)
    return sum(conv(a, b, bias=True) for a, b in pairs) + features * classes + classes


def plifnet(c_in, width, convs, features, hidden, classes):
    head = features * hidden + hidden * 10 * classes
    return conv(c_in, width) + (convs - 1) * conv(width, width) + head


def resnet20(c_in, classes):
    total = conv(c_in, 64) + 2 * conv(64, 64)
    before = 64
    for width in (64, 128, 256, 512):
        total += conv(before, width) + 3 * conv(width, width) + (conv(before, width, 1) if before != width else 0)
        before = width
    return total + 512 * classes + classes


def sew_resnet19(classes):
    total, before = conv(3, 128), 128
    for width, blocks in ((128, 3), (256, 3), (512, 2)):
        total += conv(before, width) + (2 * blocks - 1) * conv(width, width)
        total += conv(before, width, 1) if before != width else 0
        before = width
    return total + 512 * 256 + 2 * 256 + 256 * classes


def ms_resnet18():
    total, before = conv(3, 64, 7), 64
    for width in (64, 128, 256, 512):
        total += conv(before, width) + 3 * conv(width, width) + conv(before, width, 1) + 2 * width
        before = width
    return total + 512 * 1000


VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)
BY_HAND = {  # backbones of rows for which no source states the size
    ("resnet18", "imagenet"): 11_689_512,  # the well-known sizes: an average pool has no weights
    ("resnet34", "imagenet"): 21_797_672,
    ("resnet18_cifar", "cifar10"): 11_173_962,  # tests/backbones/test_parameters.py derives these
    ("resnet18_cifar", "cifar100"): 11_173_962 + 90 * 513,
    ("resnet18_sml", "cifar10"): 21_512_286,
    ("resnet18_sml", "cifar100"): 21_512_286 + 3 * 90 * 513,  # two of the heads are the modules'
    ("resnet34_cifar", "cifar10"): 21_282_122,
    ("resnet34_cifar", "cifar100"): 21_282_122 + 90 * 513,
    ("resnet19", "cifar10"): 12_502_090,
    ("resnet19", "cifar100"): 12_502_090 + 90 * 513,
    ("sew_resnet18", "imagenet"): 11_689_512,
    ("sew_resnet34", "imagenet"): 21_797_672,
    ("sew_resnet19", "cifar10"): sew_resnet19(10),
    ("sew_resnet19", "cifar100"): sew_resnet19(100),
    ("sew_7bwide_glif", "cifar10dvs"): conv(2, 64, 1)
    + 8 * conv(64, 64)
    + conv(64, 128, 1)
    + 6 * conv(128, 128)
    + 11_530,
    **{(f"{kind}_resnet50", "imagenet"): 25_557_032 for kind in ("sew", "spiking")},
    **{(f"{kind}_resnet101", "imagenet"): 44_549_160 for kind in ("sew", "spiking")},
    **{(f"{kind}_resnet152", "imagenet"): 60_192_808 for kind in ("sew", "spiking")},
    ("spiking_resnet18", "imagenet"): 11_689_512,
    ("spiking_resnet34", "imagenet"): 21_797_672,
    ("sew_7b", "dvs128gesture"): conv(2, 32, 1) + 14 * conv(32, 32) + 32 * 11 + 11,
    ("sew_7bwide", "cifar10dvs"): conv(2, 64, 1) + 8 * conv(64, 64) + conv(64, 128, 1) + 6 * conv(128, 128) + 1290,
    ("resnet20", "cifar10dvs"): resnet20(2, 10),
    ("resnet20", "dvs128gesture"): resnet20(2, 11),
    ("vgg11", "cifar10dvs"): vgg(2, VGG11, 512 * 49, 10),
    ("plifnet_mnist", "mnist"): plifnet(1, 128, 2, 128 * 49, 2048, 10),
    ("plifnet_mnist", "fashion_mnist"): plifnet(1, 128, 2, 128 * 49, 2048, 10),
    ("plifnet_nmnist", "nmnist"): plifnet(2, 128, 2, 128 * 64, 2048, 10),
    ("plifnet_cifar10dvs", "cifar10dvs"): plifnet(2, 128, 4, 128 * 64, 2048, 10),
    ("plifnet_dvs128gesture", "dvs128gesture"): plifnet(2, 128, 5, 128 * 16, 512, 11),
    ("ms_resnet18_glif", "imagenet"): ms_resnet18(),
    ("psnnet", "cifar10"): 70_113_034,  # tests/backbones/test_psn_glif.py derives these
    ("seqnet", "cifar10"): 513_418,
    ("seqnet", "cifar100"): 513_418 + 90 * 257,
    ("resnet18_glif", "cifar10"): 11_304_512,
    ("resnet18_glif", "cifar100"): 11_304_512 - 512 * 256 - 2560 + 51_200,
    ("resnet19_glif", "cifar10"): 12_700_544,
    ("resnet19_glif", "cifar100"): 12_700_544 - 512 * 256 - 2560 + 51_200,
}


def attention_size(cfg: DictConfig) -> int:
    """FSTA has 49 kernels of 7x7, a matrix over time and four factors for each neuron layer."""
    layers = {"resnet20": 19, "resnet34": 33}
    return layers[cfg.backbone.name] * (49 * 49 + cfg.T**2 + 4) if cfg.backbone.get("attention") else 0


def timesteps_size(cfg: DictConfig) -> int:
    """PSN's offsets; TAB has the 36 norms of a ResNet-34, of 8,512 channels in all, and a factor, for each timestep."""
    if cfg.norm.name == "tab":
        return (cfg.T - 1) * 2 * 8512 + cfg.T * 36
    return cfg.T if cfg.backbone.get("step_offset") else 0


def network_size(cfg: DictConfig) -> int:
    """Parameters without the neurons'. LIF, which has none, stands in for them: not all can be built without memory."""
    with torch.device("meta"):
        network = build.make(cfg, "backbone", neuron=LIF, norm=build.make(cfg, "norm"))
    return sum(p.numel() for p in network.parameters())


RECIPES = json.loads((Path(__file__).parent / "recipes.json").read_text())


def test_every_row_has_a_recipe_on_record():
    assert set(RECIPES) == set(ROWS), "python -m tests.configs.write_recipes"


@pytest.mark.parametrize("row", ROWS)
def test_the_recipe_of_a_row_is_the_one_on_record(row):
    """A change un-counts the row's runs: look at it, then `python -m tests.configs.write_recipes`."""
    assert recipe_hash(OmegaConf.to_container(compose(row), resolve=True)) == RECIPES[row]


def commands(row: str) -> list[str]:
    """What follows `python train.py` in the head of a row that starts from a run of another recipe: its own last."""
    return re.findall(r"^# python train.py (.+)$", head(row), re.M)


STAGED = [row for row in ROWS if len(commands(row)) > 1]


@pytest.mark.parametrize("row", STAGED)
def test_a_row_of_two_stages_asks_for_weights_of_its_first(row):
    words, own = commands(row)
    assert own == f"experiment={row}"
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        first = hydra.compose("train", words.split())
    config.check(first)
    assert compose(row).weights.recipe == row_recipe(OmegaConf.to_container(first, resolve=True))


def decimals(value: float) -> int:
    return len(str(value).partition(".")[2])


@pytest.mark.parametrize("row", ROWS)
def test_row_composes_has_its_network_and_its_source(row):
    cfg = compose(row)
    block = OmegaConf.to_container(cfg.row)
    assert block["id"] == row
    assert block["paper"] == row.partition("/")[0]
    assert set(block) - {"also", "milestones", "milestone_tolerance"} == {
        "id", "paper", "table", "reported", "tolerance", "recipe", "proof", "parameters"
    }  # fmt: skip
    for reported in (block["reported"], *block.get("also", [])):
        assert set(reported) == {"acc", "protocol", "source"}
        assert reported["source"] in PAPERS["sources"]
        assert reported["protocol"] in PAPERS["protocols"]
        assert (reported["acc"] is None) == (reported["source"] == "not_found")
        assert reported["acc"] is None or 1 < reported["acc"] < 100
    assert block["recipe"] in PAPERS["recipes"]
    assert 0 < block["tolerance"] <= 2
    assert ("milestones" in block) == ("milestone_tolerance" in block)
    assert all(0 <= epoch < cfg.epochs and 0 < acc < 100 for epoch, acc in block.get("milestones", {}).items())
    if block["reported"]["protocol"] == "validation_chosen":
        assert cfg.data.val_fraction > 0

    assert isinstance(build.make(cfg, "neuron")(channels=4), ReLU if cfg.T == 1 else SpikingNeuron)
    size = network_size(cfg)
    if block["parameters"] is not None:
        assert round(size / 1e6, decimals(block["parameters"])) == block["parameters"]
    else:
        assert size == BY_HAND[cfg.backbone.name, cfg.data.name] + attention_size(cfg) + timesteps_size(cfg)


@pytest.mark.parametrize("row", ROWS)
def test_file_name_and_head_comment_say_what_the_row_is(row):
    cfg = compose(row)
    name = row.partition("/")[2].removeprefix("seq")
    data, backbone, rest = re.fullmatch(r"(.+)_([a-z0-9]+)_t(\d+.*)", name).groups()
    assert data == cfg.data.name
    assert backbone in cfg.backbone.name
    assert re.match(r"\d+", rest).group() == str(cfg.T)
    lines = (CONFIGS / "experiment" / f"{row}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    comment = " ".join(line[2:] for line in lines[1:] if line.startswith("# "))
    assert f"python train.py experiment={row}" in comment
    assert "Hours:" in comment
    assert f"Recipe: {cfg.row.recipe}" in comment
    acc = cfg.row.reported.acc
    shown = comment.partition("Reported: ")[2]
    assert shown.startswith("unknown" if acc is None else f"{acc:g}")
    assert cfg.row.table is None or f"Table {cfg.row.table}" in comment


def train_step(cfg: DictConfig, batch: int) -> None:
    """One optimizer step on random samples of the data set's shape, through the row's loss, batch transform and all."""
    if cfg.backbone.get("zero_init_last"):
        cfg.backbone.zero_init_last = False  # else most parameters do not move in the first step
    network = build.build_network(cfg)
    current = 0 if cfg.backbone.get("variant") == "sdt" else 2  # there membranes add up, and one is pooled
    for module in network.modules():  # enough current for spikes in the last layers, at the first step already
        if isinstance(module, torch.nn.BatchNorm2d):
            module.bias.data.fill_(current * cfg.neuron.get("v_th", 0.0))
    size, classes = cfg.data.image_size, cfg.data.num_classes
    shape = (cfg.T, batch, 2, size, size) if cfg.data.name in EVENTS else (batch, cfg.data.in_channels, size, size)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    y = torch.arange(batch) % classes
    augment = hydra.utils.instantiate(cfg.augment)
    assert isinstance(augment, Augment)
    if augment.batch and cfg.data.name not in EVENTS:
        x, y = BatchTransform(augment.batch, classes)(x, y)
    optimizer = build.build_optimizer(cfg)(network)
    build.make(cfg, "schedule")(optimizer)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    loss = build.build_loss(cfg, network)
    found = loss(network(x), y)
    found.backward()
    for group in optimizer.param_groups:
        group["lr"] = 0.1  # some schedules warm up from almost nothing
    optimizer.step()
    assert math.isfinite(found.item())
    assert all(torch.isfinite(p).all() for p in network.parameters())
    moved = [name for name, p in network.named_parameters() if not torch.equal(before[name], p)]
    assert len(moved) > len(before) / 2


def representatives() -> list[str]:
    """The first row of each pair of backbone and data set, read from the files."""
    seen, chosen = set(), []
    for path, row in zip(FILES, ROWS, strict=True):
        lines = path.read_text().splitlines()
        pair = tuple(line for line in lines if line.startswith(("  - override /backbone:", "  - override /data:")))
        if pair not in seen:
            seen.add(pair)
            chosen.append(row)
    return chosen


@pytest.mark.parametrize("row", representatives())
def test_one_training_step_of_each_backbone_on_each_data_set(row):
    """Two timesteps, narrow layers, few pixels; test_every_row_trains has all of it."""
    cfg = compose(row).copy()
    cfg.engine = "reference"  # nothing to compile
    if cfg.backbone.name != "seqnet" and cfg.T > 2:
        cfg.T = 2
    for key, value in ({"growth": 4, "stem": 16} if "growth" in cfg.backbone else {"width": 16}).items():
        cfg.backbone[key] = value
    if "heads" in cfg.backbone:
        cfg.backbone.heads = 4
    cfg.data.image_size = min(cfg.data.image_size, 128 if "multipliers" in cfg.backbone else 64)  # it has seven pools
    train_step(cfg, batch=2)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_every_row_trains(row):
    train_step(compose(row).copy(), batch=2)


def test_registry_names_every_paper_and_every_reason():
    assert {row.partition("/")[0] for row in ROWS} <= set(PAPERS["papers"])
    for paper, data, backbone, method, T, acc, source, reason in PAPERS["not_runnable"]:
        where = f"{paper} {data} {backbone} {method}"
        assert paper in PAPERS["papers"], where
        assert source in PAPERS["sources"], where
        assert reason in PAPERS["reasons"], where
        assert T is None or T >= 1, where
        assert (acc is None) == (source == "not_found"), where
        assert acc is None or 0 < acc < 100, where
