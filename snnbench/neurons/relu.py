"""The unit of networks without spikes, in the place where the others have a neuron."""

from __future__ import annotations

from torch import Tensor, nn

from snnbench.check import count
from snnbench.errors import UserError


class ReLU(nn.Module):
    """Rectified linear unit, y = max(x, 0): what the papers' tables call an ANN.

    It fires nothing and keeps nothing: it is no `SpikingNeuron`, so that its outputs are not counted as spikes, the
    network has no firing rate, and each of its products is a multiply-accumulate.

    Args:
        T: number of timesteps, 1: without a state each further one would only repeat the first.
        channels: of its input; backbones pass it, and it changes nothing.
        v_th: None; a backbone that wants another threshold somewhere has to be told that there is none.

    Raises:
        UserError: T is not 1, or there is a threshold.
    """

    def __init__(self, *, T: int = 1, channels: int | None = None, v_th: float | None = None) -> None:
        super().__init__()
        if v_th is not None:
            raise UserError("backbone.attention_v_th: neuron=relu has no threshold. Set backbone.attention_v_th=null.")
        if count("neuron.T", T) != 1:
            raise UserError(f"T={T}: neuron=relu has no spikes and no state, and makes one pass. Set T=1.")
        self.channels = count("neuron.channels", channels, also=(None,))

    def forward(self, x: Tensor) -> Tensor:
        """y [1, B, ...], shaped like x."""
        return x.relu()
