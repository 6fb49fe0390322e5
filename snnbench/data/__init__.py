"""Data sets, and loaders whose batches follow from the config and the epoch alone."""

from snnbench.data.augment import Augment, Cutout, RandomRedErasing
from snnbench.data.images.module import ImageData
from snnbench.data.module import BenchData
from snnbench.data.timm_augment import TimmAugment

__all__ = ["Augment", "BenchData", "Cutout", "ImageData", "RandomRedErasing", "TimmAugment"]
