"""What the data of a run is, in a few words and digests; `snnbench.runs.fingerprint` compares two of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from snnbench.data.tree import LENGTH, Survey, contents, survey
from snnbench.runs.fingerprint import Files, Fingerprint

CONTENT_BYTES = 2**30
"""Files of more than that are known by their index, unless somebody has had them read (data.verify=full)."""
SAMPLED = 256  # images of a kind that is not known here


def fingerprint(source: str, split: str, parts: Mapping[str, Any], files: Files | None) -> Fingerprint:
    """Of a data set as it has been loaded.

    Args:
        source: What it was loaded by.
        split: How its parts were told apart.
        parts: The data sets "train", "test" and perhaps "val"; each may have `labels`, int64 [N].
        files: What its files are, or what stands for them.
    """
    labels = {name: getattr(part, "labels", None) for name, part in parts.items()}
    known = {name: found.cpu() for name, found in labels.items() if isinstance(found, Tensor)}
    digest = hashlib.sha256()
    for name, found in known.items():
        digest.update(f"{name} {found.dtype} {tuple(found.shape)}\n".encode() + found.contiguous().numpy().tobytes())
    numbers = {name: found for name, found in known.items() if is_numbers(found)}
    return {
        "source": source,
        "split": split,
        "samples": {name: len(part) for name, part in parts.items()},
        "classes": {name: torch.bincount(found).tolist() for name, found in numbers.items()},
        "labels": digest.hexdigest()[:LENGTH] if known else None,
        "files": files,
    }


def is_numbers(labels: Tensor) -> bool:
    """Whether labels are numbers of classes, and no shares or marks of one's own."""
    return labels.ndim == 1 and labels.dtype in (torch.int64, torch.int32, torch.uint8) and bool((labels >= 0).all())


def of_files(
    folder: Path, names: Sequence[str], *, again: bool = False, always: bool = False, found: Survey | None = None
) -> Files:
    """Of files by their content, or by their index where reading them would take long and nobody has done so yet.

    Args:
        folder: Where they lie.
        names: Below `folder`, in an order of their own.
        again: Read them even if they seem untouched.
        always: Read them whatever their size.
        found: How they were found a moment ago.

    Raises:
        UserError: One of them cannot be read.
    """
    found = found or survey(folder, names)
    small = always or again or found.size <= CONTENT_BYTES
    content = contents(folder, names, again=again, known_only=not small, before=found)
    return {
        "count": found.count,
        "bytes": found.size,
        "index": found.index,
        "content": content.digest if content else None,
        "parts": content.parts if content else {},
        "published": False,
    }


def of_images(*parts: Any) -> Files:
    """Of images whose source does not tell its files: by their pixels or their own files, or by some of them."""
    digest, count, size = hashlib.sha256(), 0, 0
    for images in parts:
        if hasattr(images, "pixels"):
            pixels = images.pixels.contiguous().numpy()
            digest.update(f"{pixels.shape}".encode())
            digest.update(memoryview(pixels).cast("B"))
            size += pixels.nbytes
        elif hasattr(images, "paths"):
            names = [os.fsdecode(path) for path in images.paths]
            folder = Path(os.path.commonpath([os.path.dirname(os.path.abspath(name)) for name in names]))
            found = of_files(folder, [os.path.relpath(name, folder) for name in names])
            digest.update(str(found["content"] or found["index"]).encode())
            size += found["bytes"]
        else:
            step = max(1, len(images.labels) // SAMPLED)
            for index in range(0, len(images.labels), step):
                digest.update(images.pil(index).tobytes())
        count += len(images.labels)
    content = digest.hexdigest()[:LENGTH]
    return {"count": count, "bytes": size, "index": None, "content": content, "parts": {}, "published": False}
