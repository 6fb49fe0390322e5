"""Options that came later, each with the value that means what the code did before.

They are named <class>.<option>, or by a key of the top level, or of a surrogate, whose config names no class. A config
of an older run, without the option, is the same recipe as one with this value.
"""

from __future__ import annotations

from typing import Any

CAME_LATER: dict[str, Any] = {
    **{f"{optimizer}.lr_factors": {} for optimizer in ("Adam", "AdamW", "Lamb", "SGD")},
    **{f"{norm}.count_repeats": True for norm in ("BatchNorm", "BatchNormPerStep", "TDBatchNorm")},
    "TDBatchNorm.in_weight": False,
    "region": 0.5,
    "eval_precision": None,
    "weights": None,
    "debug": None,
    "layout": "auto",
    "fuse": "auto",
    "EventData.antialias": True,
    "EventData.values": "counts",
    "EventData.train_frames": None,
    "EventData.windows": None,
    **{f"{data}.val_split": "random" for data in ("EventData", "ImageData")},
    **{f"{network}.dropout_per_step": False for network in ("VGG", "VGGSNN")},
    **{f"{network}.spiking_head": False for network in ("PreActResNet", "VGG")},
    "CosineSchedule.warmup_steps": 0,
    "ResNet.stem": "imagenet",
    "VGGSNN.bias": True,
    "VGGSNN.head_bias": True,
    "VGGSNN.amplitude": 1.0,
    "VGG.bias": True,
    **{f"{network}.init_std": None for network in ("VGG", "VGGSNN")},
    **{f"LIF.{option}": False for option in ("detach_state", "membrane_norm")},
    **{f"ResNet19.{option}": False for option in ("balanced", "output_neuron", "fixed_ends")},
    **{f"{network}.conv_init": "fan_out" for network in ("ResNet", "ResNet19")},
    **{f"{network}.attention": None for network in ("ResNet", "ResNet20")},
    "ResNet.variant": "fsta",
    "ResNet.balanced": False,
    "SEWResNet.pool": "max",
    "SeqNet.dilations": None,
    "SEWResNet.step_offset": False,
    **{f"{network}.bottleneck": False for network in ("ResNet", "SEWResNet")},
    "GLIF.hard_gates": False,
    **{f"CosineSchedule.{option}": False for option in ("after_warmup", "per_batch")},
    "CosineSchedule.start": 0,
    "Augment.batch_epochs": None,
    "Augment.mixed": [],
    **{f"GLIF.{gate}": None for gate in ("alpha", "beta", "gamma")},
}
