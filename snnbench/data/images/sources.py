"""Where images come from: one small class per published data set.

A source is `Source(root, download=..., verify=...)` with `prepare()`, which makes sure that the true files are there,
and `load()`, which returns the training and the test images.
"""

from __future__ import annotations

import math
import pickle
import struct
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets

from snnbench.check import flag
from snnbench.data.files import check_md5, check_present, damaged
from snnbench.data.images.dataset import Images, MemoryImages
from snnbench.data.splits import stratified_split
from snnbench.errors import UserError


class Source(ABC):
    """A published data set.

    Args:
        root: The folder that holds, or will hold, the data set's own folder.
        download: Try to fetch what is missing.
        verify: Accept the published files only. Without it any files of the right format are taken, and results
            from them are marked as unverified.
    """

    split: ClassVar[str] = "official train/test"

    def __init__(self, root: str | Path, *, download: bool = True, verify: bool = True) -> None:
        self.root = Path(root).expanduser()
        self.download, self.verify = flag("data.download", download), flag("data.verify", verify)

    @property
    def provenance(self) -> str:
        """ "real" if `prepare` proves it, else "unverified"."""
        return "real" if self.verify else "unverified"

    @abstractmethod
    def prepare(self) -> None:
        """Fetch and check the files; run by one process.

        Raises:
            UserError: Files are missing or damaged.
        """

    @abstractmethod
    def load(self) -> tuple[Images, Images]:
        """Read the training and the test images; `prepare` has passed."""


class Digits(Source):
    """scikit-learn's load_digits: 1797 digits of 8x8 pixels in 17 greys. It has no official split."""

    split = "fixed stratified 80/20"

    @property
    def provenance(self) -> str:
        return "real"

    def prepare(self) -> None:
        try:
            import sklearn.datasets  # noqa: F401
        except ImportError as error:
            raise UserError(f"data=digits comes with scikit-learn ({error}): pip install scikit-learn") from error

    def load(self) -> tuple[Images, Images]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(-1)
        labels = torch.from_numpy(digits.target).long()
        parts = stratified_split(labels, 0.2, seed=0)
        train, test = (MemoryImages(pixels[part], labels[part]) for part in parts)
        return train, test


class MNIST(Source):
    """MNIST's four idx files, unpacked, in <root>/MNIST/raw; read by torchvision."""

    dataset: ClassVar[type[datasets.MNIST]] = datasets.MNIST
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }

    def prepare(self) -> None:
        folder = self.root / self.dataset.__name__
        check_present(
            folder,
            [f"raw/{name}" for name in self.md5],
            archives=[f"{folder.name}/raw/{archive}" for archive, _ in self.dataset.resources],
            how_to_get=f"By hand: put {', '.join(self.md5)} or their .gz files from {self.dataset.mirrors[0]} "
            f"in {folder}/raw.",
            fetch=(lambda root: self.dataset(root, download=True)) if self.download else None,
        )
        counts = {name: _check_idx(folder / "raw" / name, 3 if "images" in name else 1) for name in self.md5}
        for name, count in counts.items():
            labels = name.replace("images-idx3", "labels-idx1")
            if counts[labels] != count:
                raise damaged(folder / "raw" / labels, f"{counts[labels]} labels for {count} images")
        if self.verify:
            check_md5(folder / "raw", self.md5)

    def load(self) -> tuple[Images, Images]:
        parts = [self.dataset(self.root, train=train) for train in (True, False)]
        train, test = (MemoryImages(part.data.unsqueeze(-1), part.targets.long()) for part in parts)
        return train, test


class FashionMNIST(MNIST):
    """Fashion-MNIST's four idx files, unpacked, in <root>/FashionMNIST/raw; read by torchvision."""

    dataset = datasets.FashionMNIST
    md5: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }


class CIFAR10(Source):
    """CIFAR-10's Python pickles in <root>/cifar-10-batches-py; read by torchvision."""

    dataset: ClassVar[type[datasets.CIFAR10]] = datasets.CIFAR10
    label_key: ClassVar[str] = "labels"

    def prepare(self) -> None:
        batches = dict(self.dataset.train_list + self.dataset.test_list)
        md5 = batches | {self.dataset.meta["filename"]: self.dataset.meta["md5"]}
        folder = self.root / self.dataset.base_folder
        check_present(
            folder,
            list(md5),
            archives=[self.dataset.filename],
            how_to_get=f"By hand: put {self.dataset.url} in {self.root}, as it is or unpacked.",
            fetch=(lambda root: self.dataset(root, download=True)) if self.download else None,
        )
        if self.verify:
            check_md5(folder, md5)
        else:
            for name in batches:
                _check_pickle(folder / name, self.label_key)

    def load(self) -> tuple[Images, Images]:
        parts = [_unhashed(self.dataset)(self.root, train=train) for train in (True, False)]
        train, test = (MemoryImages(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
        return train, test


class CIFAR100(CIFAR10):
    """CIFAR-100's Python pickles in <root>/cifar-100-python, fine labels; read by torchvision."""

    dataset = datasets.CIFAR100
    label_key = "fine_labels"


def _unhashed(dataset: type[datasets.CIFAR10]) -> type[datasets.CIFAR10]:
    """The same class without its own check, which would hash all files twice more; `prepare` has decided."""
    overrides: dict[str, Any] = {"_check_integrity": lambda self: True, "meta": dataset.meta | {"md5": None}}
    return type(dataset.__name__, (dataset,), overrides)


def _check_idx(path: Path, dimensions: int) -> int:
    """Check the header against the size, and return how many items the file holds."""
    header = 4 + 4 * dimensions
    with path.open("rb") as file:
        head = file.read(header)
    size = path.stat().st_size
    if len(head) < header or head[:4] != bytes([0, 0, 8, dimensions]):
        raise damaged(path, f"it is no idx file of {dimensions} dimensions ({size} bytes)")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    expected = header + math.prod(shape)
    if size != expected or size == header:
        raise damaged(path, f"{size} bytes, its header announces {expected}")
    return shape[0]


def _check_pickle(path: Path, label_key: str) -> None:
    try:
        with path.open("rb") as file:
            entry = pickle.load(file, encoding="latin1")
        pixels, labels = np.asarray(entry["data"]), entry[label_key]
    except Exception as error:  # unpickling garbage may raise anything
        raise damaged(path, f"{path.stat().st_size} bytes that do not unpickle ({error})") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise damaged(path, f"{len(labels)} labels with {pixels.dtype} pixels of shape {pixels.shape}")
