"""Residual blocks, and stages of those that fire after the sum."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor, nn

from snnbench.backbones.base import zero_last_norm
from snnbench.backbones.layers import AvgPool2d, NormFactory, SpikingUnit, UnitFactory, conv1x1, conv3x3
from snnbench.check import counts, flag

EXPANSION = 4  # the channels of a bottleneck's output, in units of those within


class Branch(nn.Module):
    """The convolutions of a residual block, conv1, conv2, ..., and the unit after each, unit1, unit2, ...

    Two of 3x3; or the bottleneck of ResNet-50 and deeper: 1x1 to a quarter of the block's channels, 3x3, 1x1. The first
    of 3x3 takes the stride.

    Args:
        bottleneck: which of the two.
        gain: of the last norm, where it has one of its own.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int,
        *,
        unit: UnitFactory,
        bottleneck: bool = False,
        gain: float | None = None,
    ) -> None:
        super().__init__()
        convs = [conv3x3(c_in, c_out, stride), conv3x3(c_out, c_out)]
        if bottleneck:
            within = c_out // EXPANSION
            convs = [conv1x1(c_in, within), conv3x3(within, within, stride), conv1x1(within, c_out)]
        for n, conv in enumerate(convs, start=1):
            options = {"gain": gain} if gain is not None and n == len(convs) else {}
            self.add_module(f"conv{n}", conv)
            self.add_module(f"unit{n}", unit(conv.out_channels, **options))
        self.depth, self.out_channels = len(convs), c_out

    def current(self, x: Tensor) -> Tensor:
        """What the last unit reads."""
        for n in range(1, self.depth):
            x = getattr(self, f"unit{n}")(getattr(self, f"conv{n}")(x))
        last: Tensor = getattr(self, f"conv{self.depth}")(x)
        return last

    @property
    def last_unit(self) -> SpikingUnit:
        unit: SpikingUnit = getattr(self, f"unit{self.depth}")
        return unit


class BasicBlock(Branch):
    """A branch up to its last norm, plus the shortcut, neuron.

    The shortcut carries spikes. Where the shape changes it is a 1x1 convolution and a norm.

    Args:
        average: whether the shortcut's stride is taken by an average pool before its convolution (ResNet-20), or by the
            convolution itself.
        balanced: whether norms whose outputs are added have 1 / sqrt(2) of a norm's standard deviation (tdBN, GLIF).
        norm_shortcut: whether the shortcut is normalised also where the shape does not change (GLIF).
        bottleneck: whether the branch is one.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        stride: int,
        *,
        unit: UnitFactory,
        norm: NormFactory,
        average: bool = False,
        balanced: bool = False,
        norm_shortcut: bool = False,
        bottleneck: bool = False,
    ) -> None:
        summand = {"gain": math.sqrt(0.5)} if balanced else {}
        super().__init__(c_in, c_out, stride, unit=unit, bottleneck=bottleneck, **summand)
        self.shortcut = nn.Sequential()
        changes = stride != 1 or c_in != c_out
        if average and stride != 1:
            self.shortcut.append(AvgPool2d(stride, ceil_mode=True, count_include_pad=False))
        if changes:
            self.shortcut.append(conv1x1(c_in, c_out, 1 if average else stride))
        if changes or norm_shortcut:
            self.shortcut.append(norm(c_out, **summand))

    def forward(self, x: Tensor) -> Tensor:
        return self.last_unit(self.current(x), residual=self.shortcut(x))


def plan_stages(
    c_in: int, widths: Sequence[int], blocks: Sequence[int], strides: Sequence[int] | None = None
) -> Iterator[tuple[int, int, int]]:
    """(channels in, channels out, stride) of each block; by default every stage but the first halves the resolution."""
    blocks = counts("backbone.blocks", blocks, length=len(widths), hint="One number of blocks for each stage.")
    strides = [1] + [2] * (len(widths) - 1) if strides is None else strides
    for width, length, stride in zip(widths, blocks, strides, strict=True):
        for index in range(length):
            yield c_in, width, stride if index == 0 else 1
            c_in = width


def basic_stages(
    plan: Iterable[tuple[int, int, int]],
    unit: UnitFactory,
    norm: NormFactory,
    *,
    zero_init_last: bool = False,
    **options: bool,
) -> nn.Sequential:
    """The blocks of a plan; options are BasicBlock's."""
    stages = nn.Sequential()
    for shape in plan:
        block = BasicBlock(*shape, unit=unit, norm=norm, **options)
        if flag("backbone.zero_init_last", zero_init_last):
            zero_last_norm(block.last_unit)
        stages.append(block)
    return stages
