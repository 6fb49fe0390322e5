"""The data module: what loaders yield, that it follows from seed and epoch alone, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from snnbench.errors import UserError
from tests.data.events import event_files as files

SOURCES = [
    ("nmnist", "tonic", "official", (30, 20), 34, 10),
    ("cifar10dvs", "aedat2", "first100_test", (20, 40), 48, 10),
    ("cifar10dvs", "aedat4", "last100_test", (40, 20), 48, 10),
    ("dvs128gesture", "ibm", "official", (24, 12), 128, 11),
    ("dvs128gesture", "ibm", "first78", (24, 12), 128, 11),
    ("dvs128gesture", "tonic", "tonic", (22, 11), 128, 11),
]


def write(source: str, root) -> None:
    if source == "ibm":
        files.write_ibm_gesture(root)
    elif source.startswith("aedat"):
        if source == "aedat4":
            pytest.importorskip("aedat")
        files.write_cifar10dvs(root, source)


def ready(data):
    data.prepare_data()
    data.setup("fit")
    return data


def epoch(data, number: int = 0) -> list:
    """All batches of a training epoch as the network sees them."""
    data.epoch_of = lambda: number
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def same(a, b) -> bool:
    return all(torch.equal(p[0], q[0]) and torch.equal(p[1], q[1]) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "source", "split", "sizes", "size", "classes"), SOURCES)
def test_every_source_makes_batches(name, source, split, sizes, size, classes, tmp_path, event_data):
    write(source, tmp_path)
    if source == "tonic":
        files.write_nmnist(tmp_path) if name == "nmnist" else files.write_tonic_gesture(tmp_path)
    data = ready(event_data(name, f"data.source={source}", f"data.split={split}", "T=3", "batch_size=5"))
    assert (len(data.train_set), len(data.eval_sets["test"])) == sizes
    assert data.provenance == "subset"
    assert data.split == f"{split} of source {source}"
    assert data.details["source"] == source
    batch = next(iter(data.train_dataloader()))
    assert batch[0].dtype == torch.uint8
    x, y = data.on_after_batch_transfer(batch, 0)
    assert x.shape == (3, 5, 2, size, size)
    assert x.dtype == torch.float32
    assert (y.shape, y.dtype) == ((5,), torch.int64)
    labels = torch.cat([y for _, y in data.val_dataloader()[0]])
    assert set(labels.tolist()) == set(range(classes))
    assert torch.equal(labels, data.eval_sets["test"].labels)


def test_frames_are_shrunk_with_or_without_antialiasing(tmp_path, event_data):
    write("aedat2", tmp_path)
    inputs = {}
    for antialias in (True, False):
        data = ready(event_data("cifar10dvs", f"data.antialias={str(antialias).lower()}", "T=3", "batch_size=5"))
        counts, labels = next(iter(data.val_dataloader()[0]))
        x, _ = data.on_after_batch_transfer((counts, labels), 0)
        frames = counts.transpose(0, 1).flatten(0, 1).float()
        expected = torch.nn.functional.interpolate(frames, (48, 48), mode="bilinear", antialias=antialias)
        torch.testing.assert_close(x.flatten(0, 1), expected)
        inputs[antialias] = x
    assert not torch.allclose(inputs[True], inputs[False])


def test_frames_may_pass_through_pil_images(tmp_path, event_data):
    write("aedat2", tmp_path)
    data = ready(event_data("cifar10dvs", "data.values=bytes", "T=3", "batch_size=5"))
    counts, labels = next(iter(data.val_dataloader()[0]))
    x, _ = data.on_after_batch_transfer((counts, labels), 0)
    assert x.shape == (3, 5, 2, 48, 48)
    assert x.max() <= 1
    torch.testing.assert_close(x * 255, (x * 255).round())
    assert data.details["values"] == "bytes"


def test_frames_may_be_windows_of_a_fixed_duration(tmp_path, event_data):
    write("aedat2", tmp_path)
    words = ["data.slicing=windows", "data.remainder=drop", "data.values=binary", "data.image_size=128", "batch_size=5"]
    data = ready(event_data("cifar10dvs", f"data.windows={WINDOWS}", *words, "T=2"))
    counts, labels = next(iter(data.val_dataloader()[0]))
    x, _ = data.on_after_batch_transfer((counts, labels), 0)
    assert torch.equal(x, (counts.transpose(0, 1) > 0).float())
    assert data.details["frames"]["windows"] == {"width": 1000, "starts": [0, 500], "origin": "clock"}
    sliced = ready(event_data("cifar10dvs", "T=2"))
    assert "windows" not in sliced.details["frames"]
    assert sliced.pack.frames.shape == data.pack.frames.shape
    assert not torch.equal(torch.from_numpy(sliced.pack.frames[0]), torch.from_numpy(data.pack.frames[0]))


def test_training_may_see_fewer_frames(tmp_path, event_data):
    write("aedat2", tmp_path)
    data = ready(event_data("cifar10dvs", "data.train_frames=2", "T=3", "batch_size=5"))
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    x, y = data.batch_transform(*batch)
    assert x.shape == (2, 5, 2, 48, 48)
    assert torch.equal(y, batch[1])
    assert event_data("cifar10dvs").batch_transform is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.train_frames=4"], r"data.train_frames=4: must be a whole number from 1 to 3"),
        (["data.train_frames=0"], r"data.train_frames=0"),
        (["data.train_frames=2", "augment=dvs_flip_wide_mix"], r"data.train_frames=2: .*dvs_flip_wide_mix"),
    ],
)
def test_fewer_frames_that_cannot_be_are_refused(words, message, event_data):
    with pytest.raises(UserError, match=message):
        event_data("cifar10dvs", "T=3", *words)


@pytest.mark.parametrize("split", ["first100_test", "last100_test", "last10pct_lexicographic", "random"])
def test_no_sample_stands_on_both_sides(split, tmp_path, event_data):
    files.write_cifar10dvs(tmp_path, "aedat2", numbers=(*range(12), 99, *range(900, 904)))
    data = ready(event_data("cifar10dvs", f"data.split={split}", "data.val_fraction=0.25"))
    parts = {"train": data.train_set, **data.eval_sets}
    names = {key: {data.pack.samples[i].name for i in part.positions} for key, part in parts.items()}
    assert sum(map(len, names.values())) == 170 == len(set.union(*names.values()))
    assert all(names.values())
    assert split in data.split
    assert "val: 0.25 of train" in data.split


def test_the_highest_numbers_of_each_class_may_be_the_ones_held_out(tmp_path, event_data):
    files.write_cifar10dvs(tmp_path, "aedat2", numbers=(*range(101, 109), 3))
    data = ready(event_data("cifar10dvs", "data.val_fraction=0.25", "data.val_split=last"))
    held_out = [data.pack.samples[i] for i in data.eval_sets["val"].positions]
    assert {(s.label, s.number) for s in held_out} == {(label, n) for label in range(10) for n in (107, 108)}
    assert data.split.endswith("val: 0.25 of train, the last of each class")


def test_the_split_does_not_follow_the_training_seed(tmp_path, event_data):
    files.write_cifar10dvs(tmp_path, "aedat2", numbers=tuple(range(20)))
    positions = [
        ready(event_data("cifar10dvs", "data.split=random", *words)).eval_sets["test"].positions.tolist()
        for words in (["seed=1"], ["seed=2"], ["data.split_seed=1"])
    ]
    assert positions[0] == positions[1] != positions[2]


@pytest.mark.parametrize("augment", ["dvs_crop_flip_wide", "dvs_nda", "none"])
def test_batches_do_not_depend_on_workers_devices_or_what_came_before(augment, tmp_path, event_data):
    files.write_nmnist(tmp_path)
    words = [f"augment={augment}", "batch_size=8", "seed=4"]
    data = ready(event_data("nmnist", *words))
    torch.manual_seed(1)
    epochs = [epoch(data, number) for number in range(3)]
    assert not same(epochs[1], epochs[2])
    torch.manual_seed(2)
    assert same(epoch(ready(event_data("nmnist", *words, "data.num_workers=2")), 2), epochs[2])
    shares = []
    for rank in range(2):
        share = event_data("nmnist", *words)
        share.trainer = SimpleNamespace(global_rank=rank, world_size=2, num_devices=2)
        shares.append(epoch(ready(share), 2))
    for step, (x, _) in enumerate(epochs[2]):
        assert torch.equal(torch.cat([share[step][0] for share in shares], 1), x)


def test_augmentation_leaves_the_global_generator_and_evaluation_alone(tmp_path, event_data):
    files.write_nmnist(tmp_path)
    data = ready(event_data("nmnist", "augment=dvs_flip_roll"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    epoch(data)
    assert torch.equal(torch.rand(3), expected)
    (counts, labels), *_ = data.test_dataloader()
    x, _ = data.on_after_batch_transfer((counts, labels), 0)
    assert torch.equal(x, counts.transpose(0, 1).float())


def test_workers_only_where_asked_for(tmp_path, event_data):
    files.write_nmnist(tmp_path)
    assert ready(event_data("nmnist")).train_dataloader().num_workers == 0
    assert ready(event_data("nmnist", "data.num_workers=2")).train_dataloader().num_workers == 2


def test_limit_takes_the_classes_in_turn_and_marks_the_data(tmp_path, event_data):
    files.write_nmnist(tmp_path)
    data = ready(event_data("nmnist", "data.limit=13"))
    assert torch.bincount(data.train_set.labels).tolist() == [2] * 3 + [1] * 7
    assert len(data.eval_sets["test"]) == 13
    data.source.provenance = "real"
    assert data.provenance == "subset"


WINDOWS = "{width:1000,starts:[0,500],origin:clock}"
REFUSED = [
    (
        "cifar10dvs",
        ["data.source=aedat3"],
        r"data.source='aedat3': unknown. Did you mean 'aedat\d'\? Allowed: aedat2, aedat4",
    ),
    ("cifar10dvs", ["data.split=first_100_test"], "data.split='first_100_test'.*Did you mean 'first100_test'"),
    (
        "dvs128gesture",
        ["data.split=tonic"],
        "data.split='tonic': unknown. Allowed: official, first78. data.source=ibm has no",
    ),
    ("nmnist", ["data.slicing=count"], "data.slicing='count': unknown. Allowed: number, time, windows"),
    ("nmnist", ["data.remainder=keep"], "data.remainder='keep': unknown"),
    ("nmnist", ["data.resize=cubic"], "data.resize='cubic': unknown"),
    ("nmnist", ["data.antialias=often"], "data.antialias='often': must be true or false"),
    ("nmnist", ["data.values=floats"], "data.values='floats': unknown. Allowed: counts, binary, binary_merged, bytes"),
    ("nmnist", ["data.slicing=windows"], "data.slicing=windows: data.windows says which windows"),
    ("nmnist", ["T=2", f"data.windows={WINDOWS}"], "data.slicing=number: data.windows says which windows"),
    ("nmnist", ["T=2", "data.slicing=windows", f"data.windows={WINDOWS}"], "data.remainder=last: windows leave out"),
    ("nmnist", ["data.windows={width:0,starts:[0],origin:first}"], "data.windows.width=0: must be a whole number"),
    ("nmnist", ["T=3", f"data.windows={WINDOWS}"], "data.windows.starts=.* of length 3. One for each of T=3 frames"),
    ("nmnist", ["data.windows={width:5,start:[0]}"], "data.windows=.*: must have the keys width, starts, origin"),
    ("nmnist", ["data.windows=5"], "data.windows=5: must have the keys width, starts, origin"),
    ("nmnist", ["data.values=bytes", "data.antialias=false"], "data.antialias=false: must be true with"),
    ("nmnist", ["data.split_seed=3"], "data.split_seed=3: has no effect"),
    ("nmnist", ["data.time_order=file", "data.slicing=time"], "slices by time need ascending times"),
    ("nmnist", ["data.split_seed=-1"], "data.split_seed=-1"),
    ("nmnist", ["data.limit=0"], "data.limit=0"),
    ("nmnist", ["data.T=0"], "data.T=0: must be a whole number"),
    ("nmnist", ["data.T=2.5"], "data.T=2.5"),
    ("nmnist", ["data.in_channels=1"], "data.in_channels=1: must be 2"),
    ("nmnist", ["data.subset=1"], "data.subset=1: must be true or false"),
    ("nmnist", ["augment=rand_mix"], "augment=rand_mix: it is for normalised images"),
]


@pytest.mark.parametrize(("name", "words", "message"), REFUSED, ids=lambda value: str(value))
def test_values_that_make_no_sense_name_their_key(name, words, message, event_data):
    with pytest.raises(UserError, match=message):
        event_data(name, *words)


def test_what_shows_only_with_the_data_is_refused_too(tmp_path, event_data):
    files.write_cifar10dvs(tmp_path, "aedat2", numbers=(100, 200))
    with pytest.raises(UserError, match=r"data.split=first100_test: the test part is empty"):
        ready(event_data("cifar10dvs"))
    files.write_nmnist(tmp_path)
    with pytest.raises(UserError, match=r"data.val_fraction=0.01"):
        ready(event_data("nmnist", "data.val_fraction=0.01"))
    with pytest.raises(UserError, match=r"data.num_classes=5: the labels go up to 9"):
        ready(event_data("nmnist", "data.num_classes=5"))
    with pytest.raises(UserError, match="augment=autoaugment_cutout: it does not work on event clips"):
        ready(event_data("nmnist", "augment=autoaugment_cutout"))
    with pytest.raises(UserError, match=r"augment=crop_flip: clips come out as \(4, 2, 30, 30\)"):
        ready(event_data("nmnist", "augment=crop_flip", "augment.sample.0.size=30"))
    with pytest.raises(UserError, match=r"data.subset=true fetches nothing"):
        ready(event_data("dvs128gesture"))
