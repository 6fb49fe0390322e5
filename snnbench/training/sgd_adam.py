"""SGD for a network's weights and Adam, at a rate of its own, for what its groups mark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.optim import SGD, Adam, Optimizer


class SGDAdam(Optimizer):
    """PyTorch's SGD on some groups and PyTorch's Adam on those with `adam: True`, in one step (ASGL's two optimizers).

    Args:
        params: groups; those with `adam` true bring their own "lr".
        lr, momentum, dampening, nesterov: of SGD.
        betas, eps: of Adam.
        weight_decay: of either, where a group does not say.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        lr: float = 0.1,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        nothing = [torch.zeros(0)]  # each step is lent the groups
        sgd = SGD(nothing, lr, momentum, dampening, weight_decay, nesterov)
        adam = Adam(nothing, lr, tuple(betas), eps, weight_decay)  # type: ignore[arg-type]
        self._kinds: dict[bool, Optimizer] = {False: sgd, True: adam}
        super().__init__(params, {**adam.defaults, **sgd.defaults, "adam": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        with torch.enable_grad():
            loss = None if closure is None else closure()
        for marked, optimizer in self._kinds.items():
            optimizer.param_groups = [group for group in self.param_groups if group["adam"] is marked]
            optimizer.state = self.state
            optimizer.step()
        return loss
