"""How the field writes the names that configs spell in small letters."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any
from unicodedata import lookup

from snnbench.registry import config_name, place
from snnbench.runs.read import Run

DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "nmnist": "N-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "cifar10dvs": "CIFAR10-DVS",
    "dvs128gesture": "DVS128 Gesture",
    "tiny_imagenet": "Tiny-ImageNet",
    "imagenet": "ImageNet",
}
WITHOUT_SPIKES = {"relu": "ReLU"}
GREEK = {name: lookup(f"GREEK SMALL LETTER {name}") for name in ("alpha", "beta", "gamma", "tau")}
COEFFICIENTS = {
    ("dalif", "alpha"): f"spatial decay {GREEK['alpha']}",
    ("dalif", "beta"): f"temporal decay {GREEK['beta']}",
}


def data(name: str) -> str:
    return DATA.get(name, name)


def neuron(name: str) -> str:
    return neurons().get(name) or WITHOUT_SPIKES.get(name, name)


@cache
def neurons() -> dict[str, str]:
    """The label of each neuron of the project by the name that configs give it, in the registry's order.

    It is what the registry knows, read from the text of the classes: importing them would import PyTorch.
    """
    classes: dict[str, tuple[str, ast.ClassDef]] = {}
    for file in (resources.files("snnbench") / "neurons").iterdir():
        if file.name.endswith(".py"):
            module, text = file.name.removesuffix(".py"), file.read_text("utf-8")
            classes |= {node.name: (module, node) for node in ast.parse(text).body if isinstance(node, ast.ClassDef)}
    found = []
    for class_name, (module, node) in classes.items():
        line = list(_line(class_name, classes))
        members = {member.name for cls in line[1:] for member in cls.body if isinstance(member, ast.FunctionDef)}
        if line[0].name == "SpikingNeuron" and {"step", "run"} & members and not class_name.startswith("_"):
            own = _constants(node)
            name = own.get("config_name", config_name(class_name))
            found.append((place(name, module, own.get("year")), name, own.get("label", class_name)))
    return {name: label for _, name, label in sorted(found)}


def _line(name: str, classes: Mapping[str, tuple[str, ast.ClassDef]]) -> Iterator[ast.ClassDef]:
    """The class and all that it derives from, the furthest first, as far as `classes` has them."""
    if name in classes:
        node = classes[name][1]
        for base in node.bases:
            yield from _line(getattr(base, "id", getattr(base, "attr", "")), classes)
        yield node


def _constants(node: ast.ClassDef) -> dict[str, Any]:
    """The plain values that the class's own body gives to names."""
    found: dict[str, Any] = {}
    for line in node.body:
        if isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(line.value, ast.Constant):
            targets = line.targets if isinstance(line, ast.Assign) else [line.target]
            found |= {target.id: line.value.value for target in targets if isinstance(target, ast.Name)}
    return found


def neuron_of(run: Run) -> str:
    """As the run says itself; where it does not, by the neuron's name in its config."""
    recorded = run.result.get("labels")
    label = recorded.get("neuron") if isinstance(recorded, dict) else None
    return label if isinstance(label, str) and label else neuron(str(run.config["neuron"].get("name")))


NETWORKS = {"vggsnn": "VGGSNN", "convnet": "ConvNet", "sew_7b": "7B-Net", "sew_7bwide": "7B-wideNet"}
FAMILIES = {None: "", "sew_": "SEW-", "ms_": "MS-", "spiking_": "Spiking "}


def backbone(name: str) -> str:
    """resnet20 is ResNet-20, sew_resnet18 SEW-ResNet-18, vgg11 VGG-11; others as they are."""
    found = re.fullmatch(r"(sew_|ms_|spiking_)?(resnet|vgg)(\d+)(?:_(\w+))?", name)
    if not found:
        known, _, variant = name.rpartition("_")
        return f"{NETWORKS[known]} ({variant})" if known in NETWORKS else NETWORKS.get(name, name)
    family, kind, depth, variant = found.groups()
    plain = f"{FAMILIES[family]}{'ResNet' if kind == 'resnet' else 'VGG'}-{depth}"
    return f"{plain} ({variant})" if variant else plain


def coefficient(neuron: str, name: str) -> str:
    return COEFFICIENTS.get((neuron, name), GREEK.get(name, name))


def layer(name: str) -> str:
    """A layer without the part that all have: units.0.neuron is units.0."""
    return name.removesuffix(".neuron") or name
