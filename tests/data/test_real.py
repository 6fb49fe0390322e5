"""With $SNNBENCH_TEST_DATA naming a folder of published data sets, in torchvision's layout."""

from __future__ import annotations

import os

import pytest
import torch
from image_files import image_data, ready

ROOT = os.environ.get("SNNBENCH_TEST_DATA", "")
FOLDERS = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_published_files_are_real_and_normalised(name: str) -> None:
    if not ROOT:
        pytest.skip("SNNBENCH_TEST_DATA is not set")
    if not os.path.isdir(os.path.join(ROOT, FOLDERS[name])):
        pytest.skip(f"SNNBENCH_TEST_DATA has no {FOLDERS[name]}")
    data = ready(image_data(name, root=ROOT, download=False))
    assert data.provenance == "real"
    sizes = len(data.train_set), len(data.eval_sets["test"])
    assert sizes == ((50_000, 10_000) if "cifar" in name else (60_000, 10_000))
    assert len(torch.bincount(data.train_set.labels)) == data.num_classes
    x, _ = data.train_set.__getitems__([(0, i) for i in range(len(data.train_set))])
    assert x.mean((0, 2, 3)).abs().max() < 0.01
    # CIFAR-10's customary std is not the pixels' std, which GLIF's code has.
    std = {"cifar10": [0.247, 0.2435, 0.2616]}.get(name, data.std)
    torch.testing.assert_close(x.std((0, 2, 3)) * torch.tensor(data.std), torch.tensor(std), atol=2e-3, rtol=0)
