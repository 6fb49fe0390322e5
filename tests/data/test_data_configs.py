from __future__ import annotations

from pathlib import Path

import pytest
import torch
from image_files import CONFIGS, image_data, ready, write_cifar, write_imagenet, write_mnist, write_tiny_imagenet

from snnbench.data.images.dataset import ImageDataset

AUGMENTS = sorted(
    path.stem for path in (CONFIGS / "augment").glob("*.yaml") if not path.stem.startswith("dvs_")
)  # those are for event clips
IMAGE_DATA = [
    path.stem for path in sorted((CONFIGS / "data").glob("*.yaml")) if "snnbench.data.ImageData" in path.read_text()
]
GREY_ONLY = {"affine"}


def write_all(root: Path) -> None:
    write_mnist(root)
    write_mnist(root, name="FashionMNIST")
    write_cifar(root)
    write_cifar(root, per_batch=100, classes=100)
    write_tiny_imagenet(root)
    write_imagenet(root)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("everything")
    write_all(root)
    return root


def test_every_data_set_is_tested() -> None:
    assert set(IMAGE_DATA) >= {"digits", "mnist", "fashion_mnist", "cifar10", "cifar100", "tiny_imagenet", "imagenet"}
    assert len(AUGMENTS) >= 10


@pytest.mark.parametrize("name", IMAGE_DATA)
def test_data_configs_make_batches(name: str, everything: Path) -> None:
    data = ready(image_data(name, root=everything, verify=False, num_workers=0, batch_size=3))
    assert data.name == name
    assert len(data.mean) == len(data.std) == data.in_channels
    x, y = next(iter(data.train_dataloader()))
    assert x.shape == (3, data.in_channels, data.image_size, data.image_size)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    assert y.shape == (3,)
    assert y.dtype == torch.int64


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("name", ["mnist", "cifar10", "tiny_imagenet", "imagenet"])
def test_augmentations_fit_the_data(name: str, augment: str, everything: Path) -> None:
    if name == "imagenet" and not augment.startswith(("imagenet", "none")):
        pytest.skip("the recipe keeps the image's size, which differs in ImageNet")
    if name == "mnist" and augment.startswith(("imagenet_fsta", "imagenet_timm", "timm")):
        pytest.skip("timm's RandAugment is for RGB")
    data = ready(image_data(name, augment, everything, verify=False, num_workers=0, batch_size=6))
    plain = ready(image_data(name, "none", everything, verify=False, num_workers=0, batch_size=6))
    assert isinstance(data.train_set, ImageDataset)
    assert data.augment.name == augment
    keys = [(draw, index) for draw in range(5) for index in range(4)]
    (x, y), (bare, bare_y) = data.train_set.__getitems__(keys), plain.train_set.__getitems__(keys)
    assert x.shape == bare.shape
    assert torch.equal(y, bare_y)
    assert torch.isfinite(x).all()
    assert torch.equal(x, bare) == (augment == "none") or name in ("tiny_imagenet", "imagenet"), "flat images"
    if data.batch_transform is not None:
        mixed, soft = data.batch_transform(x, y)
        assert mixed.shape == x.shape
        torch.testing.assert_close(soft.sum(1), torch.ones(len(y)))
        assert soft.shape == (len(y), data.num_classes)


@pytest.mark.parametrize("path", sorted((CONFIGS / "augment").glob("*.yaml")), ids=lambda path: path.stem)
def test_config_names_match_their_files(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# ")
    assert f"\nname: {path.stem}\n" in text
