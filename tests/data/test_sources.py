from __future__ import annotations

import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import gzip_file, image_data, ready, write_cifar, write_idx, write_mnist

from snnbench.errors import UserError

WRITERS = {
    "mnist": write_mnist,
    "fashion_mnist": lambda root: write_mnist(root, name="FashionMNIST"),
    "cifar10": write_cifar,
    "cifar100": lambda root: write_cifar(root, per_batch=200, classes=100),
}


@pytest.mark.parametrize("name", WRITERS)
def test_hand_made_files_are_read_and_marked_unverified(name: str, tmp_path: Path) -> None:
    pixels = torch.from_numpy(WRITERS[name](tmp_path))
    pixels = pixels if pixels.ndim == 4 else pixels[:, None]
    data = ready(image_data(name, root=tmp_path, verify=False))
    assert (data.name, data.provenance, data.split) == (name, "unverified", "official train/test")
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    for index in (0, len(pixels) - 1):
        x, y = data.train_set[index]
        torch.testing.assert_close(x, (pixels[index] / 255 - mean) / std)
        assert y == index % data.num_classes
    assert x.shape == (data.in_channels, data.image_size, data.image_size)


@pytest.mark.parametrize("name", WRITERS)
def test_files_that_are_not_the_published_ones_are_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    with pytest.raises(UserError, match=r"(train|data_batch_1)\S* is damaged: MD5 .* the published file has"):
        image_data(name, root=tmp_path).prepare_data()


@pytest.mark.parametrize("part", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", ["truncated", "longer", "no idx", "empty"])
def test_a_damaged_idx_file_is_named_with_its_size(part: str, damage: str, tmp_path: Path) -> None:
    write_mnist(tmp_path)
    path = tmp_path / "MNIST" / "raw" / part
    good = path.read_bytes()
    bad = {"truncated": good[:-7], "longer": good + b"x", "no idx": b"<html>" * 30, "empty": b""}[damage]
    path.write_bytes(bad)
    with pytest.raises(UserError) as error:
        image_data("mnist", root=tmp_path, verify=False).prepare_data()
    assert str(path) in str(error.value)
    assert f"{len(bad)} bytes" in str(error.value)
    if damage in ("truncated", "longer"):
        assert str(len(good)) in str(error.value)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "wrong shape"])
def test_a_damaged_cifar_batch_is_named(name: str, damage: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path)
    path = tmp_path / ("cifar-10-batches-py/data_batch_3" if name == "cifar10" else "cifar-100-python/test")
    good = path.read_bytes()
    label = b"labels" if name == "cifar10" else b"fine_labels"
    bad = {"truncated": good[:-100], "empty": b"", "garbage": b"\x80\x02" + b"q" * 50}
    path.write_bytes(bad.get(damage, good.replace(label, b"x" * len(label))))
    with pytest.raises(UserError, match=path.name) as error:
        image_data(name, root=tmp_path, verify=False).prepare_data()
    assert "is damaged" in str(error.value)
    assert "Replace it, or delete its folder" in str(error.value)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte", np.full(30, 10, dtype=np.uint8))
    with pytest.raises(UserError, match=r"data.num_classes=10: the test labels go up to 10"):
        ready(image_data("mnist", root=tmp_path, verify=False))


@pytest.mark.parametrize("name", [*WRITERS, "tiny_imagenet"])
def test_missing_data_without_network(name: str, tmp_path: Path, no_network: Callable[[], list[str]]) -> None:
    root = tmp_path / "data"
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        image_data(name, root=root).prepare_data()
    assert time.monotonic() - start < 5
    assert no_network(), "the download was not even tried"
    message = str(error.value)
    for part in (f"no data in {root}", "By hand:", "no route to host", "paths.data=", "$SNNBENCH_DATA", "data=digits"):
        assert part in message
    assert not root.exists(), "a failed download must leave nothing"


@pytest.mark.parametrize("name", [*WRITERS, "tiny_imagenet"])
def test_download_switched_off(name: str, tmp_path: Path, no_network: Callable[[], list[str]]) -> None:
    with pytest.raises(UserError, match=r"data\.download=false"):
        image_data(name, root=tmp_path, download=False).prepare_data()
    assert not no_network()


def test_an_interrupted_download_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").touch()

    def die(url: str, path: str, *args: object) -> None:
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", die)
    with pytest.raises(KeyboardInterrupt):
        image_data("cifar10", root=tmp_path).prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_wrong_archive_is_not_taken_for_the_data(tmp_path: Path, no_network: Callable[[], list[str]]) -> None:
    write_cifar(tmp_path / "other")
    archive = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "other" / "cifar-10-batches-py", "cifar-10-batches-py")
    before = archive.read_bytes()
    with pytest.raises(UserError, match="the download failed"):
        image_data("cifar10", root=tmp_path, verify=False).prepare_data()
    assert archive.read_bytes() == before
    assert not (tmp_path / "cifar-10-batches-py").exists()


def test_archives_put_there_by_hand_save_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: Callable[[], list[str]]
) -> None:
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import calculate_md5

    write_mnist(tmp_path / "other")
    raw, resources = tmp_path / "MNIST" / "raw", []
    for archive, _ in MNIST.resources:
        gzip_file(tmp_path / "other" / "MNIST" / "raw" / archive.removesuffix(".gz"), raw / archive)
        resources.append((archive, calculate_md5(raw / archive)))
    monkeypatch.setattr(MNIST, "resources", resources)
    data = ready(image_data("mnist", root=tmp_path, verify=False))
    assert len(data.train_set) == 100
    assert not no_network()
    assert not list(tmp_path.glob(".download-*"))


def test_a_folder_with_some_files_missing_is_not_touched(tmp_path: Path, no_network: Callable[[], list[str]]) -> None:
    write_cifar(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_4").unlink()
    with pytest.raises(UserError, match="lacks data_batch_4: delete the folder"):
        image_data("cifar10", root=tmp_path, verify=False).prepare_data()
    assert not no_network()


def test_a_root_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="no data in"):
        image_data("mnist", root=tmp_path / "file").prepare_data()


def test_digits_split_is_the_same_for_all_seeds() -> None:
    a, b = (ready(image_data("digits", seed=seed)) for seed in (0, 12345))
    assert (len(a.train_set), len(a.eval_sets["test"])) == (1438, 359)
    for part_a, part_b in ((a.train_set, b.train_set), (a.eval_sets["test"], b.eval_sets["test"])):
        keys = [(0, i) for i in range(len(part_a))]
        assert torch.equal(part_a.__getitems__(keys)[0], part_b.__getitems__(keys)[0])
    assert a.provenance == "real"
    counts = torch.bincount(a.eval_sets["test"].labels)
    assert counts.min() >= 35
    assert counts.max() <= 37


def test_digits_are_the_true_pixels_normalised() -> None:
    from sklearn.datasets import load_digits

    data = ready(image_data("digits"))
    everything = [
        part.__getitems__([(0, i) for i in range(len(part))]) for part in (data.train_set, *data.eval_sets.values())
    ]
    x, y = (torch.cat(parts) for parts in zip(*everything, strict=True))
    assert abs(x.mean()) < 0.01
    assert abs(x.std() - 1) < 0.01
    greys = ((x * data.std[0] + data.mean[0]) * 16).squeeze(1)
    digits = load_digits()
    found = {(int(label), image.round().int().numpy().tobytes()) for image, label in zip(greys, y, strict=True)}
    true = {(int(t), image.astype(np.int32).tobytes()) for image, t in zip(digits.images, digits.target, strict=True)}
    assert found == true


def test_an_empty_part_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path, test=0)
    with pytest.raises(UserError, match=r"t10k-images-idx3-ubyte is damaged: 16 bytes"):
        image_data("mnist", root=tmp_path, verify=False).prepare_data()


def test_images_and_labels_must_be_as_many(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(99, dtype=np.uint8))
    with pytest.raises(UserError, match=r"train-labels-idx1-ubyte is damaged: 99 labels for 100 images"):
        image_data("mnist", root=tmp_path, verify=False).prepare_data()
