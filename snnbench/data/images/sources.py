"""Where images come from: one small class per published data set.

A source is `Source(root, download=..., verify=...)` with `prepare()`, which makes sure that the true files are there,
and `load()`, which returns the training and the test images. That they are the published ones has to be proved.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
from torchvision import datasets

from snnbench.check import flag
from snnbench.data.files import check_md5, check_present, damaged, folder_path, verification
from snnbench.data.images.dataset import Images, MemoryImages
from snnbench.data.images.formats import check_idx, check_pickle
from snnbench.data.splits import stratified_split
from snnbench.errors import UserError


class Source(ABC):
    """A published data set.

    Args:
        root: The folder that holds, or will hold, the data set's own folder.
        download: Try to fetch what is missing.
        verify: Accept the published files only; "full" reads every file once more, where else one that nobody touched
            since counts as read. Without it any files of the right format are taken, and results from them are
            marked as unverified.

    Attributes:
        split: How training and test images are told apart.
        published: How many images the published parts "train" and "test" have. Each class speaks for itself: one that
            inherits this, and may well change what is loaded, has published nothing.
        proved: Whether `prepare` has shown that the files are the published ones.
    """

    split: ClassVar[str] = "official train/test"
    published: ClassVar[Mapping[str, int]] = MappingProxyType({})
    proved = False

    def __init__(self, root: str | Path, *, download: bool = True, verify: bool | str = True) -> None:
        self.root = folder_path("data.root", root)
        self.download, self.verify = flag("data.download", download), verification(verify)

    @property
    def provenance(self) -> str:
        """ "real" if `prepare` has proved it, else "unverified"."""
        return "unverified" if self.doubt else "real"

    @property
    def doubt(self) -> str:
        """Why the images cannot be taken for the published ones; empty where they can."""
        if not self.verify:
            return "data.verify=false"
        if not vars(type(self)).get("published"):
            return f"{type(self).__name__} names no published data"
        return "" if self.proved else self.unproved

    @property
    def unproved(self) -> str:
        """Why `prepare` could not prove it."""
        return f"{type(self).__name__} has not compared its files with the published ones"

    def files(self) -> tuple[Path, list[str]] | None:
        """The files that decide what is loaded: their folder, and their names below it in an order of their own.

        None, as long as a source does not tell: then the loaded images are what its data is known by.
        """
        return None

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
    published: ClassVar = {"train": 1438, "test": 359}
    sha256 = "0b7e9c3202d7bcd255d6a19a238d3743bf5e320ba74812a6679958a017c55382"

    def prepare(self) -> None:
        try:
            import sklearn.datasets  # noqa: F401
        except ImportError as error:
            raise UserError(f"data=digits comes with scikit-learn ({error}): pip install scikit-learn") from error
        if self.verify:
            pixels, labels = self._digits()
            found = hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
            if found != self.sha256:
                raise UserError(
                    f"data=digits: scikit-learn's digits are not the published ones (SHA-256 {found[:16]}): install it "
                    "anew; data.verify=false takes any."
                )
            self.proved = True

    def load(self) -> tuple[Images, Images]:
        pixels, labels = self._digits()
        parts = stratified_split(labels, 0.2, seed=0)
        train, test = (MemoryImages(pixels[part], labels[part]) for part in parts)
        return train, test

    def _digits(self) -> tuple[torch.Tensor, torch.Tensor]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(-1)
        return pixels, torch.from_numpy(digits.target).long()


class MNIST(Source):
    """MNIST's four idx files, unpacked, in <root>/MNIST/raw; read by torchvision."""

    dataset: ClassVar[type[datasets.MNIST]] = datasets.MNIST
    published: ClassVar = {"train": 60_000, "test": 10_000}
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
        counts = {name: check_idx(folder / "raw" / name, 3 if "images" in name else 1) for name in self.md5}
        for name, count in counts.items():
            labels = name.replace("images-idx3", "labels-idx1")
            if counts[labels] != count:
                raise damaged(folder / "raw" / labels, f"{counts[labels]} labels for {count} images")
        if self.verify:
            check_md5(folder / "raw", self.md5, again=self.verify == "full")
            self.proved = True

    def files(self) -> tuple[Path, list[str]]:
        return self.root / self.dataset.__name__ / "raw", list(self.md5)

    def load(self) -> tuple[Images, Images]:
        parts = [self.dataset(self.root, train=train) for train in (True, False)]
        train, test = (MemoryImages(part.data.unsqueeze(-1), part.targets.long()) for part in parts)
        return train, test


class FashionMNIST(MNIST):
    """Fashion-MNIST's four idx files, unpacked, in <root>/FashionMNIST/raw; read by torchvision."""

    dataset = datasets.FashionMNIST
    published: ClassVar = {"train": 60_000, "test": 10_000}
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
    published: ClassVar = {"train": 50_000, "test": 10_000}

    def prepare(self) -> None:
        batches = dict(self.dataset.train_list + self.dataset.test_list)
        md5 = batches | {self.dataset.meta["filename"]: self.dataset.meta["md5"]}
        folder, _ = self.files()
        check_present(
            folder,
            list(md5),
            archives=[self.dataset.filename],
            how_to_get=f"By hand: put {self.dataset.url} in {self.root}, as it is or unpacked.",
            fetch=(lambda root: self.dataset(root, download=True)) if self.download else None,
        )
        if self.verify:
            check_md5(folder, md5, again=self.verify == "full")
            self.proved = True
        else:
            for name in batches:
                check_pickle(folder / name, self.label_key)

    def files(self) -> tuple[Path, list[str]]:
        batches = dict(self.dataset.train_list + self.dataset.test_list)
        return self.root / self.dataset.base_folder, [*batches, self.dataset.meta["filename"]]

    def load(self) -> tuple[Images, Images]:
        parts = [_unhashed(self.dataset)(self.root, train=train) for train in (True, False)]
        train, test = (MemoryImages(torch.from_numpy(part.data), torch.tensor(part.targets)) for part in parts)
        return train, test


class CIFAR100(CIFAR10):
    """CIFAR-100's Python pickles in <root>/cifar-100-python, fine labels; read by torchvision."""

    dataset = datasets.CIFAR100
    published: ClassVar = {"train": 50_000, "test": 10_000}
    label_key = "fine_labels"


def _unhashed(dataset: type[datasets.CIFAR10]) -> type[datasets.CIFAR10]:
    """The same class without its own check, which would hash all files twice more; `prepare` has decided."""
    overrides: dict[str, Any] = {"_check_integrity": lambda self: True, "meta": dataset.meta | {"md5": None}}
    return type(dataset.__name__, (dataset,), overrides)
