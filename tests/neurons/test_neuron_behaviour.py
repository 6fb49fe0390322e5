"""What holds for every neuron, whatever its equations."""

import copy
import io
import pickle

import pytest
import torch

from snnbench.neurons import DALIF, GLIF, LIF, PLIF, PSN, MaskedPSN, SlidingPSN
from tests.neurons.neuron_cases import ALL, CASES, NEURONS, STEPPED, STREAMING, build, moved


def current(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 1.5 + 0.5


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("cuts", [(2, 3, 1), (1, 1, 4), (5, 1)])
def test_chunks_with_the_state_handed_on_equal_one_run(name, cuts):
    neuron = build(name, 6)
    weight = current(6, 2, 3, 4, seed=1)
    whole, parts = (current(6, 2, 3, 4).requires_grad_() for _ in range(2))
    expected, final = neuron.run(whole)
    spikes, state = [], None
    for chunk in parts.split(cuts):
        s, state = neuron.run(chunk, state)
        spikes.append(s)
    assert torch.equal(torch.cat(spikes), expected)
    assert state.keys() == final.keys()
    for key in final:
        torch.testing.assert_close(state[key], final[key])
    (expected * weight).sum().backward()
    (torch.cat(spikes) * weight).sum().backward()
    torch.testing.assert_close(parts.grad, whole.grad)


@pytest.mark.parametrize("name", ALL)
def test_a_run_leaves_nothing_behind(name):
    neuron, x = build(name, 4), current(4, 2, 3)
    first = neuron(x)
    neuron(current(4, 5, 3, seed=1))
    assert torch.equal(neuron(x), first)


@pytest.mark.parametrize("name", [name for name in ALL if "sliding" not in name and "channelwise" not in name])
def test_spikes_lie_in_memory_as_the_input_does(name):
    neuron, x = build(name, 4), current(4, 2, 3, 5, 6)
    last = x.movedim(2, -1).contiguous().movedim(-1, 2)
    spikes = neuron(last)
    assert spikes.stride() == last.stride()
    torch.testing.assert_close(spikes, neuron(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STREAMING)
def test_no_state_is_a_state_of_zeros(name):
    neuron, x = build(name, 3), current(3, 2, 3)
    zeros = {key: torch.zeros_like(value) for key, value in neuron.run(x)[1].items()}
    assert torch.equal(neuron(x, zeros), neuron(x))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 2, 3), (1, 1, 3, 1, 1), (4, 0, 3), (4, 0, 3, 5, 2), (4, 2, 3, 0, 2)])
def test_edge_shapes_run_and_backpropagate(name, shape):
    neuron = build(name, shape[0])
    x = current(*shape).requires_grad_()
    spikes, state = neuron.run(x)
    assert spikes.shape == x.shape
    (spikes.sum() + sum(value.sum() for value in state.values())).backward()
    assert x.grad.shape == x.shape
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_spikes_have_the_dtype_of_x_and_arithmetic_is_float32_or_wider(name, dtype):
    neuron = build(name, 5)
    x = current(5, 4, 3).to(dtype)
    wide = torch.promote_types(dtype, torch.float32)
    spikes, state = neuron.run(x)
    assert spikes.dtype == dtype
    assert all(value.dtype == wide for value in state.values())
    assert torch.equal(spikes, neuron(x.to(wide)).to(dtype))


@pytest.mark.parametrize("name", ALL)
def test_autocast_changes_nothing(name):
    neuron, x = build(name, 5), current(5, 64, 3)
    expected, half = neuron(x), neuron(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(neuron(x), expected)
        assert torch.equal(neuron(x.bfloat16()), half)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("layout", ["transposed", "strided", "expanded"])
def test_memory_layout_does_not_matter(name, layout):
    x = {
        "transposed": current(5, 4, 6, 3).permute(1, 0, 3, 2),
        "strided": current(8, 5, 6, 6)[::2, :, ::2],
        "expanded": current(1, 5, 3, 6).expand(4, -1, -1, -1),
    }[layout]
    assert not x.is_contiguous()
    neuron = build(name, 4)
    weight = current(*x.shape, seed=1)
    gradients = []
    for leaf in (x.detach().requires_grad_(), x.detach().clone(memory_format=torch.contiguous_format).requires_grad_()):
        spikes = neuron(leaf)
        (spikes * weight).sum().backward()
        gradients.append((spikes.detach(), leaf.grad))
    torch.testing.assert_close(gradients[0], gradients[1])


def channel(neuron, c):
    """A layer-wise GLIF with the parameters of one channel."""
    alone = GLIF(T=neuron.T)
    for key, value in neuron.named_parameters():
        getattr(alone, key).data.copy_(value.data[..., c])
    return alone


@pytest.mark.parametrize("shape", [(4, 6, 3), (4, 6, 3, 5, 2)])
def test_per_channel_coefficients_act_on_dimension_2(shape):
    torch.manual_seed(0)
    neuron = GLIF(T=4, channels=3)
    for value in neuron.parameters():
        torch.nn.init.normal_(value)
    x = current(*shape)
    spikes = neuron(x)
    for c in range(3):
        assert torch.equal(spikes[:, :, c], channel(neuron, c)(x[:, :, c]))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4, 2, 3, dtype=torch.int64), r"floating-point \[T, B, ...\].*got torch.int64 \[4, 2, 3\]"),
        (torch.zeros(4), r"got torch.float32 \[4\]"),
        (torch.zeros(0, 2, 3), r"T >= 1, got torch.float32 \[0, 2, 3\]"),
    ],
    ids=["integers", "no-batch", "no-time"],
)
def test_bad_inputs_are_refused(name, x, message):
    with pytest.raises(ValueError, match=message):
        build(name, 4)(x)


def test_shapes_that_do_not_fit_the_neuron_are_refused():
    with pytest.raises(ValueError, match=r"GLIF: coefficient 'decay' \[3\] does not fit x \[4, 2, 5\]"):
        GLIF(T=4, channels=3)(torch.zeros(4, 2, 5))
    with pytest.raises(ValueError, match=r"GLIF: coefficient 'gain'.*x has T=6"):
        GLIF(T=4)(torch.zeros(6, 2))
    with pytest.raises(ValueError, match="LIF has no state 'u'; its states are v"):
        LIF()(torch.zeros(4, 2), {"u": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"LIF: state 'v' is \[3\], x\[t\] is \[2\]"):
        LIF()(torch.zeros(4, 2), {"v": torch.zeros(3)})


@pytest.mark.parametrize("cls", [PSN, MaskedPSN])
def test_psn_refuses_a_state_and_another_t(cls):
    neuron = cls(T=4, **({"k": 2} if cls is MaskedPSN else {}))
    _, state = neuron.run(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=f"{cls.__name__} sees all of its T=4 timesteps at once: it takes no state"):
        neuron.run(torch.zeros(4, 2), state)
    with pytest.raises(ValueError, match=rf"{cls.__name__} was built for T=4 timesteps, x \[3, 2\] has 3"):
        neuron(torch.zeros(3, 2))


@pytest.mark.parametrize("state", [{}, {"v": torch.zeros(2, 5)}, {"x": torch.zeros(3, 5)}], ids=str)
def test_sliding_psn_refuses_another_state(state):
    with pytest.raises(ValueError, match=r"SlidingPSN takes the state \{'x': \[2, 5\]\}, its last 2 inputs"):
        SlidingPSN(k=3)(torch.zeros(4, 5), state)


def perturbed(name):
    torch.manual_seed(5)
    neuron = moved(build(name, 4))
    neuron.set_progress(0.75)
    return neuron


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state_dict"])
def test_copies_behave_alike(name, how):
    neuron = perturbed(name)
    if how == "deepcopy":
        other = copy.deepcopy(neuron)
    elif how == "pickle":
        other = pickle.loads(pickle.dumps(neuron))
    else:
        file = io.BytesIO()
        torch.save(neuron.state_dict(), file)
        file.seek(0)
        other = build(name, 4)
        other.load_state_dict(torch.load(file, weights_only=True))
    x = current(4, 50, 3)
    expected = neuron(x)
    assert torch.equal(other(x), expected)
    for value in neuron.parameters():
        value.data.fill_(-3.0)
    assert torch.equal(other(x), expected)


def test_the_schedule_of_masked_psn_outlives_eval_and_a_checkpoint():
    neuron = MaskedPSN(T=4, k=2)
    neuron.set_progress(0.5)
    weight = neuron.eval().time_weight()
    other = MaskedPSN(T=4, k=2)
    other.load_state_dict(neuron.state_dict())
    assert torch.equal(other.time_weight(), weight)
    other.set_progress(1.0)
    assert torch.equal(other.time_weight() != 0, torch.ones(4, 4).tril().triu(-1).bool())


@pytest.mark.parametrize("name", ALL)
def test_repr_names_the_engine_and_the_surrogate(name):
    text = repr(build(name, 4, surrogate="triangle", engine="reference"))
    assert "Triangle(strict=False, gamma=1.0)" in text
    assert "engine=reference" in text


def test_only_what_has_no_step_is_not_fusable():
    for case, (name, _) in CASES.items():
        assert (build(case, 4).not_fusable is None) == (name in STEPPED)
    assert NEURONS.keys() - STEPPED == {"psn", "masked_psn", "sliding_psn", "channelwise_psn", "dsr"}
    neuron = DALIF(membrane_norm=True, channels=3)
    assert "membrane_norm" in neuron.not_fusable
    assert neuron.eval().not_fusable is None


def test_glif_has_a_conductance_per_timestep_and_channel():
    neuron = GLIF(T=4, channels=3)
    assert {key: list(value.shape) for key, value in neuron.named_parameters()} == {
        **{key: [3] for key in ("alpha", "beta", "gamma", "tau", "v_threshold", "leak", "v_re")},
        "conduct": [4, 3],
    }
    gates = torch.cat([GLIF(T=1, channels=1000).alpha for _ in range(3)])
    assert gates.abs().max() < 0.1
    assert gates.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.1)
    start = {key: value.sigmoid().flatten()[0].item() for key, value in GLIF(T=5).named_parameters()}
    expected = {"tau": 0.25, "v_threshold": 0.5, "leak": 0.05, "v_re": 0.5, "conduct": 0.5}
    assert {key: start[key] for key in expected} == pytest.approx(expected)


def test_plif_starts_at_tau():
    assert 1 / PLIF(tau=16.0).coefficients()["rate"].item() == pytest.approx(16.0, rel=1e-5)


def test_over_time_neurons_ignore_nothing_of_x():
    """PSN sees the future: the last input moves the first spike."""
    neuron = PSN(T=4)
    torch.nn.init.constant_(neuron.weight, 1.0)
    x = torch.zeros(4, 1)
    assert not neuron(x).any()
    x[3] = 2.0
    assert neuron(x).all()
