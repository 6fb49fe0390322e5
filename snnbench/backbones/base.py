"""What every backbone shares: the entrance for static and temporal input, size checks, weight initialisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from snnbench.backbones.layers import SpikingUnit
from snnbench.check import count, counts
from snnbench.errors import UserError

ImageSize = int | Sequence[int]


class Backbone(nn.Module):
    """A spiking network from images or frames to logits of every timestep.

    A subclass writes `logits`. Time is dimension 0 throughout.

    Args:
        T: number of timesteps.
        in_channels: channels of the input.
        num_classes: logits for each sample.
        image_size: height and width of the input, or one number for both.
        reduction: by how much the network reduces height and width; a smaller image is refused.

    Attributes:
        in_parts: whether each timestep brings another part of one image, so that a network without spikes would have
            to make T passes, too.
        layout: how frames lie in memory within the network: "contiguous", "channels_last", or "auto": channels last
            on the devices `last_on`, where that is no slower and no less exact; on a CPU in float32 without autocast,
            never in float64.
        last_on: kinds of devices.
    """

    in_parts = False
    layout = "contiguous"
    last_on: tuple[str, ...] = ()

    def __init__(self, *, T: int, in_channels: int, num_classes: int, image_size: ImageSize, reduction: int) -> None:
        super().__init__()
        self.T = count("backbone.T", T)
        self.in_channels = count("backbone.in_channels", in_channels)
        self.num_classes = count("backbone.num_classes", num_classes)
        self.image_size = size_pair(image_size)
        if min(self.image_size) < reduction:
            height, width = self.image_size
            raise UserError(
                f"backbone.image_size={height}x{width} (data.image_size): too small for {type(self).__name__}, which "
                f"reduces the image {reduction} times.\nUse images of at least {reduction}x{reduction}, "
                "or a smaller network such as backbone=convnet."
            )

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every timestep.

        Args:
            x: frames [T, B, C, H, W], or static images [B, C, H, W]. For static images the layers before the first
                neuron run once, not T times; an image expanded over time with stride 0 counts as static, too. In
                training there may be fewer frames than T, where no layer learns a number of each timestep.

        Returns:
            Logits [T, B, classes].

        Raises:
            ValueError: x has another shape than the network was built for.
        """
        shape = (self.in_channels, *self.image_size)
        steps = len(x) if x.dim() == 5 else self.T
        long = steps == self.T or (self.training and 0 < steps < self.T)
        if x.dim() not in (4, 5) or tuple(x.shape[-3:]) != shape or not long:
            expected = f"[{self.T}, B, {shape[0]}, {shape[1]}, {shape[2]}] or [B, {shape[0]}, {shape[1]}, {shape[2]}]"
            raise ValueError(f"{type(self).__name__} was built for {expected}, got {list(x.shape)}")
        if x.dim() == 4:
            return self.logits(self._laid(x).unsqueeze(0), self.T)
        if self.T > 1 and x.stride(0) == 0:
            return self.logits(self._laid(x[0]).unsqueeze(0), self.T)
        # Frames in another order ([B, T, ...] transposed) are copied here, once: inside, folding is a view.
        return self.logits(self._laid(x.flatten(0, 1)).unflatten(0, x.shape[:2]), 1)

    def _laid(self, frames: Tensor) -> Tensor:
        """Frames [N, C, H, W] in the network's layout; every layer keeps it."""
        last = self.layout == "channels_last"
        if self.layout == "auto" and frames.device.type in self.last_on:
            plain = frames.dtype is torch.float32 and not torch.is_autocast_enabled("cpu")
            last = plain if frames.is_cpu else frames.dtype is not torch.float64
        if not last:
            return frames.contiguous()
        frames = frames.contiguous(memory_format=torch.channels_last)
        if self.in_channels == 1:  # both layouts at once, of which PyTorch's convolutions would choose the other
            height, width = frames.shape[2:]
            frames = frames.as_strided(frames.shape, (height * width, 1, width, 1))
        return frames

    def logits(self, x: Tensor, repeats: int) -> Tensor:
        """Logits [T, B, classes] of x [T, B, C, H, W], or of a single frame [1, B, C, H, W] shown `repeats` times."""
        raise NotImplementedError(f"{type(self).__name__} defines no logits")


def size_pair(image_size: ImageSize) -> tuple[int, int]:
    """(height, width)."""
    if isinstance(image_size, int):
        side = count("backbone.image_size", image_size, hint="It is data.image_size.")
        return side, side
    hint = "It is height and width; data.image_size, one number, is both."
    height, width = counts("backbone.image_size", image_size, length=2, hint=hint)
    return height, width


def init_convs(net: nn.Module, *, zero_bias: bool = False, std: float | None = None) -> None:
    """Convolution weights from N(0, std^2); by default 2 / (k^2 C_out), Kaiming normal over the fan out.

    Those of an attention stay.
    """
    attentions = [unit.attention for unit in net.modules() if isinstance(unit, SpikingUnit) and unit.attention]
    apart = {part for attention in attentions for part in attention.modules()}
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module not in apart:
            if std is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            else:
                nn.init.normal_(module.weight, std=std)
            if zero_bias and module.bias is not None:
                nn.init.zeros_(module.bias)


def init_linear(layer: nn.Linear, std: float) -> None:
    """Weights of a fully connected layer from N(0, std^2), bias 0."""
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def zero_last_norm(unit: SpikingUnit, bias: float = 0.0) -> None:
    """Set the scale of a unit's norm to 0 and its shift to `bias`, so that a residual branch starts as a constant.

    Until the scale has moved, the weights of that branch get no gradient.
    """
    nn.init.zeros_(unit.norm.get_parameter("bn.weight"))
    nn.init.constant_(unit.norm.get_parameter("bn.bias"), bias)
