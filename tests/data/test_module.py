from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from image_files import image_data, ready, write_cifar, write_mnist
from torch import Tensor

from snnbench.check import shown
from snnbench.data import ImageData
from snnbench.errors import UserError


def epoch(data: ImageData, number: int = 0) -> list[tuple[Tensor, Tensor]]:
    data.epoch_of = lambda: number
    return list(data.train_dataloader())


def same(a: list[tuple[Tensor, Tensor]], b: list[tuple[Tensor, Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(p[0], q[0]) and torch.equal(p[1], q[1]) for p, q in zip(a, b, strict=True)
    )


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cifar")
    write_cifar(root)
    return root


def cifar_data(root: Path, augment: str = "trivial_mix", **overrides: object) -> ImageData:
    return ready(image_data("cifar10", augment, root, **{"verify": False, "num_workers": 0, **overrides}))


@pytest.mark.parametrize("augment", ["none", "autoaugment_cutout", "cutout_flip", "trivial_mix", "rand_mix"])
def test_batches_do_not_depend_on_workers_or_on_what_came_before(augment: str, cifar: Path) -> None:
    torch.manual_seed(1)
    straight = cifar_data(cifar, augment)
    epochs = [epoch(straight, number) for number in range(3)]
    torch.manual_seed(2)
    assert same(epoch(cifar_data(cifar, augment, num_workers=2), 2), epochs[2]), "resumed at epoch 2, two workers"
    assert not same(epochs[1], epochs[2])
    assert not same(epochs[2], epoch(cifar_data(cifar, augment, seed=1), 2))


def test_timm_transforms_are_seeded_per_sample_too(cifar: Path) -> None:
    pytest.importorskip("timm")
    a = epoch(cifar_data(cifar, "imagenet_fsta"), 1)
    assert same(a, epoch(cifar_data(cifar, "imagenet_fsta", num_workers=2), 1))


def test_persistent_workers_see_the_epoch_of_the_moment(cifar: Path) -> None:
    data = cifar_data(cifar, num_workers=1)
    loader = data.train_dataloader()
    now = 0
    data.epoch_of = lambda: now
    first = list(loader)
    now = 1
    second = list(loader)
    reference = cifar_data(cifar)
    assert same(first, epoch(reference, 0))
    assert same(second, epoch(reference, 1))


def test_augmentation_changes_from_epoch_to_epoch_but_evaluation_does_not(cifar: Path) -> None:
    data = cifar_data(cifar, val_fraction=0.2)
    keys = [(draw, 3) for draw in range(6)]
    x, y = data.train_set.__getitems__(keys)
    assert len({row.numpy().tobytes() for row in x}) > 1
    assert (y == y[0]).all()
    for samples in data.eval_sets.values():
        x, _ = samples.__getitems__(keys)
        assert (x == x[0]).all()


def test_repeated_samples_are_augmented_apart(cifar: Path) -> None:
    data = cifar_data(cifar, repeats=4, batch_size=8)
    x, _ = epoch(data)[0]
    for copies in x.view(4, 2, -1).unbind(1):
        assert len({copy.numpy().tobytes() for copy in copies}) > 1


def test_loading_leaves_the_global_generator_alone_without_augmentation(cifar: Path) -> None:
    torch.manual_seed(5)
    data = cifar_data(cifar, "none")
    epoch(data)
    list(data.val_dataloader()[0])
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_setup_does_not_move_the_global_generator(cifar: Path) -> None:
    torch.manual_seed(5)
    cifar_data(cifar, "autoaugment_cutout")
    drawn = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(3))


def test_validation_split_holds_out_training_samples_only(tmp_path: Path) -> None:
    pixels = write_mnist(tmp_path)
    data = ready(image_data("mnist", "affine", tmp_path, verify=False, val_fraction=0.2, num_workers=0))
    assert data.eval_names == ["test", "val"]
    assert [len(loader.dataset) for loader in data.val_dataloader()] == [30, 20]
    train, val = data.train_set.positions.tolist(), data.eval_sets["val"].positions.tolist()
    assert sorted(train + val) == list(range(100))
    assert torch.bincount(data.eval_sets["val"].labels).tolist() == [2] * 10
    ((x, _), (rest, _)) = data.val_dataloader()[1]
    expected = torch.from_numpy(pixels[val])[:, None] / 255
    torch.testing.assert_close(torch.cat([x, rest]), (expected - 0.1307) / 0.3081)
    assert data.split == "official train/test; val: 0.2 of train, stratified, seed 0"
    other = ready(image_data("mnist", root=tmp_path, verify=False, val_fraction=0.2, seed=1))
    assert other.eval_sets["val"].positions.tolist() != val


def test_the_last_samples_of_each_class_may_be_the_ones_held_out(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    options = {"verify": False, "val_fraction": 0.2, "val_split": "last"}
    data = ready(image_data("mnist", root=tmp_path, seed=3, **options))
    assert data.split == "official train/test; val: 0.2 of train, the last of each class"
    labels, val = data.train_set.images.labels, data.eval_sets["val"].positions
    for label in range(10):
        assert val[labels[val] == label].tolist() == (labels == label).nonzero().squeeze(1)[-2:].tolist()
    assert sorted(data.train_set.positions.tolist() + val.tolist()) == list(range(100))


def test_evaluation_is_complete_and_in_order(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = ready(image_data("mnist", root=tmp_path, verify=False, eval_batch_size=7))
    labels = torch.cat([y for _, y in data.test_dataloader()])
    assert labels.tolist() == [i % 10 for i in range(30)]
    assert data.eval_names == ["test"]


def test_limit_marks_the_data(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = ready(image_data("mnist", root=tmp_path, verify=False, limit=12))
    assert len(data.train_set) == len(data.eval_sets["test"]) == 12
    assert data.provenance == "subset"


@pytest.mark.parametrize(("drop_last", "steps"), [(False, 7), (True, 6)])
def test_steps_per_epoch(drop_last: bool, steps: int, cifar: Path) -> None:
    data = cifar_data(cifar, "none", drop_last=drop_last)
    assert data.steps_per_epoch == len(data.train_dataloader()) == steps
    sizes = [len(y) for _, y in epoch(data)]
    assert sizes == [16] * 6 + ([] if drop_last else [4])


def on_device(data: ImageData, rank: int, world: int) -> ImageData:
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world, num_devices=world)
    data.setup("fit")
    return data


def test_devices_share_the_global_batch(cifar: Path) -> None:
    whole = epoch(cifar_data(cifar, "crop_flip"), 3)
    shares = [epoch(on_device(cifar_data(cifar, "crop_flip"), rank, 4), 3) for rank in range(4)]
    for step, batch in enumerate(whole):
        x = torch.cat([share[step][0] for share in shares])
        assert torch.equal(x[: len(batch[0])], batch[0])
    tests = [on_device(cifar_data(cifar, "none"), rank, 4).test_dataloader() for rank in range(4)]
    assert sum(len(y) for loader in tests for _, y in loader) == 20


def test_each_device_needs_a_sample_of_each_evaluation_set(cifar: Path) -> None:
    on_device(cifar_data(cifar, "none", batch_size=20, eval_batch_size=20), 0, 20)
    with pytest.raises(UserError, match="21 devices cannot share 20 samples of test"):
        on_device(cifar_data(cifar, "none", batch_size=21, eval_batch_size=21), 0, 21)


@pytest.mark.parametrize("key", ["batch_size", "eval_batch_size"])
def test_batch_size_must_divide_by_the_devices(key: str, cifar: Path) -> None:
    data = cifar_data(cifar, "none", **{"batch_size": 8, "eval_batch_size": 8, key: 10})
    with pytest.raises(UserError, match=rf"{key}=10: must be a multiple of 4, the number of devices"):
        on_device(data, 0, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("batch_size", 0),
        ("batch_size", -4),
        ("batch_size", 2.5),
        ("eval_batch_size", 0),
        ("val_fraction", 1.0),
        ("val_fraction", -0.1),
        ("val_fraction", "half"),
        ("repeats", 0),
        ("num_workers", -1),
        ("num_workers", "many"),
        ("num_workers", True),
        ("limit", 0),
        ("limit", 1.5),
        ("num_classes", 0),
        ("in_channels", 2.0),
        ("image_size", 0),
        ("seed", -1),
        ("drop_last", 1),
        ("download", "no"),
        ("verify", 0),
        ("mean", []),
        ("mean", [0.1, 0.2]),
        ("mean", [math.nan]),
        ("mean", 0.3),
        ("std", [0.0]),
        ("std", [-1.0]),
        ("std", [1.0, 1.0]),
        ("std", ["1"]),
        ("eval_transform", None),
        ("eval_transform", [1]),
    ],
)
def test_values_out_of_range_name_their_key(key: str, value: object) -> None:
    from hydra.errors import InstantiationException

    full = key if key == "batch_size" else f"data.{key}"
    with pytest.raises((UserError, InstantiationException)) as error:
        image_data("digits", **({"eval_batch_size": 8} if key == "batch_size" else {}), **{key: value})
    cause = error.value if isinstance(error.value, UserError) else error.value.__cause__
    assert isinstance(cause, UserError)
    assert str(cause).startswith(f"{full}={shown(value)}: must be ")


def test_a_validation_split_of_nothing_is_refused(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    with pytest.raises(UserError, match=r"data.val_fraction=0.01: it holds out no sample"):
        ready(image_data("mnist", root=tmp_path, verify=False, val_fraction=0.01))


def test_a_batch_larger_than_the_data_needs_its_last_batch(cifar: Path) -> None:
    assert cifar_data(cifar, "none", batch_size=500).steps_per_epoch == 1
    with pytest.raises(UserError, match=r"batch_size=500: must be at most 100, the number of training samples"):
        cifar_data(cifar, "none", batch_size=500, drop_last=True)


def test_an_image_size_that_the_images_do_not_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"data.image_size=9, .*\(1, 8, 8\) with augment=none"):
        ready(image_data("digits", image_size=9))


def test_workers(cifar: Path) -> None:
    assert cifar_data(cifar, "none", num_workers="auto").train_dataloader().num_workers == 0
    augmented = cifar_data(cifar, num_workers="auto")
    assert 1 <= augmented.train_dataloader().num_workers <= 16
    two = cifar_data(cifar, num_workers=2)
    assert two.train_dataloader().num_workers == 2
    assert two.val_dataloader()[0].num_workers == 0, "whole batches from memory: workers would only slow them down"
