"""A backward that has to run on the reference, of a step that asks for sizes: it is the step of that call."""

import torch

from snnbench.neurons import SpikingNeuron


class Crowded(SpikingNeuron):
    def coefficients(self):
        return {}

    def step(self, x, state, c, spike):
        h = state["v"] + (x * 2 if x.shape[0] > 2 else x)
        s = spike(h - self.v_th)
        return s, {"v": self.reset(h, s)}


def test_a_zero_gradient_of_a_step_that_asks_for_sizes():
    results = []
    for engine in ("auto", "reference"):
        layer = Crowded(engine=engine)
        found = []
        for batch in (2, 3, 2, 3):
            x = torch.linspace(-1, 2, 4 * batch * 5).reshape(4, batch, 5).requires_grad_()
            s = layer(x)
            torch.sgn(s).sum().backward()  # a gradient of zeros that has no memory
            (second,) = torch.autograd.grad(layer(x).pow(2).sum(), x, create_graph=True)
            found += [s.detach(), x.grad, second.detach()]
        results.append(found)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
