import dataclasses
import math

import pytest
import torch

from snnbench.errors import UserError
from snnbench.neurons import LIF
from snnbench.neurons.surrogate import ATan, Surrogate, make_surrogate, surrogates

OWN = surrogates.own()


def specs():
    """Every surrogate with its defaults, and with each number 0.6 and 2.5 times as large."""
    for name, cls in OWN.items():
        yield {"name": name}
        for field in dataclasses.fields(cls):
            if isinstance(field.default, float):
                yield from ({"name": name, field.name: factor * field.default} for factor in (0.6, 2.5))


SPECS = list(specs())
PEAKS = {
    "atan": 1.0,
    "sigmoid": 1.0,
    "rectangle": 1.0,
    "triangle": 1.0,
    "tanh": 3 / (2 * math.tanh(1.5)),
}


def grid() -> torch.Tensor:
    """Off every kink: the steps are irrational multiples of the surrogates' widths."""
    return torch.linspace(-math.pi, math.e, 401, dtype=torch.float64)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_derivative_is_that_of_the_primitive(spec):
    surrogate = make_surrogate(spec)
    u = grid().requires_grad_()
    (slope,) = torch.autograd.grad(surrogate.primitive(u).sum(), u)
    torch.testing.assert_close(surrogate.derivative(u.detach()), slope)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_primitive_climbs_from_0_to_1_through_one_half(spec):
    primitive = make_surrogate(spec).primitive
    far = torch.tensor([-1e6, 0.0, 1e6], dtype=torch.float64)
    torch.testing.assert_close(primitive(far), torch.tensor([0, 0.5, 1], dtype=torch.float64), atol=1e-6, rtol=0)
    assert (primitive(grid()).diff() >= 0).all()


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_spike_is_a_step_forward_and_the_derivative_backward(spec):
    surrogate = make_surrogate(spec)
    u = torch.randn(50, requires_grad=True)
    weight = torch.randn(50)
    spikes = surrogate(u)
    assert spikes.tolist() == [float(value >= 0) for value in u.tolist()]
    (spikes * weight).sum().backward()
    torch.testing.assert_close(u.grad, weight * surrogate.derivative(u.detach()))


@pytest.mark.parametrize("name", OWN)
def test_peak_at_the_threshold(name):
    peak = make_surrogate(name).derivative(torch.zeros(1, dtype=torch.float64)).item()
    assert peak == pytest.approx(PEAKS.get(name, peak), rel=1e-12)
    assert (make_surrogate(name).derivative(grid()) <= peak).all()


def test_peaks_scale_with_the_parameter():
    zero = torch.zeros(1)
    assert make_surrogate({"name": "atan", "alpha": 5}).derivative(zero).item() == 2.5
    assert make_surrogate({"name": "sigmoid", "alpha": 5}).derivative(zero).item() == 1.25
    assert make_surrogate({"name": "rectangle", "width": 5}).derivative(zero).item() == pytest.approx(0.2)
    assert make_surrogate({"name": "triangle", "gamma": 5}).derivative(zero).item() == pytest.approx(0.2)


@pytest.mark.parametrize("name", OWN)
def test_strict_decides_what_happens_at_the_threshold(name):
    at = torch.tensor([-1e-7, 0.0, 1e-7])
    assert make_surrogate({"name": name, "strict": False})(at).tolist() == [0, 1, 1]
    assert make_surrogate({"name": name, "strict": True})(at).tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("atna", "neuron.surrogate='atna': unknown. Did you mean 'atan'?"),
        ({"alpha": 2.0}, "neuron.surrogate=''"),
        ({"name": "atan", "width": 2.0}, "neuron.surrogate.width: atan has no such parameter. Allowed: strict, alpha"),
        ({"name": "atan", "apha": 2.0}, "neuron.surrogate.apha: .* Did you mean 'alpha'?"),
        ({"name": "atan", "alpha": 0}, r"neuron.surrogate.alpha=0: must be a number in \(0, inf\)"),
        ({"name": "atan", "alpha": math.nan}, "neuron.surrogate.alpha=nan"),
        ({"name": "atan", "alpha": math.inf}, "neuron.surrogate.alpha=inf"),
        ({"name": "atan", "alpha": "2"}, "neuron.surrogate.alpha='2': must be a number"),
        ({"name": "atan", "strict": 1}, "neuron.surrogate.strict=1: must be true or false"),
        (None, "neuron.surrogate=null: must be a name"),
    ],
    ids=str,
)
def test_bad_surrogates_name_the_key(spec, message):
    with pytest.raises(UserError, match=message):
        LIF(surrogate=spec)


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"alpha": math.nan}, {"alpha": True}, {"strict": "no"}], ids=str)
def test_a_surrogate_made_by_hand_is_checked_too(options):
    with pytest.raises(UserError, match=rf"neuron.surrogate.{next(iter(options))}="):
        ATan(**options)


def test_a_users_surrogate_is_known_by_its_name():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class StepOnce(Surrogate):
        height: float = 0.5
        shift: float = 0.0

        def derivative(self, u):
            return torch.full_like(u, self.height)

    assert surrogates.known()["step_once"] is StepOnce
    assert "step_once" not in surrogates.own()
    neuron = LIF(surrogate={"name": "step_once", "height": 2, "shift": -1})
    assert repr(neuron.spike).endswith("StepOnce(strict=False, height=2.0, shift=-1.0)")
    with pytest.raises(UserError, match=r"neuron.surrogate.height=0: must be a number in \(0, inf\)"):
        LIF(surrogate={"name": "step_once", "height": 0})
    with pytest.raises(UserError, match=r"neuron.surrogate.shift=nan: must be a finite number"):
        LIF(surrogate={"name": "step_once", "shift": math.nan})
