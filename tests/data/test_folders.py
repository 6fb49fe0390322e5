from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from image_files import image_data, ready, write_imagenet, write_jpeg, write_tiny_imagenet

from snnbench.errors import UserError


def test_tiny_imagenet_labels_come_from_the_annotations(tmp_path: Path) -> None:
    write_tiny_imagenet(tmp_path)
    data = ready(image_data("tiny_imagenet", root=tmp_path, verify=False))
    assert (len(data.train_set), len(data.eval_sets["test"])) == (12, 3)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (data.mean, data.std))
    for part in (data.train_set, data.eval_sets["test"]):
        for i in range(len(part)):
            x, y = part[i]
            assert x.shape == (3, 64, 64)
            torch.testing.assert_close((x * std + mean) * 255, torch.full_like(x, 40.0 * (y + 1)), atol=1.5, rtol=0)
    assert data.provenance == "unverified"


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda f: (f / "val/val_annotations.txt").write_text("val_0.JPEG\tn99999999\t0\n"), "line 1.*n99999999"),
        (lambda f: (f / "val/images/val_1.JPEG").write_bytes(b"\xff\xd8\xff"), "val_1.JPEG is damaged"),
        (lambda f: (f / "val/images/val_1.JPEG").unlink(), "val_1.JPEG is damaged or missing"),
        (
            lambda f: write_jpeg(f / "train/n00000001/images/n00000001_2.JPEG", (60, 64), (0, 0, 0)),
            "_2.JPEG is damaged",
        ),
        (lambda f: (f / "val/val_annotations.txt").unlink(), "lacks val/val_annotations.txt"),
        (lambda f: shutil.rmtree(f / "train"), "lacks train"),
    ],
)
def test_damaged_tiny_imagenet_is_named(damage: object, named: str, tmp_path: Path) -> None:
    damage(write_tiny_imagenet(tmp_path))
    with pytest.raises(UserError, match=named):
        ready(image_data("tiny_imagenet", root=tmp_path, verify=False, download=False))


def test_a_truncated_jpeg_is_named(tmp_path: Path) -> None:
    path = write_tiny_imagenet(tmp_path) / "train/n00000002/images/n00000002_3.JPEG"
    path.write_bytes(path.read_bytes()[:-150])
    with pytest.raises(UserError, match=r"n00000002_3.JPEG is damaged"):
        ready(image_data("tiny_imagenet", root=tmp_path, verify=False))


@pytest.mark.parametrize(("name", "write"), [("tiny_imagenet", write_tiny_imagenet), ("imagenet", write_imagenet)])
def test_wrong_counts_are_not_the_published_data(name: str, write: object, tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match=r"holds \d+ images of \d classes, the published data set"):
        image_data(name, root=tmp_path).prepare_data()


@pytest.mark.parametrize("augment", ["none", "imagenet_basic"])
@pytest.mark.parametrize("workers", [0, 2])
def test_imagenet_folders(augment: str, workers: int, tmp_path: Path) -> None:
    write_imagenet(tmp_path)
    module = image_data("imagenet", augment, tmp_path, verify=False, batch_size=4, num_workers=workers)
    data = ready(module)
    for loader in (data.train_dataloader(), *data.val_dataloader()):
        ((x, y),) = loader
        assert x.shape == (4, 3, 224, 224)
        red = x[:, 0].mean((1, 2)) * data.std[0] + data.mean[0]
        torch.testing.assert_close(red, y * 100 / 255, atol=0.02, rtol=0)
        assert sorted(y.tolist()) == [0, 0, 1, 1]


def test_a_damaged_imagenet_file_is_named_by_a_worker_too(tmp_path: Path) -> None:
    path = write_imagenet(tmp_path) / "train/n00000001/1.JPEG"
    path.write_bytes(path.read_bytes()[:300])
    data = ready(image_data("imagenet", root=tmp_path, verify=False, num_workers=1))
    with pytest.raises(UserError, match=r"n00000001/1.JPEG is damaged"):
        list(data.train_dataloader())


def test_missing_imagenet_says_what_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train and no val folder in .*imagenet") as error:
        image_data("imagenet", root=tmp_path).prepare_data()
    assert "ILSVRC2012_img_train.tar" in str(error.value)
    assert "data=digits" in str(error.value)


def test_imagenet_without_class_folders(tmp_path: Path) -> None:
    folder = write_imagenet(tmp_path)
    shutil.rmtree(folder / "val")
    write_jpeg(folder / "val" / "ILSVRC2012_val_00000001.JPEG", (300, 300), (0, 0, 0))
    with pytest.raises(UserError, match=r"val must hold one folder of images per class"):
        image_data("imagenet", root=tmp_path, verify=False).prepare_data()


def test_imagenet_with_different_classes_in_train_and_val(tmp_path: Path) -> None:
    folder = write_imagenet(tmp_path)
    (folder / "val" / "n00000001").rename(folder / "val" / "n00000009")
    with pytest.raises(UserError, match="must hold the same class folders"):
        image_data("imagenet", root=tmp_path, verify=False).prepare_data()


def test_damaged_imagenet_archives(tmp_path: Path) -> None:
    folder = tmp_path / "imagenet"
    folder.mkdir()
    (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(b"half")
    with pytest.raises(UserError, match=r"train archive could not be unpacked: .*devkit"):
        image_data("imagenet", root=tmp_path).prepare_data()
