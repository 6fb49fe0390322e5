"""Normalisation over [T, B, C, ...]: jointly over time, one timestep at a time, or scaled to the threshold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from snnbench.backbones.layers import over_time, unhooked
from snnbench.check import flag, number
from snnbench.kernels.norms.alone import batch_norm
from snnbench.kernels.norms.norm import Norm


class BatchNorm(nn.Module):
    """Batch normalisation with one mean and variance per channel over T, B and space.

    A static image need not be repeated: with `repeats=R`, the one frame of x stands for R equal ones. The output is
    that one frame; the running statistics end up as if all R had been seen (R equal frames have the same mean and
    biased variance; only the factor n / (n - 1) of the running variance counts R times more values).

    The statistics live in a plain `nn.BatchNorm2d`, so that `nn.SyncBatchNorm.convert_sync_batchnorm` finds it.

    Args:
        channels: size of dimension 2 of x.
        eps: added to the variance.
        momentum: weight of the newest batch in the running statistics, in (0, 1].
        count_repeats: whether the running statistics of a static image are those of all its frames, or of the one that
            is normalised, as in code that runs its first layers once for each image (SEW, PLIF repositories).
        gain: a fixed factor beside the weight, above 0: y = gain * weight * (x - mean) / std + bias. The network gives
            it, where several norms are added up.

    Attributes:
        fuses: whether a kernel of this project runs it, on a CPU, where no neuron follows.
    """

    fuses = True

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        count_repeats: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        if not gain > 0:
            raise ValueError(f"gain={gain}: must be greater than 0")
        self.momentum = number("norm.momentum", momentum, "(0, 1]")
        self.count_repeats = flag("norm.count_repeats", count_repeats)
        self.gain = float(gain)
        self.bn = nn.BatchNorm2d(channels, eps=number("norm.eps", eps, "(0, inf)"), momentum=self.momentum)

    def forward(self, x: Tensor, repeats: int = 1) -> Tensor:
        """Normalise x.

        Args:
            x: [T, B, C, H, W] or [T, B, C].
            repeats: how many equal frames each frame of x stands for; above 1 only where x has T = 1.

        Returns:
            A tensor shaped like x.

        Raises:
            ValueError: x has another number of dimensions, or repeats > 1 for more than one frame.
        """
        if x.dim() not in (3, 5):
            raise ValueError(f"a norm takes [T, B, C, H, W] or [T, B, C], got {list(x.shape)}")
        if repeats > 1 and x.shape[0] != 1:
            raise ValueError(f"repeats={repeats} needs a single frame, got T={x.shape[0]}")
        frames = x if x.dim() == 5 else x[..., None, None]
        counted = repeats if self.count_repeats else 1
        operation = self.operation(repeats) if self.fuses else None
        found = batch_norm(x, operation) if operation is not None else None
        if found is not None:
            return found
        y = self._train(frames, counted) if self.training else self._folded(frames)
        return y if x.dim() == 5 else y[..., 0, 0]

    def operation(self, repeats: int) -> Norm | None:
        """This norm as one operation of `snnbench.kernels.norms`; None where PyTorch's layer must be called.

        So it must where somebody looks on (hooks, torch.compile), or it was replaced (SyncBatchNorm, parametrizations).
        """
        bn = self.bn
        if type(self) not in _OWN or type(bn) is not nn.BatchNorm2d or {"forward", "_apply_bn"} & set(vars(self)):
            return None
        momentum = bn.momentum
        if momentum is None or bn.weight is None or bn.running_mean is None:
            return None
        if torch.compiler.is_compiling() or bn.training != self.training or not unhooked(bn):
            return None
        if bn.training and not bn.track_running_stats:
            return None
        assert bn.running_var is not None
        assert bn.num_batches_tracked is not None
        per_step, counted = isinstance(self, BatchNormPerStep), repeats if self.count_repeats else 1
        return Norm(
            bn.weight,
            bn.bias,
            bn.running_mean,
            bn.running_var,
            eps=bn.eps,
            momentum=1 - (1 - momentum) ** counted if per_step else momentum,
            gain=self.gain,
            per_step=per_step,
            repeats=1 if per_step else counted,
            training=bn.training,
            tracked=bn.num_batches_tracked,
            updates=counted if per_step else 1,
        )

    def extra_repr(self) -> str:
        return f"count_repeats={self.count_repeats}" + ("" if self.gain == 1 else f", gain={self.gain:g}")

    def _folded(self, x: Tensor) -> Tensor:
        return over_time(self._apply_bn, x)

    def _apply_bn(self, frames: Tensor) -> Tensor:
        """The norm itself, over [N, C, H, W]."""
        if self.gain == 1:
            return self.bn(frames)
        return functional_call(self.bn, {"weight": self.bn.weight * self.gain}, (frames,))

    def _train(self, x: Tensor, repeats: int) -> Tensor:
        if repeats == 1:
            return self._folded(x)
        running = self.bn.get_buffer("running_var")
        before = running.clone()
        y = self._folded(x)
        n = x.numel() // x.shape[2]
        factor = repeats * (n - 1) / (repeats * n - 1)
        # .data: autograd keeps the running statistics for the backward pass but reads them in evaluation mode only,
        # so this update must not count as a change of a saved tensor.
        running.data.mul_(factor).add_(before, alpha=(1 - factor) * (1 - self.momentum))
        return y


class BatchNormPerStep(BatchNorm):
    """Batch normalisation with the statistics of one timestep at a time, one affine transform for all.

    What code that runs the whole network once per timestep does (CLIF, AR-LIF, PLIF repositories): each timestep is
    normalised by its own mean and variance and updates the running statistics in turn.
    """

    def _train(self, x: Tensor, repeats: int) -> Tensor:
        if repeats == 1:
            return torch.cat([self._apply_bn(frame) for frame in x]).unflatten(0, x.shape[:2])
        with self._momentum_of(repeats):
            y = self._folded(x)
        self.bn.get_buffer("num_batches_tracked").add_(repeats - 1)
        return y

    @contextmanager
    def _momentum_of(self, updates: int) -> Iterator[None]:
        """For the duration of one update, the momentum of several with equal statistics."""
        self.bn.momentum = 1 - (1 - self.momentum) ** updates
        try:
            yield
        finally:
            self.bn.momentum = self.momentum


class TDBatchNorm(BatchNorm):
    """Threshold-dependent batch normalisation (tdBN).  y = weight * alpha * v_th * (x - mean) / std + bias.

    Mean and standard deviation are over T, B and space; weight starts at 1, so the input of the neuron starts with the
    standard deviation alpha * v_th.

    Args:
        channels, eps, momentum, count_repeats, gain: see BatchNorm.
        alpha: factor beside v_th, the same in every layer that this factory makes.
        v_th: the firing threshold of the neuron that follows.
        in_weight: no factor stands beside the weight, which starts at gain * alpha * v_th instead of 1 and learns it
            (BrainCog).
    """

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        count_repeats: bool = True,
        gain: float = 1.0,
        alpha: float = 1.0,
        v_th: float = 1.0,
        in_weight: bool = False,
    ) -> None:
        scale = gain * number("norm.alpha", alpha, "(0, inf)") * number("norm.v_th", v_th, "(0, inf)")
        learned = flag("norm.in_weight", in_weight)
        super().__init__(
            channels, eps=eps, momentum=momentum, count_repeats=count_repeats, gain=1.0 if learned else scale
        )
        if learned:
            nn.init.constant_(self.bn.weight, scale)


_OWN = {BatchNorm, BatchNormPerStep, TDBatchNorm}
