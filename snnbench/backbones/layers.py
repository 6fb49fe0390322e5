"""Layers over [T, B, ...]: convolution and pooling with time folded into the batch, and the spiking unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.module import _has_any_global_hook

from snnbench.check import choice
from snnbench.kernels import repeat
from snnbench.kernels.norms import unit
from snnbench.kernels.spikes.convolution import convolve, hand_on
from snnbench.kernels.spikes.pools import Windows, adaptive_average_pool, average_pool, max_pool
from snnbench.neurons import SpikingNeuron

NeuronFactory = Callable[..., nn.Module]
NormFactory = Callable[..., nn.Module]
UnitFactory = Callable[..., "SpikingUnit"]


def over_time(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a layer over [N, ...] to x [T, B, ...] in one call, N = T * B.

    Folding is a view, for channels-last frames, too; a tensor that would have to be copied is refused.
    """
    return layer(folded(x)).unflatten(0, x.shape[:2])


def folded(x: Tensor) -> Tensor:
    """x [T, B, ...] as [T * B, ...]: a view, in x's layout.

    Frames of one channel lie channels last and first at once; `view` would forget which of the two strides say.
    """
    frames = x.view(-1, *x.shape[2:])
    if x.dim() == 5 and x.shape[2] == x.stride(2) == 1:
        height, width = x.shape[3:]
        frames = frames.as_strided(frames.shape, (height * width, 1, width, 1))
    return frames


class Conv2d(nn.Conv2d):
    """`nn.Conv2d` over [T, B, C, H, W]. On a CPU it only adds where its input is spikes, if that is faster; 3x3 with
    channels last it multiplies less (`kernels.spikes.dense`).

    Attributes:
        engine: "reference" for PyTorch's convolution always; else as for neurons.
        keeps_recipe: whether an output that was added up remembers from what (`kernels.spikes.recipes.again`).
    """

    engine = "auto"
    keeps_recipe = False

    def forward(self, input: Tensor) -> Tensor:
        if not self.keeps_recipe or torch.compiler.is_compiling():
            return over_time(self._convolve, input)
        y = self._convolve(folded(input))
        return hand_on(y, y.unflatten(0, input.shape[:2]))

    def _convolve(self, x: Tensor) -> Tensor:
        kernel = self.kernel()
        if _has_kernels(self) and self._plain:
            found = convolve(x, kernel, self.bias, self.stride[0], int(self.padding[0]), keeps=self.keeps_recipe)
            if found is not None:
                return found
        return self._conv_forward(x, kernel, self.bias)

    def kernel(self) -> Tensor:
        """What it convolves with, [C_out, C_in / groups, k, k]: the weights, or what a subclass makes of them."""
        return self.weight

    @property
    def _plain(self) -> bool:
        """Whether it is one that `convolve` knows: square, undivided, with a border of zeros."""
        own = type(self)._conv_forward is nn.Conv2d._conv_forward and "_conv_forward" not in vars(self)
        square = isinstance(self.padding, tuple) and len({*self.stride}) == len({*self.padding}) == 1
        return own and square and self.groups == 1 and self.dilation == (1, 1) and self.padding_mode == "zeros"


def _has_kernels(layer: Conv2d | AvgPool2d | MaxPool2d | AdaptiveAvgPool2d) -> bool:
    return layer.engine in ("auto", "cpu") and not torch.compiler.is_compiling()


class AvgPool2d(nn.AvgPool2d):
    """`nn.AvgPool2d` over [T, B, C, H, W]. On a CPU it keeps nothing for the backward."""

    engine = "auto"

    def forward(self, input: Tensor) -> Tensor:
        return over_time(self._pool, input)

    def _pool(self, x: Tensor) -> Tensor:
        y = None
        if _has_kernels(self) and self.divisor_override is None:
            y = average_pool(x, Windows.of(self, self.count_include_pad))
        return super().forward(x) if y is None else y


class MaxPool2d(nn.MaxPool2d):
    """`nn.MaxPool2d` over [T, B, C, H, W]; of spikes, the logical or. On a CPU it keeps a byte an output."""

    engine = "auto"

    def forward(self, input: Tensor) -> Tensor:
        return over_time(self._pool, input)

    def _pool(self, x: Tensor) -> Tensor:
        y = None
        if _has_kernels(self) and self.dilation in (1, (1, 1)) and not self.return_indices:
            y = max_pool(x, Windows.of(self))
        return super().forward(x) if y is None else y


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """`nn.AdaptiveAvgPool2d` over [T, B, C, H, W]. On a CPU it keeps nothing for the backward."""

    engine = "auto"

    def forward(self, input: Tensor) -> Tensor:
        return over_time(self._pool, input)

    def _pool(self, x: Tensor) -> Tensor:
        y = adaptive_average_pool(x, self.output_size) if _has_kernels(self) else None
        return super().forward(x) if y is None else y


POOLS: dict[str, Callable[[int], nn.Module]] = {"avg": AvgPool2d, "max": MaxPool2d}


def make_pool(kind: str) -> nn.Module:
    """A 2x2 pool with stride 2, "avg" or "max"."""
    return POOLS[choice("backbone.pool", kind, POOLS)](2)


def conv3x3(c_in: int, c_out: int, stride: int = 1, *, bias: bool = False) -> Conv2d:
    return Conv2d(c_in, c_out, 3, stride, padding=1, bias=bias)


def conv1x1(c_in: int, c_out: int, stride: int = 1, *, bias: bool = False) -> Conv2d:
    return Conv2d(c_in, c_out, 1, stride, bias=bias)


def global_average(x: Tensor) -> Tensor:
    """[T, B, C, H, W] -> [T, B, C]."""
    return x.mean((-2, -1))


class SpikingUnit(nn.Module):
    """A norm and the neuron after it, one unit: s = neuron(norm(x) + residual).

    Args:
        norm: a norm over [T, B, C, ...] (`snnbench.backbones.norms`).
        neuron: the neuron that reads it, or in a network without spikes a ReLU.
        attention: what scales the neuron's input [T, B, C, H, W] first (`snnbench.backbones.fsta`).

    Attributes:
        fuses: the kinds of device on which the two run as one operation where they can; nothing but time, memory
            and rounding depends on it.
    """

    fuses: tuple[str, ...] = ("cpu",)

    def __init__(self, norm: nn.Module, neuron: nn.Module, attention: nn.Module | None = None) -> None:
        super().__init__()
        self.norm = norm
        self.attention = attention
        self.neuron = neuron
        if isinstance(neuron, SpikingNeuron):
            neuron.follow(norm)

    def forward(self, x: Tensor, repeats: int = 1, residual: Tensor | None = None) -> Tensor:
        """Spikes of the unit.

        Args:
            x: [T, B, C, ...]; T = 1 where repeats > 1.
            repeats: how many timesteps the one frame of x stands for. It is normalised once, and expanded with
                stride 0 in time: the repeated input is never stored. Only a norm that tells timesteps apart (TAB)
                gives a frame of each.
            residual: added to the normalised input, [T * repeats, B, C, ...].

        Returns:
            Spikes [T * repeats, B, C, ...].
        """
        found = self._together(x, repeats, residual)
        if found is not None:
            return found
        current = self.norm(x, repeats)
        if len(current) < repeats:
            current = repeat(current, repeats)
        if residual is not None:
            current = current + residual
        if self.attention is not None:
            current = self.attention(current)
        return self.neuron(current)

    def _together(self, x: Tensor, repeats: int, residual: Tensor | None) -> Tensor | None:
        """Norm and neuron as one operation; None where each must be called, for one, because a hook looks on."""
        norm, neuron = self.norm, self.neuron
        if not (x.device.type in self.fuses and isinstance(neuron, SpikingNeuron)) or self.attention is not None:
            return None
        kind = type(neuron)
        own = all(getattr(kind, name) is getattr(SpikingNeuron, name) for name in ("run", "forward", "start"))
        if not (own and unhooked(norm) and unhooked(neuron)):
            return None
        operation = getattr(norm, "operation", None)
        operation = operation(repeats) if operation is not None else None
        return None if operation is None else unit.run(neuron, operation, x, repeats, residual)


def unhooked(module: nn.Module) -> bool:
    """Whether calling the module does no more than its class's forward."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return not (hooks or "forward" in vars(module) or _has_any_global_hook())


def unit_factory(
    norm: NormFactory, neuron: NeuronFactory, attention: Callable[[int], nn.Module | None] = lambda channels: None
) -> UnitFactory:
    """A function that makes the spiking unit for a number of channels; what else it is given goes to the norm."""
    return lambda c, **options: SpikingUnit(norm(c, **options), neuron(channels=c), attention(c))


def conv_stages(
    c_in: int, width: int, stages: Sequence[int], unit: UnitFactory, pool: Callable[[], nn.Module]
) -> nn.ModuleList:
    """For each entry of `stages` as many (conv 3x3, unit) of `width` channels, and a pool."""
    layers = nn.ModuleList()
    for convs in stages:
        for _ in range(convs):
            layers.extend([conv3x3(c_in, width), unit(width)])
            c_in = width
        layers.append(pool())
    return layers
