"""Folders as they are found: what is left about is no data, and what cannot be read is named in a line or two."""

from __future__ import annotations

import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from image_files import image_data, ready, write_imagenet, write_jpeg, write_tiny_imagenet
from PIL import Image

from snnbench.data import ImageData
from snnbench.errors import UserError

IMAGE = "train/n00000001/images/n00000001_2.JPEG"


def load(root: Path, name: str = "tiny_imagenet", **options: object) -> ImageData:
    return ready(image_data(name, root=root, **{"verify": False, "num_workers": 0, "download": False, **options}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_imagenet(tmp_path)


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        load(folder.parent)
    message = str(error.value)
    assert len(message.splitlines()) <= 2
    return message


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int) -> bytes:
    """A header that announces that size, and no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def true_png() -> bytes:
    content = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(content, "PNG")
    return content.getvalue()


DAMAGED = {
    "png cut in its header": true_png()[:20],
    "png cut after its header": true_png()[:41],
    "png cut in its pixels": true_png()[:500],
    "png with other bits": true_png()[:60] + b"XXXX" + true_png()[64:],
    "png of no size": png(0, 0),
    "a bomb that PIL refuses": png(50_000, 50_000),
    "a bomb that PIL warns of": png(10_000, 10_000),
    "gif": b"GIF89a\x40\x00\x40\x00\xf7",
    "tiff": b"II*\x00\x08\x00\x00\x00\xff\xff",
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 \x18",
    "text": b"404 not found",
    "nothing": b"",
}


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_images_are_named(kind: str, folder: Path) -> None:
    (folder / IMAGE).write_bytes(DAMAGED[kind])
    message = refused(folder)
    assert message.startswith(f"{folder / IMAGE} is damaged or missing (")
    assert len(message.splitlines()) == 1
    assert message.count(str(folder)) == 1


def test_a_png_that_is_called_jpeg_is_an_image(folder: Path) -> None:
    (folder / IMAGE).write_bytes(true_png())
    assert len(load(folder.parent).train_set) == 12


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", ["tiny_imagenet", "imagenet"])
def test_what_is_left_about_is_neither_a_class_nor_an_image(
    name: str, verify: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snnbench.data.images.folders._check_counts", lambda *_: None)
    monkeypatch.setattr("snnbench.data.images.folders.has_published_names", lambda *_: False)
    root = (write_tiny_imagenet if name == "tiny_imagenet" else write_imagenet)(tmp_path)
    before = load(tmp_path, name, verify=verify)
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        for junk in (".ipynb_checkpoints", "__MACOSX", ".Trash-0", "@eaDir"):
            write_jpeg(folder / junk / "a-checkpoint.JPEG", (64, 64), (0, 0, 0))
        for junk in (".DS_Store", "Thumbs.db", "desktop.ini", "._n00000001_0.JPEG", ".hidden.png"):
            (folder / junk).write_bytes(b"\0\5\x16\7")
    after = load(tmp_path, name, verify=verify)
    assert after.fingerprint() == before.fingerprint()
    assert after.train_set.labels.tolist() == before.train_set.labels.tolist()


HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty class": (lambda f: (f / "train/n00000009").mkdir(), "train/n00000009 has no images"),
    "a class of junk": (lambda f: write_jpeg(f / "train/n9/.x.JPEG", (64, 64), (0, 0, 0)), "train/n9 has no images"),
    "one class": (
        lambda f: [shutil.rmtree(f / "train" / f"n0000000{k}") for k in (1, 2)],
        "n00000000 is the only class",
    ),
    "no class": (lambda f: [shutil.rmtree(path) for path in (f / "train").iterdir()], "it has no folders"),
    "a file for a folder": (lambda f: (shutil.rmtree(f / "train"), (f / "train").write_text("")), "train must hold"),
    "a pipe": (lambda f: ((f / IMAGE).unlink(), os.mkfifo(f / IMAGE)), f"{IMAGE} is no plain file"),
    "a link to nothing": (lambda f: ((f / IMAGE).unlink(), (f / IMAGE).symlink_to("away")), "a link to nothing"),
    "a link to itself": (lambda f: ((f / IMAGE).unlink(), (f / IMAGE).symlink_to(f / IMAGE)), "cannot be followed"),
    "a class in itself": (lambda f: (f / "train/zz").symlink_to(f / "train"), "is a link to a folder that it lies in"),
    "a folder in itself": (lambda f: (f / IMAGE).parent.joinpath("up").symlink_to(f / "train"), "that it lies in"),
    "annotations of bytes": (lambda f: (f / "val/val_annotations.txt").write_bytes(b"\xff\xfe"), "it is no text"),
    "no annotations": (lambda f: (f / "val/val_annotations.txt").write_text(""), "it has no lines"),
}


@pytest.mark.parametrize("name", HARM)
def test_what_cannot_be_used_is_named(name: str, folder: Path) -> None:
    harm, words = HARM[name]
    harm(folder)
    assert words in refused(folder)


def test_links_to_folders_elsewhere_are_followed(folder: Path, tmp_path: Path) -> None:
    before = load(tmp_path).fingerprint()
    moved = (folder / "train/n00000001").rename(tmp_path / "moved")
    (folder / "train/n00000001").symlink_to(moved)
    assert load(tmp_path).fingerprint()["files"]["content"] == before["files"]["content"]


def test_names_of_any_bytes_are_read_and_can_be_said(folder: Path) -> None:
    path = os.path.join(os.fsencode((folder / IMAGE).parent), b"\xff\xfe.JPEG")
    os.rename(folder / IMAGE, path)
    assert len(load(folder.parent).train_set) == 12
    with open(path, "wb") as file:
        file.write(b"x")
    message = refused(folder)
    message.encode()
    assert r"\xff\xfe.JPEG is damaged" in message


def test_the_order_is_torchvisions(folder: Path, tmp_path: Path) -> None:
    """The order of the samples decides the batches of runs of before."""
    from torchvision.datasets import ImageFolder

    from snnbench.data.images.classes import class_folders

    for name in ("b/1.png", "b-a/2.jpg", "b/c/0.PNG", "a.jpeg", "B/z.webp", "10.bmp", "9.bmp", "notes.txt"):
        write_jpeg(folder / "train/n00000002" / name, (8, 8), (0, 0, 0)) if name[-3:] != "txt" else None
    expected = ImageFolder(folder / "train")
    found = class_folders(folder / "train")
    assert found.classes == expected.classes
    pairs = [(str(folder / "train" / name), label) for name, label in zip(found.names, found.labels, strict=True)]
    assert pairs == expected.samples


@pytest.mark.parametrize(("limit", "sizes"), [(3, [1, 1, 1]), (7, [3, 2, 2]), (11, [4, 4, 3]), (99, [4, 4, 4])])
def test_a_limit_is_spread_over_the_classes(limit: int, sizes: list[int], folder: Path) -> None:
    data = load(folder.parent, limit=limit)
    found = data.train_set.labels.tolist()
    assert [found.count(label) for label in range(3)] == sizes
    assert data.train_set.positions.tolist() == [4 * label + i for label in range(3) for i in range(sizes[label])]
    assert len(data.eval_sets["test"]) == min(limit, 3)
    assert (data.provenance, data.doubt) == ("subset", f"data.limit={limit}")
