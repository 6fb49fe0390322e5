"""Only data that was proved to be all of the published data is called real."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from image_files import (
    image_data,
    ready,
    write_cifar,
    write_jpeg,
    write_tiny_imagenet,
)
from own_data import Npz, custom
from torchvision.datasets.utils import calculate_md5

from snnbench.data import BenchData, ImageData
from snnbench.data.images.classes import ClassFolders
from snnbench.data.images.dataset import MemoryImages
from snnbench.data.images.folders import TinyImageNet, has_published_names
from snnbench.data.images.sources import CIFAR10, Digits, Source
from snnbench.errors import UserError


@pytest.mark.parametrize("value", [1, "yes", None, "Full", [True]])
def test_verify_takes_three_values(value: object) -> None:
    with pytest.raises(UserError, match=r"data.verify=.*must be true, false, or full"):
        Digits("nowhere", verify=value)


def test_digits_are_compared_with_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ready(image_data("digits")).provenance == "real"
    data = ready(image_data("digits", verify=False))
    assert (data.provenance, data.doubt) == ("unverified", "data.verify=false")
    real = Digits._digits
    monkeypatch.setattr(Digits, "_digits", lambda self: (real(self)[0].flip(0), real(self)[1]))
    with pytest.raises(UserError, match="digits are not the published ones"):
        image_data("digits").prepare_data()


class Half(Digits):
    """Inherits all and says nothing."""

    def load(self) -> tuple[MemoryImages, MemoryImages]:
        return tuple(MemoryImages(part.pixels[::2], part.labels[::2]) for part in super().load())


class HalfButReal(Half):
    published = Digits.published


class Claims(Npz):
    provenance = "real"
    doubt = ""


@pytest.mark.parametrize(
    ("source", "provenance", "doubt"),
    [
        (Npz, "unverified", "Npz names no published data"),
        (Half, "unverified", "Half names no published data"),
        (HalfButReal, "subset", "719 of 1438 train images, 180 of 359 test images"),
        (Claims, "real", ""),
    ],
)
def test_a_source_of_ones_own_is_what_it_proves(
    source: Callable[..., Source], provenance: str, doubt: str, tmp_path: Path
) -> None:
    data = ready(custom(source, tmp_path))
    assert (data.provenance, data.doubt) == (provenance, doubt)
    assert data.fingerprint()["source"] == source.__name__


def test_a_data_module_of_ones_own_proves_nothing_by_what_it_inherits(tmp_path: Path) -> None:
    class Mine(ImageData):
        pass

    data = ready(custom(Digits, tmp_path, Mine))
    assert (data.provenance, data.doubt) == ("unverified", "Mine does not prove its data")

    class Bare(BenchData):
        def load(self) -> tuple[object, dict[str, object]]:
            return [(torch.zeros(1), 0)] * 9, {"test": [(torch.zeros(1), 0)] * 5}

    common = {"name": "bare", "in_channels": 1, "num_classes": 2, "image_size": 1, "batch_size": 4, "seed": 0}
    bare = Bare(eval_batch_size=4, **common)
    bare.setup()
    assert (bare.provenance, bare.doubt) == ("unverified", "Bare does not prove its data")
    found = bare.fingerprint()
    assert (found["samples"], found["labels"], found["files"]) == ({"train": 9, "test": 5}, None, None)


def test_an_archive_beside_it_proves_a_folder_of_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_tiny_imagenet(tmp_path)
    monkeypatch.setattr("snnbench.data.images.folders._check_counts", lambda *_: None)  # it is a part of the true one
    monkeypatch.setattr(TinyImageNet, "published", {"train": 12, "test": 3})
    data = ready(image_data("tiny_imagenet", root=tmp_path))
    assert (data.provenance, data.doubt[:24]) == ("unverified", "tiny-imagenet-200.zip is")
    archive = tmp_path / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in sorted(folder.rglob("*.*")):
            packed.write(path, path.relative_to(tmp_path))
    monkeypatch.setattr(TinyImageNet, "md5", calculate_md5(archive))
    assert ready(image_data("tiny_imagenet", root=tmp_path)).provenance == "real"
    write_jpeg(folder / "val/images/val_1.JPEG", (64, 64), (1, 2, 3))
    with pytest.raises(UserError, match=r"val_1.JPEG is damaged: it is not what its archive holds"):
        image_data("tiny_imagenet", root=tmp_path).prepare_data()


def test_imagenet_is_known_by_its_published_names() -> None:
    classes = [f"n{k:08}" for k in range(2)]
    train = [f"{c}/{c}_{i}.JPEG" for c in classes for i in range(732)]
    val = [f"{classes[i % 2]}/ILSVRC2012_val_{i + 1:08}.JPEG" for i in range(100)]
    test = ClassFolders(Path("val"), classes, val, [i % 2 for i in range(100)])

    def known(names: list[str]) -> bool:
        return has_published_names(ClassFolders(Path("train"), classes, names, [int(n[8]) for n in names]), test)

    assert known(train)
    assert not known([*train[:-1], f"{classes[1]}/0.JPEG"])
    assert not known([*train[:-1], f"{classes[1]}/{classes[0]}_9.JPEG"])
    assert not known(train[:-1])


def test_published_files_are_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path)
    folder = tmp_path / "cifar-10-batches-py"
    for key in ("train_list", "test_list"):
        listed = [[name, calculate_md5(folder / name)] for name, _ in getattr(CIFAR10.dataset, key)]
        monkeypatch.setattr(CIFAR10.dataset, key, listed)
    meta = CIFAR10.dataset.meta | {"md5": calculate_md5(folder / "batches.meta")}
    monkeypatch.setattr(CIFAR10.dataset, "meta", meta)
    data = ready(image_data("cifar10", root=tmp_path))
    assert (data.provenance, data.doubt) == ("subset", "100 of 50000 train images, 20 of 10000 test images")
    monkeypatch.setattr(CIFAR10, "published", {"train": 100, "test": 20})
    for verify in (True, "full"):
        data = ready(image_data("cifar10", root=tmp_path, verify=verify))
        assert (data.provenance, data.doubt) == ("real", "")
        assert data.fingerprint()["files"]["published"] is True
