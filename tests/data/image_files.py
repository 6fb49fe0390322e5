"""Small data sets in the true file formats."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image

from snnbench.data import ImageData

CONFIGS = Path(__file__).parents[2] / "configs"


def image_data(data: str, augment: str = "none", root: Path | str = "nowhere", **overrides: object) -> ImageData:
    """The data module of configs/data/<data>.yaml with configs/augment/<augment>.yaml; overrides are data.* keys."""
    group = OmegaConf.load(CONFIGS / "data" / f"{data}.yaml")
    top = {
        "batch_size": overrides.pop("batch_size", 16),
        "seed": overrides.pop("seed", 0),
        "paths": {"data": str(root)},
    }
    group.update(overrides)
    cfg = OmegaConf.create({"data": group, "augment": OmegaConf.load(CONFIGS / "augment" / f"{augment}.yaml"), **top})
    return instantiate(cfg.data)


def ready(module: ImageData) -> ImageData:
    module.prepare_data()
    module.setup("fit")
    return module


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


def write_mnist(root: Path, train: int = 100, test: int = 30, name: str = "MNIST") -> np.ndarray:
    """Random images, label = index % 10. Returns the training pixels."""
    rng = np.random.default_rng(0)
    pixels = {}
    for part, count in (("train", train), ("t10k", test)):
        pixels[part] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", pixels[part])
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return pixels["train"]


def write_cifar(root: Path, per_batch: int = 20, classes: int = 10) -> np.ndarray:
    """CIFAR-10's or CIFAR-100's files, label = index % classes. Returns the training pixels [N, 3, 32, 32]."""
    rng = np.random.default_rng(0)
    if classes == 10:
        folder, names, key = root / "cifar-10-batches-py", [f"data_batch_{k}" for k in range(1, 6)], "labels"
        test, meta = "test_batch", {"batches.meta": {"label_names": [str(k) for k in range(10)]}}
    else:
        folder, names, key = root / "cifar-100-python", ["train"], "fine_labels"
        test, meta = "test", {"meta": {"fine_label_names": [str(k) for k in range(100)]}}
    folder.mkdir(parents=True)
    pixels = []
    for name in [*names, test]:
        pixels.append(rng.integers(0, 256, (per_batch, 3072), dtype=np.uint8))
        entry = {"data": pixels[-1], key: [k % classes for k in range(per_batch)]}
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))
    for name, content in meta.items():
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return np.concatenate(pixels[:-1]).reshape(-1, 3, 32, 32)


def write_jpeg(path: Path, size: tuple[int, int], colour: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, quality=95)


def write_tiny_imagenet(root: Path, classes: int = 3, per_class: int = 4) -> Path:
    """Class k is the grey 40 * (k + 1)."""
    folder = root / "tiny-imagenet-200"
    lines = []
    for k in range(classes):
        colour = (40 * (k + 1),) * 3
        for i in range(per_class):
            write_jpeg(folder / "train" / f"n{k:08}" / "images" / f"n{k:08}_{i}.JPEG", (64, 64), colour)
        write_jpeg(folder / "val" / "images" / f"val_{k}.JPEG", (64, 64), colour)
        lines.insert(0, f"val_{k}.JPEG\tn{k:08}\t0\t0\t63\t63\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


def write_imagenet(root: Path, classes: int = 2, per_class: int = 2) -> Path:
    folder = root / "imagenet"
    for k in range(classes):
        for part in ("train", "val"):
            for i in range(per_class):
                write_jpeg(folder / part / f"n{k:08}" / f"{i}.JPEG", (300 + 37 * i, 260), (100 * k, 0, 0))
    return folder


def gzip_file(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(gzip.compress(source.read_bytes()))
