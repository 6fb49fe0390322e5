"""The authors' curves: each row's belongs to its settings, as the log's name and arguments say them."""

import json
import math
import re

import pytest

from snnbench import official
from snnbench.config import compose_row
from snnbench.official import curve_of
from tests.conftest import CONFIGS

PLIF = re.compile(
    r"logs/[AB]/(?:\w+/)?(?:val_(?P<val>[\d.]+)_)?(?P<data>[A-Za-z0-9]+)_init_tau_(?P<tau>[\d.]+)_use_plif_(?P<plif>\w+?)"
    r"_use_max_pool_(?P<pool>True|False)_T_(?P<T>\d+)(?:_c_(?P<c>\d+)_n_(?P<n>\d+)_split_by_number_normalization_None)?"
    r"_detach_reset_True"
)
SEQUENTIAL = re.compile(
    r"sequential_cifar/logs/scf(?P<classes>\d+)/(?:\w+/)?(?P<neu>[a-z0-9]+)_e(?P<e>\d+)_b(?P<b>\d+)_(?P<opt>\w+)_lr"
    r"(?P<lr>[\d.]+)_c(?P<c>\d+)_amp(?:_P(?P<P>\d+))?"
)
PSNNET = re.compile(r"cifar10/logs/if5_T(?P<T>\d+)_e(?P<e>\d+)_b(?P<b>\d+)_sgd_lr(?P<lr>[\d.]+)_c(?P<c>\d+)_amp")
DVS = re.compile(r"cifar10dvs/logs/T(?P<T>\d+)_opt_SGD(?P<lr>[\d.]+)_tau_0.25_method_PSN_b_(?P<b>\d+)_TET_2gpu")
SEW = re.compile(
    r"origin_logs/imagenet/sew_resnet/spiking_resnet(?P<depth>\d+)_b(?P<b>\d+)_lr(?P<lr>[\d.]+)_T(?P<T>\d+)_coslr"
    r"(?P<e>\d+)_sgd_cnf_add_logs"
)
PRETRAINED = re.compile(
    r"imagenet/logs/sew_resnet(?P<depth>\d+)_b(?P<b>\d+)_lr(?P<lr>[\d.]+)_T(?P<T>\d+)_coslr(?P<e>\d+)_sgd_8gpu_load_tet_logs"
)
PLAIN = re.compile(
    r"origin_logs/imagenet/spiking_resnet/mem_add_resnet2_(?P<depth>\d+)_b(?P<b>\d+)_lr(?P<lr>[\d.]+)_T(?P<T>\d+)_(?P<zi>zi)_"
    r"coslr(?P<e>\d+)_sgd_logs"
)
WIDE = re.compile(
    r"origin_logs/cifar10dvs/SEWResNet_ADD_T_(?P<T>\d+)_T_train_(?P<frames>\w+)_SGD_lr_(?P<lr>[\d.]+)_CosALR_(?P<e>\d+)_amp"
)
GESTURE = re.compile(
    r"origin_logs/dvsgesture/DVSGNetSEW(?P<c>\d+)_b(?P<b>\d+)_lr(?P<lr>[\d.]+)_T(?P<T>\d+)_Ttrain(?P<frames>\d+)_(?P<zi>zi)_"
    r"steplr(?P<step>\d+)_(?P<gamma>[\d.]+)_sgd_cnf_add_logs"
)
NEURONS = {
    "lif": "lif",
    "lifnr": "lif_no_reset",
    "plif": "plif",
    "klif": "klif",
    "glif": "glif",
    "if5": "psn",
    "if5pmd8": "masked_psn",
    "mspsn": "sliding_psn",
}


def plif(said, config, w):
    assert config["data"]["name"].replace("_", "") == said["data"].lower()
    assert config["neuron"]["name"] == ("plif" if said["plif"] == "True" else "lif")
    assert config["neuron"]["tau"] == float(said["tau"])
    assert config["neuron"]["detach_reset"] is True
    assert config["backbone"]["pool"] == ("max" if said["pool"] == "True" else "avg")
    assert config["T"] == int(said["T"])
    assert config["data"]["val_fraction"] == float(said["val"] or 0)
    convs = sum(config["backbone"]["stages"])
    if said["c"]:
        assert (config["backbone"]["width"], convs) == (int(said["c"]), int(said["n"]))
        assert config["data"]["slicing"] == "number"
    assert len(w) == (convs + 2 if said["plif"] == "True" else 0)


def sequential(said, config, w):
    assert config["data"]["name"] == f"cifar{said['classes']}"
    assert (config["backbone"]["name"], config["T"]) == ("seqnet", 32)
    assert config["neuron"]["name"] == NEURONS[said["neu"]]
    assert config["optimizer"]["name"] == said["opt"]
    assert said["P"] is None or config["neuron"]["k"] == int(said["P"])
    assert config["neuron"].get("lambda_rate") == (8.0 if said["neu"].endswith("pmd8") else None)


def psnnet(said, config, w):
    assert (config["data"]["name"], config["backbone"]["name"], config["neuron"]["name"]) == (
        "cifar10",
        "psnnet",
        "psn",
    )


def dvs(said, config, w):
    assert (config["data"]["name"], config["backbone"]["name"]) == ("cifar10dvs", "vggsnn")
    assert (config["neuron"]["name"], config["neuron"]["k"], config["loss"]["name"]) == ("sliding_psn", 2, "tet")


def sew(said, config, w):
    assert config["data"]["name"] == "imagenet"
    assert config["backbone"]["name"] == f"sew_resnet{said['depth']}"
    assert config["neuron"]["name"] == "if"
    assert config["batch_size"] == 8 * int(said["b"])  # eight GPUs


def pretrained(said, config, w):
    assert (config["data"]["name"], config["neuron"]["name"]) == ("imagenet", "psn")
    assert config["backbone"]["name"] == f"sew_resnet{said['depth']}"
    assert f"resnet{said['depth']}-" in config["weights"]["path"]
    assert (config["loss"]["name"], config["loss"]["lam"]) == ("tet", 0.0)
    assert config["batch_size"] == 8 * int(said["b"])  # eight GPUs


def plain(said, config, w):
    assert config["data"]["name"] == "imagenet"
    assert config["backbone"]["name"] == f"spiking_resnet{said['depth']}"
    assert config["backbone"]["zero_init_last"] is True
    assert config["neuron"]["name"] == "if"
    assert config["batch_size"] == 8 * int(said["b"])  # eight GPUs


def wide(said, config, w):
    assert (config["data"]["name"], config["backbone"]["name"]) == ("cifar10dvs", "sew_7bwide")
    assert (config["neuron"]["name"], config["backbone"]["connect"]) == ("plif", "add")
    assert (said["frames"], config["data"]["train_frames"]) == ("None", None)


def gesture(said, config, w):
    assert (config["data"]["name"], config["backbone"]["name"]) == ("dvs128gesture", "sew_7b")
    assert (config["neuron"]["name"], config["backbone"]["connect"]) == ("plif", "add")
    assert config["backbone"]["zero_init_last"] is True
    assert config["data"]["train_frames"] == int(said["frames"])
    assert (config["schedule"]["step_size"], config["schedule"]["gamma"]) == (int(said["step"]), float(said["gamma"]))


KINDS = {
    PLIF: plif,
    SEQUENTIAL: sequential,
    PSNNET: psnnet,
    DVS: dvs,
    SEW: sew,
    PLAIN: plain,
    WIDE: wide,
    GESTURE: gesture,
    PRETRAINED: pretrained,
}


@pytest.mark.parametrize("row", official.rows())
def test_a_rows_curve_is_of_its_settings(row):
    curve, config = curve_of(row), compose_row(row)
    ((said, same),) = [
        (found.groupdict(), same) for kind, same in KINDS.items() if (found := kind.fullmatch(curve.log))
    ]
    same(said, config, curve.w)
    for name, value in {
        "T": config["T"],
        "e": config["epochs"],
        "c": config["backbone"].get("width"),
        "lr": config["optimizer"]["lr"],
    }.items():
        assert said.get(name) is None or float(said[name]) == value, name
    assert same in (sew, plain, pretrained) or int(said.get("b", 16)) == config["batch_size"]
    assert len(curve.accuracy) == config["epochs"]
    assert all(len(values) == config["epochs"] for values in (*curve.columns.values(), *curve.w))
    assert config["row"]["paper"] == {plif: "plif", **dict.fromkeys((sew, plain, wide, gesture), "sew")}.get(
        same, "psn"
    )


def test_each_log_belongs_to_one_row_and_every_row_exists():
    found = official.rows()
    assert len(set(found.values())) == len(found) == 70
    assert all((CONFIGS / "experiment" / f"{row}.yaml").is_file() for row in found)
    assert curve_of("plif/nmnist_plifnet_t10_val") is None  # its log has T = 20
    assert curve_of(None) is None


def test_orders_are_what_their_logs_say():
    for neuron, log in (("masked_psn", "if5pmd8"), ("sliding_psn", "mspsn")):
        row = f"psn/seqcifar100_seqnet_t32_{neuron}"
        found = official.orders(row)
        assert list(found) == list(range(1, 33))
        for order, curve in found.items():
            said = SEQUENTIAL.fullmatch(curve.log).groupdict()
            assert (said["classes"], said["neu"], said["P"]) == ("100", log, str(order))
            assert len(curve.accuracy) == 256
        assert found[32] == curve_of(row)
    assert official.orders("psn/seqcifar10_seqnet_t32_masked_psn") == {}


def test_every_file_holds_percents_and_finite_numbers_and_is_small():
    paths = sorted(official.HERE.glob("*.json"))
    assert sum(path.stat().st_size for path in paths) < 1.5e6
    logs = {path.stem: json.loads(path.read_text())["logs"] for path in paths if path.stem != "rows"}
    assert {file: len(found) for file, found in logs.items()} == {"psn": 86, "plif": 49, "sew": 12}
    for found in logs.values():
        for name, columns in found.items():
            for key, values in columns.items():
                if key.endswith("/acc"):
                    assert min(values) >= 0, (name, key)
                    assert 5 < max(values) <= 100, (name, key)
                elif key.endswith("/loss"):
                    assert all(math.isfinite(value) and value > 0 for value in values), (name, key)


def test_values_are_those_of_the_logs():
    """Of two logs, read off their own charts' data: first, best and last."""
    psn = curve_of("psn/cifar10_psnnet_t4").accuracy
    assert (psn[0], max(psn), psn[-1]) == (41.38, 95.32, 94.96)
    fashion = curve_of("plif/fashion_mnist_plifnet_t8")
    assert (fashion.accuracy[0], max(fashion.accuracy)) == (88.96, 94.38)
    assert [round(w[-1], 3) for w in fashion.w] == [0.296, 0.253, -3.358, -0.889]
    assert fashion.w[0][0] == pytest.approx(0.275, abs=1e-9)
