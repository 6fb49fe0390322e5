"""The files of MNIST and CIFAR, looked at before torchvision reads them."""

from __future__ import annotations

import math
import pickle
import struct
from pathlib import Path

import numpy as np

from snnbench.data.files import damaged
from snnbench.data.tree import plain_file


def check_idx(path: Path, dimensions: int) -> int:
    """Check the header of an idx file against its size.

    Returns:
        How many items it holds.

    Raises:
        UserError: It is damaged.
    """
    header = 4 + 4 * dimensions
    size = plain_file(path).st_size
    try:
        with path.open("rb") as file:
            head = file.read(header)
    except OSError as error:
        raise damaged(path, f"it cannot be read ({error.strerror})") from error
    if len(head) < header or head[:4] != bytes([0, 0, 8, dimensions]):
        raise damaged(path, f"it is no idx file of {dimensions} dimensions ({size} bytes)")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    expected = header + math.prod(shape)
    if size != expected or size == header:
        raise damaged(path, f"{size} bytes, its header announces {expected}")
    return shape[0]


def check_pickle(path: Path, label_key: str) -> None:
    """Check that a batch of CIFAR unpickles to images with labels; raises a UserError where it does not."""
    size = plain_file(path).st_size
    try:
        with path.open("rb") as file:
            entry = pickle.load(file, encoding="latin1")
        pixels, labels = np.asarray(entry["data"]), entry[label_key]
    except Exception as error:  # unpickling garbage may raise anything
        raise damaged(path, f"{size} bytes that do not unpickle ({error})") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3072):
        raise damaged(path, f"{len(labels)} labels with {pixels.dtype} pixels of shape {pixels.shape}")
