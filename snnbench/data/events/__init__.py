"""Event-camera data sets: recordings to packed frames to batches."""

from snnbench.data.events.cifar10dvs import AEDAT2, AEDAT4
from snnbench.data.events.clips import RandomRoll, SNNAugmentWide
from snnbench.data.events.gesture import IBMGesture, TonicGesture
from snnbench.data.events.module import EventData
from snnbench.data.events.nmnist import NMNIST

__all__ = ["AEDAT2", "AEDAT4", "NMNIST", "EventData", "IBMGesture", "RandomRoll", "SNNAugmentWide", "TonicGesture"]
