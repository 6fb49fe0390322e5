"""Sources that are folders of JPEG files: Tiny-ImageNet and ImageNet."""

from __future__ import annotations

import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive

from snnbench.data.archives import prove
from snnbench.data.files import check_present, damaged
from snnbench.data.images.classes import ClassFolders, class_folders
from snnbench.data.images.dataset import FileImages, Images, MemoryImages
from snnbench.data.images.sources import Source
from snnbench.data.tree import spelt
from snnbench.errors import UserError


class TinyImageNet(Source):
    """Tiny-ImageNet in <root>/tiny-imagenet-200; its labelled val part is the test set, as in every paper.

    It is decoded once, by as many threads as there are cores, and kept in memory (1.4 GB): an epoch then costs no
    decoding. The archive beside it proves the folder: each file is compared with it once.
    """

    split = "official train/val as train/test"
    published: ClassVar = {"train": 100_000, "test": 10_000}
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    md5 = "90528d7ca1a48142e341f4ef8d21d0de"

    @property
    def folder(self) -> Path:
        return self.root / "tiny-imagenet-200"

    @property
    def unproved(self) -> str:
        return f"{self.folder.name}.zip is not beside the folder, or lacks some of its files"

    def prepare(self) -> None:
        check_present(
            self.folder,
            ["train", "val/images", "val/val_annotations.txt"],
            archives=["tiny-imagenet-200.zip"],
            how_to_get=f"By hand: put {self.url} in {self.root}, as it is or unpacked.",
            fetch=self._fetch if self.download else None,
        )
        if self.verify:
            train, (test, _) = self._train, self._test
            _check_counts(self.folder / "train", len(train.names), len(train.classes), 100_000, 200)
            _check_counts(self.folder / "val", len(test), len(set(self._test[1])), 10_000, 200)
            archives = {f"../{self.folder.name}.zip": self.md5}
            self.proved = prove(self.folder, lambda: self.files()[1], archives, again=self.verify == "full")

    def _fetch(self, root: Path) -> None:
        download_and_extract_archive(self.url, root, md5=self.md5)
        archive = root / f"{self.folder.name}.zip"
        if not (self.root / archive.name).exists():
            archive.rename(self.root / archive.name)  # it proves the folder

    def files(self) -> tuple[Path, list[str]]:
        train = [f"train/{name}" for name in self._train.names]
        return self.folder, [*train, *self._test[0], "val/val_annotations.txt"]

    def load(self) -> tuple[Images, Images]:
        test = FileImages([self.folder / name for name in self._test[0]], torch.tensor(self._test[1]))
        return _decode(_as_files(self._train)), _decode(test)

    @cached_property
    def _train(self) -> ClassFolders:
        return class_folders(self.folder / "train")

    @cached_property
    def _test(self) -> tuple[list[str], list[int]]:
        """Names below the folder, and labels."""
        annotations = self.folder / "val" / "val_annotations.txt"
        known = {name: label for label, name in enumerate(self._train.classes)}
        names, labels = [], []
        try:
            lines = annotations.read_text().splitlines()
        except (OSError, ValueError) as error:
            raise damaged(annotations, f"it is no text ({getattr(error, 'strerror', None) or error})") from error
        for number, line in enumerate(lines, 1):
            name, _, wnid = line.partition("\t")
            wnid = wnid.partition("\t")[0]
            if wnid not in known:
                raise damaged(annotations, f"line {number} names the class {wnid!r}, which train/ lacks")
            names.append(f"val/images/{name}")
            labels.append(known[wnid])
        if not names:
            raise damaged(annotations, "it has no lines")
        return names, labels


class ImageNet(Source):
    """ImageNet (ILSVRC2012) in <root>/imagenet: train/<class>/*.JPEG and val/<class>/*.JPEG, or the archives.

    Archives are unpacked by torchvision, which checks their MD5. A folder is known by its index: the published number
    of images, in 1000 classes, each under its published name. Its content is read with data.verify=full only.
    """

    split = "official train/val as train/test"
    published: ClassVar = {"train": 1_281_167, "test": 50_000}

    @property
    def folder(self) -> Path:
        return self.root / "imagenet"

    @property
    def unproved(self) -> str:
        return f"the names in {self.folder} are not the published ones"

    def prepare(self) -> None:
        missing = [split for split in ("train", "val") if not (self.folder / split).is_dir()]
        if missing and any(self.folder.glob("ILSVRC2012_*.tar*")):
            self._unpack(missing)
        elif missing:
            raise UserError(
                f"no {' and no '.join(missing)} folder in {spelt(self.folder)}. ImageNet needs an account at "
                "image-net.org: put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz "
                "there, or\ntrain/<class>/*.JPEG and val/<class>/*.JPEG. Set paths.data=<folder above it> or "
                "$SNNBENCH_DATA if it lies elsewhere; data=digits needs no files."
            )
        train, val = self._parts
        if train.classes != val.classes:
            raise UserError(f"{spelt(self.folder)}: train and val must hold the same class folders.")
        if self.verify:
            for part, count in ((train, self.published["train"]), (val, self.published["test"])):
                _check_counts(part.folder, len(part.names), len(part.classes), count, 1000)
            self.proved = has_published_names(train, val)

    def _unpack(self, splits: list[str]) -> None:
        for split in splits:
            try:
                datasets.ImageNet(self.folder, split=split)
            except (RuntimeError, OSError, EOFError) as error:
                raise UserError(f"{self.folder}: the {split} archive could not be unpacked: {error}") from error

    def files(self) -> tuple[Path, list[str]]:
        return self.folder, [f"{part.folder.name}/{name}" for part in self._parts for name in part.names]

    def load(self) -> tuple[Images, Images]:
        train, val = map(_as_files, self._parts)
        return train, val

    @cached_property
    def _parts(self) -> tuple[ClassFolders, ClassFolders]:
        train, val = (class_folders(self.folder / part) for part in ("train", "val"))
        return train, val


def has_published_names(train: ClassFolders, val: ClassFolders) -> bool:
    """Whether images are called as in ILSVRC2012: <class>/<class>_<number>.JPEG of 732 to 1300 in each class, and
    <class>/ILSVRC2012_val_<1 to 50000>.JPEG, 50 in each."""
    each, tested = Counter(train.labels).values(), Counter(val.labels).values()
    if min(each) < 732 or max(each) > 1300 or set(tested) != {50}:
        return False
    if not all(re.fullmatch(r"(n\d{8})/\1_\d+\.JPEG", name) for name in train.names):
        return False
    numbers = {name.partition("/")[2] for name in val.names}
    return numbers == {f"ILSVRC2012_val_{number:08}.JPEG" for number in range(1, len(val.names) + 1)}


def _as_files(found: ClassFolders) -> FileImages:
    return FileImages([os.path.join(found.folder, name) for name in found.names], torch.tensor(found.labels))


def _check_counts(folder: Path, count: int, classes: int, published: int, published_classes: int) -> None:
    if (count, classes) != (published, published_classes):
        raise UserError(
            f"{spelt(folder)} holds {count} images of {classes} classes, the published data set {published} of "
            f"{published_classes}.\nUnpack it again; data.verify=false takes any."
        )


def _decode(files: FileImages) -> MemoryImages:
    size = files.pil(0).size
    pixels = np.empty((len(files.paths), size[1], size[0], 3), dtype=np.uint8)

    def decode(index: int) -> None:
        image = files.pil(index)
        if image.size != size:
            raise damaged(Path(os.fsdecode(files.paths[index])), f"its size is {image.size}, the first image's {size}")
        pixels[index] = np.asarray(image)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(decode, range(len(files.paths)), chunksize=64):
            pass
    return MemoryImages(torch.from_numpy(pixels), files.labels)
