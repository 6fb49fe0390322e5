"""Event data from files to results through train.py, eval.py and prepare_data.py."""

import importlib.util
import json
import os
from pathlib import Path
from statistics import mean

import pytest

from tests.conftest import ROOT, read_csv
from tests.data.events import event_files as files

pytest.importorskip("tonic")
TINY = ("epochs=2", "backbone.width=4", "T=2", "data.subset=true", "threads=1")
WRITERS = {
    "nmnist": files.write_nmnist,
    "aedat2": lambda root: files.write_cifar10dvs(root, "aedat2"),
    "aedat4": lambda root: files.write_cifar10dvs(root, "aedat4"),
    "ibm": files.write_ibm_gesture,
    "tonic": files.write_tonic_gesture,
}
NO_AEDAT = pytest.mark.skipif(importlib.util.find_spec("aedat") is None, reason="needs the package aedat")
RUNS = [
    ("nmnist", ["data=nmnist", "data.slicing=time", "augment=dvs_affine"]),
    ("aedat2", ["data=cifar10dvs", "neuron=arlif_dvs", "data.image_size=16"]),
    pytest.param(
        "aedat4",
        ["data=cifar10dvs", "data.source=aedat4", "data.split=last100_test", "data.image_size=16", "backbone=resnet20",
         "recipe=fsta_cifar10dvs", "schedule=cosine", "neuron=lif", "data.remainder=drop"],
        marks=NO_AEDAT,
    ),
    ("ibm", ["data=dvs128gesture", "data.image_size=32", "neuron=arlif", "data.train_frames=1"]),
    ("tonic", ["data=dvs128gesture", "data.source=tonic", "data.split=tonic", "data.image_size=16", "neuron=lif",
               "backbone=resnet20", "recipe=fsta_gesture", "schedule=cosine", "batch_size=8"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words"), RUNS)
def test_every_source_trains(kind, words, command, tmp_path):
    WRITERS[kind](tmp_path / "data")
    done = command("train", *words, *TINY)
    assert done.code == 0, done.err
    result = done.result()
    assert result["status"] == "finished"
    assert result["epochs"] == {"planned": 2, "run": 2}
    assert result["provenance"] == "subset"
    assert "subset: not for tables" in done.out
    source = kind if kind != "nmnist" else "tonic"
    assert f"of source {source}" in result["split"]
    details = result["data_details"]
    assert details["source"] == source
    assert details["frames"]["T"] == 2
    assert details["split"] == result["split"].split()[0]
    assert "packing" in done.err
    evaluated = command("eval", f"run={done.folder}")
    assert evaluated.code == 0, evaluated.err
    assert "exactly the recorded one" in evaluated.out
    assert "packing" not in evaluated.err, "packed once"


def test_resume_of_augmented_clips_is_exact(command, tmp_path):
    """With Mixup, two devices' worth of draws and a run stopped after its first epoch, by hand."""
    import torch

    files.write_nmnist(tmp_path / "data")
    words = ["data=nmnist", "augment=dvs_flip_wide_mix", "neuron=lif", *TINY, "epochs=3"]
    whole = command("train", *words, f"paths.output_dir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    from snnbench.training.history import History

    real = History.on_train_epoch_end
    try:
        History.on_train_epoch_end = lambda self, trainer, module: (
            real(self, trainer, module),
            setattr(trainer, "should_stop", trainer.current_epoch == 0),
        )[0]
        part = command("train", *words, f"paths.output_dir={tmp_path / 'part'}", "+trainer.min_epochs=1")
    finally:
        History.on_train_epoch_end = real
    assert part.code == 0, part.err
    assert len(read_csv(tmp_path / "part" / "metrics.csv")) == 1
    path = tmp_path / "part" / "result.json"
    path.write_text(path.read_text().replace('"finished"', '"running"'))
    resumed = command("train", f"resume={tmp_path / 'part'}")
    assert resumed.code == 0, resumed.err
    assert (tmp_path / "part" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    states = [
        torch.load(tmp_path / run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for run in ("whole", "part")
    ]
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def damage_recording(root: Path) -> None:
    (root / "NMNIST" / "Train" / "3" / "00004.bin").write_bytes(b"1234")


def add_class(root: Path) -> None:
    (root / "NMNIST" / "Test" / "10").mkdir()


def block_cache(root: Path) -> None:
    (root / "packed").write_text("")


MISTAKES = [
    (damage_recording, [], ["00004.bin is damaged", "middle of an event"]),
    (add_class, [], ["Test/10 does not belong here"]),
    (block_cache, [], ["data.cache=<folder>"]),
    (None, ["data.subset=false"], ["NMNIST/Train/0 holds 3 recordings, not 5923", "data.subset=true"]),
    (None, ["data.source=prophesee"], ["data.source='prophesee'", "tonic"]),
    (None, ["data.split=first100_test"], ["data.split='first100_test'", "official"]),
    (None, ["augment=autoaugment_cutout"], ["augment=autoaugment_cutout", "dvs_"]),
    (None, ["data=cifar10dvs"], ["CIFAR10DVS-aedat2", "paths.data"]),
    (None, ["data=dvs128gesture", "data.subset=false"], ["DvsGesture.tar.gz", "by hand", "data.source=tonic"]),
]


@pytest.mark.parametrize(("harm", "words", "needles"), MISTAKES, ids=lambda value: getattr(value, "__name__", None))
def test_mistakes_are_explained_and_nothing_is_left(harm, words, needles, command, tmp_path):
    files.write_nmnist(tmp_path / "data")
    if harm:
        harm(tmp_path / "data")
    done = command("train", "data=nmnist", *TINY, *words)
    assert done.code == 2, done.err
    (line,) = [at for at, text in enumerate(done.err.splitlines()) if text.startswith("error: ")]
    assert len(done.err.splitlines()) - line <= 2
    for needle in needles:
        assert needle in done.err
    assert "Traceback" not in done.err
    assert done.folders == []
    packs = list((tmp_path / "data").rglob("*.npy"))
    assert packs == [] or not harm
    assert not list((tmp_path / "data").rglob("*.partial"))


@pytest.fixture
def prepare(monkeypatch, capfd):
    spec = importlib.util.spec_from_file_location("prepare_data", ROOT / "scripts" / "prepare_data.py")
    assert spec
    assert spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    def run(*words: str) -> tuple[int, str]:
        capfd.readouterr()
        code = script.main(list(words))
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return run


def test_prepare_data_packs_ahead_and_verifies(prepare, command, tmp_path):
    root = tmp_path / "data"
    files.write_cifar10dvs(root, "aedat2")
    words = ("cifar10dvs", "data.subset=true", f"paths.data={root}")
    code, text = prepare(*words, "T=2,3", "--verify")
    assert code == 2
    assert "there is none" in text
    code, text = prepare(*words, "T=2,3")
    assert code == 0, text
    assert len(list((root / "packed").glob("*.npy"))) == 2
    assert "first100_test of source aedat2: train 20, test 40" in text
    code, text = prepare("cifar10dvs", "--verify", *words[1:], "T=2,3")
    assert code == 0, text
    assert text.count("all 60 checksums right") == 2
    done = command("train", "data=cifar10dvs", "data.image_size=16", "neuron=lif", *TINY, "epochs=1")
    assert done.code == 0, done.err
    assert "packing" not in done.err

    recording = root / "CIFAR10DVS-aedat2" / "cat" / "cifar10_cat_0.aedat"
    recording.write_bytes(files.aedat2_bytes(files.make_events(77)))  # as many events as before, but others
    code, text = prepare(*words, "T=2", "--verify")
    assert code == 2
    assert "is of other content" in text


def test_prepare_data_explains_mistakes(prepare, tmp_path):
    code, text = prepare("cifar10dsv", "T=4")
    assert (code, "'cifar10dvs'" in text) == (2, True)
    code, text = prepare("nmnist", "T=4", f"paths.data={tmp_path}", "data.download=false")
    assert (code, "data.download=false" in text) == (2, True)
    code, text = prepare("digits")
    assert code == 0, text


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_real_nmnist_recordings_are_learnt(command):
    """1000 training and 100 test recordings of the published data set; accuracy of the last epoch."""
    root = Path(os.environ.get("SNNBENCH_TEST_DATA", "")) / "nmnist-small"
    if not os.environ.get("SNNBENCH_TEST_DATA") or not (root / "NMNIST" / "Train").is_dir():
        pytest.skip("needs real recordings: $SNNBENCH_TEST_DATA/nmnist-small/NMNIST/{Train,Test}/<digit>/*.bin")
    cache = Path(os.environ["SNNBENCH_OUTPUTS"]).parent / "packed"
    words = ["data=nmnist", "data.subset=true", "neuron=lif", f"paths.data={root}", f"data.cache={cache}"]
    done = command("train", "-m", *words, "seed=0,1,2")
    assert done.code == 0, done.err
    results = [json.loads((folder / "result.json").read_text()) for folder in done.folders]
    assert {result["provenance"] for result in results} == {"subset"}
    assert {result["epochs"]["run"] for result in results} == {20}
    accuracies = [result["accuracy"]["last_epoch"] for result in results]
    assert min(accuracies) >= 88
    assert mean(accuracies) >= 91
