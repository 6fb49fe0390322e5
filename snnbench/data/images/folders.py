"""Sources that are folders of JPEG files: Tiny-ImageNet and ImageNet."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive

from snnbench.data.files import check_present, damaged
from snnbench.data.images.dataset import FileImages, Images, MemoryImages
from snnbench.data.images.sources import Source
from snnbench.errors import UserError


class TinyImageNet(Source):
    """Tiny-ImageNet in <root>/tiny-imagenet-200; its labelled val part is the test set, as in every paper.

    It is decoded once, by as many threads as there are cores, and kept in memory (1.4 GB): an epoch then costs no
    decoding. The archive's checksum is checked when it is downloaded, a folder by its counts and by decoding all of it.
    """

    split = "official train/val as train/test"
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
    md5 = "90528d7ca1a48142e341f4ef8d21d0de"

    @property
    def folder(self) -> Path:
        return self.root / "tiny-imagenet-200"

    def prepare(self) -> None:
        check_present(
            self.folder,
            ["train", "val/images", "val/val_annotations.txt"],
            archives=["tiny-imagenet-200.zip"],
            how_to_get=f"By hand: put {self.url} in {self.root}, as it is or unpacked.",
            fetch=(lambda root: download_and_extract_archive(self.url, root, md5=self.md5)) if self.download else None,
        )
        if self.verify:
            train, test = self._files()
            _check_counts(self.folder / "train", train, classes=200, count=100_000)
            _check_counts(self.folder / "val", test, classes=200, count=10_000)

    def load(self) -> tuple[Images, Images]:
        train, test = (_decode(files) for files in self._files())
        return train, test

    def _files(self) -> tuple[FileImages, FileImages]:
        train = _image_folder(self.folder / "train")
        annotations = self.folder / "val" / "val_annotations.txt"
        paths, labels = [], []
        for number, line in enumerate(annotations.read_text().splitlines(), 1):
            name, _, wnid = line.partition("\t")
            wnid = wnid.partition("\t")[0]
            if wnid not in train.class_to_idx:
                raise damaged(annotations, f"line {number} names the class {wnid!r}, which train/ lacks")
            paths.append(self.folder / "val" / "images" / name)
            labels.append(train.class_to_idx[wnid])
        return _as_files(train), FileImages(paths, torch.tensor(labels))


class ImageNet(Source):
    """ImageNet (ILSVRC2012) in <root>/imagenet: train/<class>/*.JPEG and val/<class>/*.JPEG, or the archives.

    Archives are unpacked by torchvision, which checks their MD5; folders are checked by their counts.
    """

    split = "official train/val as train/test"

    @property
    def folder(self) -> Path:
        return self.root / "imagenet"

    def prepare(self) -> None:
        missing = [split for split in ("train", "val") if not (self.folder / split).is_dir()]
        if missing and any(self.folder.glob("ILSVRC2012_*.tar*")):
            self._unpack(missing)
        elif missing:
            raise UserError(
                f"no {' and no '.join(missing)} folder in {self.folder}. ImageNet needs an account at image-net.org: "
                "put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz there, or\n"
                "train/<class>/*.JPEG and val/<class>/*.JPEG. Set paths.data=<folder above it> or $SNNBENCH_DATA if it "
                "lies elsewhere; data=digits needs no files."
            )
        train, val = (_image_folder(self.folder / split) for split in ("train", "val"))
        if train.classes != val.classes:
            raise UserError(f"{self.folder}: train and val must hold the same class folders.")
        if self.verify:
            _check_counts(self.folder / "train", _as_files(train), classes=1000, count=1_281_167)
            _check_counts(self.folder / "val", _as_files(val), classes=1000, count=50_000)

    def _unpack(self, splits: list[str]) -> None:
        for split in splits:
            try:
                datasets.ImageNet(self.folder, split=split)
            except (RuntimeError, OSError, EOFError) as error:
                raise UserError(f"{self.folder}: the {split} archive could not be unpacked: {error}") from error

    def load(self) -> tuple[Images, Images]:
        train, val = (_as_files(_image_folder(self.folder / split)) for split in ("train", "val"))
        return train, val


def _image_folder(folder: Path) -> datasets.ImageFolder:
    try:
        return datasets.ImageFolder(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{folder} must hold one folder of images per class: {error}") from error


def _as_files(folder: datasets.ImageFolder) -> FileImages:
    return FileImages([path for path, _ in folder.samples], torch.tensor(folder.targets))


def _check_counts(folder: Path, files: FileImages, *, classes: int, count: int) -> None:
    found, found_classes = len(files.paths), len(files.labels.unique())
    if (found, found_classes) != (count, classes):
        raise UserError(
            f"{folder} holds {found} images of {found_classes} classes, the published data set {count} of {classes}.\n"
            "Unpack it again; data.verify=false takes any."
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
