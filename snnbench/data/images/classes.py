"""Folders of images, one for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from torchvision.datasets.folder import IMG_EXTENSIONS

from snnbench.data.tree import is_junk, spelt
from snnbench.errors import UserError


class ClassFolders(NamedTuple):
    """Images by class.

    Attributes:
        folder: What holds the class folders.
        classes: Their names, sorted; the place of a class is its label.
        names: Of the images, below `folder`, class by class.
        labels: One for each image.
    """

    folder: Path
    classes: list[str]
    names: list[str]
    labels: list[int]


def class_folders(folder: Path) -> ClassFolders:
    """The images below the folders in `folder`, in torchvision's order: by subfolder, then by name.

    What file managers, notebooks and archivers leave about is neither a class nor an image. Links are followed.

    Raises:
        UserError: No class or one only, a class without images, or something that cannot be read.
    """
    entries = [entry for entry in _entries(str(folder)) if _is_folder(entry)]
    if not entries:
        raise UserError(f"{spelt(folder)} must hold one folder of images per class: it has no folders.")
    if len(entries) == 1:
        raise UserError(f"{spelt(entries[0].path)} is the only class in {spelt(folder)}; there must be two or more.")
    found = ClassFolders(folder, sorted(entry.name for entry in entries), [], [])
    for label, name in enumerate(found.classes):
        images = [file for _, files in sorted(_walk(str(folder), name, ())) for file in files]
        if not images:
            raise UserError(
                f"{spelt(folder / name)} has no images ({', '.join(IMG_EXTENSIONS)}): {spelt(folder)} must hold one "
                "folder of images per class. Move it away, or fetch it again."
            )
        found.names.extend(images)
        found.labels.extend([label] * len(images))
    return found


def _walk(top: str, name: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, list[str]]]:
    """Each folder from `name` on, with the images in it, sorted, by their names below `top`."""
    path = os.path.join(top, name)
    status = os.stat(path)
    here = (status.st_dev, status.st_ino)
    if here in above:
        raise UserError(f"{spelt(path)} is a link to a folder that it lies in. Move it away.")
    images = []
    for entry in _entries(path):
        if _is_folder(entry):
            yield from _walk(top, os.path.join(name, entry.name), (*above, here))
        elif entry.name.lower().endswith(IMG_EXTENSIONS):
            if not entry.is_file():
                raise UserError(f"{spelt(entry.path)} is no plain file, or a link to nothing. Move it away.")
            images.append(os.path.join(name, entry.name))
    yield name, sorted(images)


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return [entry for entry in found if not is_junk(entry.name)]
    except OSError as error:
        raise UserError(f"{spelt(path)} must hold images by class: it cannot be read ({error.strerror}).") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # of a link that leads to itself
        raise UserError(f"{spelt(entry.path)} cannot be followed ({error.strerror}). Move it away.") from error
