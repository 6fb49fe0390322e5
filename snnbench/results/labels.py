"""How the field writes the names that configs spell in small letters."""

from __future__ import annotations

import re
from unicodedata import lookup

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
NEURONS = {
    "lif": "LIF",
    "dalif": "DA-LIF",
    "arlif": "AR-LIF",
    "klif": "KLIF",
    "plif": "PLIF",
    "clif": "CLIF",
    "glif": "GLIF",
    "psn": "PSN",
    "masked_psn": "masked PSN",
    "sliding_psn": "sliding PSN",
    "if": "IF",
}
GREEK = {name: lookup(f"GREEK SMALL LETTER {name}") for name in ("alpha", "beta", "gamma", "tau")}
COEFFICIENTS = {
    ("dalif", "alpha"): f"spatial decay {GREEK['alpha']}",
    ("dalif", "beta"): f"temporal decay {GREEK['beta']}",
}


def data(name: str) -> str:
    return DATA.get(name, name)


def neuron(name: str) -> str:
    return NEURONS.get(name, name)


def neuron_of(run: Run) -> str:
    """As the run says itself; where it does not, by the neuron's name in its config."""
    recorded = run.result.get("labels")
    label = recorded.get("neuron") if isinstance(recorded, dict) else None
    return label if isinstance(label, str) and label else neuron(str(run.config["neuron"].get("name")))


def backbone(name: str) -> str:
    """resnet20 is ResNet-20, sew_resnet18 SEW-ResNet-18, vgg11 VGG-11; others as they are."""
    found = re.fullmatch(r"(sew_)?(resnet|vgg)(\d+)(?:_(\w+))?", name)
    if not found:
        return {"vggsnn": "VGGSNN", "convnet": "ConvNet"}.get(name, name)
    sew, kind, depth, variant = found.groups()
    plain = f"{'SEW-' if sew else ''}{'ResNet' if kind == 'resnet' else 'VGG'}-{depth}"
    return f"{plain} ({variant})" if variant else plain


def coefficient(neuron: str, name: str) -> str:
    return COEFFICIENTS.get((neuron, name), GREEK.get(name, name))


def layer(name: str) -> str:
    """A layer without the part that all have: units.0.neuron is units.0."""
    return name.removesuffix(".neuron") or name
