"""Losses by which a network and what is trained beside it learn from each other."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from snnbench.check import number
from snnbench.training.losses import cross_entropy, wide


class SurrogateModuleLearning(nn.Module):
    """The loss of a network and of the n surrogate modules beside it (SML; Deng et al., ICML 2023, with its code).

    With m the time-mean logits [B, K] of the first pass, the network's own, and s_i those of the n others:
    (1 - lam) / (1 + n alpha) (CE(m, y) + alpha sum_i CE(s_i, y)) + lam / (2 n) sum_i (KL(m || s_i) + KL(s_i || m)).
    The divergences are those of softmax(logits / temperature), of which the first is a constant target; they are summed
    over classes and averaged over the batch. Of one pass, as in evaluation, the loss is CE(m, y).

    Args:
        lam: weight of the divergences, in [0, 1].
        alpha: weight of each module's cross-entropy beside the network's, at least 0.
        temperature: above 0.
    """

    def __init__(self, lam: float = 0.9, alpha: float = 0.5, temperature: float = 3.0) -> None:
        super().__init__()
        self.lam = number("loss.lam", lam, "[0, 1]")
        self.alpha = number("loss.alpha", alpha, "[0, inf)")
        self.temperature = number("loss.temperature", temperature, "(0, inf)")

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        network, *modules = wide(logits).mean(0).split(len(labels))
        right = cross_entropy(network, labels, 0.0)
        if not modules:
            return right
        aside = sum(cross_entropy(one, labels, 0.0) for one in modules)
        apart = sum(self._divergence(network, one) + self._divergence(one, network) for one in modules)
        together = (right + self.alpha * aside) / (1 + len(modules) * self.alpha)
        return (1 - self.lam) * together + self.lam / (2 * len(modules)) * apart

    def _divergence(self, target: Tensor, other: Tensor) -> Tensor:
        """KL(target || other) of logits [B, K]; `target` gets no gradient."""
        p, q = ((one / self.temperature).log_softmax(-1) for one in (target.detach(), other))
        return functional.kl_div(q, p, log_target=True, reduction="batchmean")
