"""A norm and the neuron behind it as one operation, against float64 and against the two one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from test_fused_neurons import NEURONS
from torch import Tensor

from snnbench.backbones import layers
from snnbench.backbones.layers import SpikingUnit
from snnbench.backbones.norms import BatchNorm, BatchNormPerStep, TDBatchNorm
from snnbench.kernels.norms import alone, unit
from tests.neurons.neuron_cases import OF_THE_BATCH

NORMS = {
    "bn": lambda C: BatchNorm(C, momentum=0.3, eps=1e-3),
    "bn_per_step": lambda C: BatchNormPerStep(C, momentum=0.3),
    "tdbn": lambda C: TDBatchNorm(C, alpha=0.7, v_th=1.3, gain=0.5),
    "once": lambda C: BatchNorm(C, count_repeats=False),
}
SHAPES = {
    "image": (4, 3, 5, 7, 9),
    "block": (2, 2, 64, 6, 6),
    "wide": (3, 2, 83, 3, 3),
    "row": (2, 4, 19, 1, 1),
    "vector": (5, 6, 33),
    "one step": (1, 3, 16, 8, 8),
    "one channel": (3, 2, 1, 5, 5),
    "long": (40, 2, 3, 4, 4),
}


def last(x: Tensor) -> Tensor:
    """x with the channels of its frames last in memory."""
    return x.movedim(2, -1).contiguous().movedim(-1, 2) if x.dim() == 5 else x


def built(norm: str, neuron: str, shape: tuple[int, ...], device: str = "cpu") -> SpikingUnit:
    torch.manual_seed(0)
    made = SpikingUnit(NORMS[norm](shape[2]), NEURONS[neuron](shape[0], shape[2]))
    with torch.no_grad():
        made.norm.bn.weight.uniform_(0.5, 2)
        made.norm.bn.bias.normal_(0.5)
        made.norm.bn.running_mean.normal_()
        made.norm.bn.running_var.uniform_(0.5, 2)
    if device != "cpu":  # where it is asked for
        made.fuses = (device,)
    return made.to(device)


def inputs(shape: tuple[int, ...], residual: bool, device: str = "cpu") -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.Generator().manual_seed(sum(shape))
    offset = torch.linspace(-3, 3, shape[2]).view(-1, *[1] * (len(shape) - 3))
    y, r, gs = (torch.randn(shape, generator=generator).to(device) for _ in range(3))
    return 2 * y + offset.to(device), (r > 0.5).float() if residual else None, gs


def apply(
    made: SpikingUnit, y: Tensor, r: Tensor | None, gs: Tensor, repeats: int = 1
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """Spikes, gradients, and what the norm remembers."""
    y = y.detach().requires_grad_()
    r = None if r is None else r.detach().requires_grad_()
    s = made(y, repeats, r)
    s.backward(gs)
    found = {name: p.grad for name, p in made.named_parameters() if p.grad is not None} | {"y": y.grad}
    return s.detach(), found | ({} if r is None else {"r": r.grad}), dict(made.norm.bn.named_buffers())


def far(a: dict[str, Tensor], b: dict[str, Tensor]) -> dict[str, float]:
    """How far each tensor of a is from that of b, relative to the largest of b."""
    assert set(a) == set(b)
    return {k: float((a[k].double() - b[k]).abs().max() / b[k].abs().max().clamp(min=1e-12)) for k in b}


def together(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Which calls of a unit ran as one, from now on."""
    ran: list[bool] = []
    run = unit.run

    def spy(*args: object) -> Tensor | None:
        found = run(*args)  # type: ignore[arg-type]
        ran.append(found is not None)
        return found

    monkeypatch.setattr(layers.unit, "run", spy)
    return ran


def check(
    norm: str,
    neuron: str,
    shape: tuple[int, ...],
    residual: bool,
    place: str,
    training: bool = True,
    device: str = "cpu",
    engine: str = "auto",
) -> None:
    """As near to float64 as PyTorch's norm and the neuron's kernel, one after the other."""
    y, r, gs = inputs(shape, residual, device)
    if place == "last":
        y = last(y)
    fused = built(norm, neuron, shape, device).train(training)
    apart, exact = copy.deepcopy(fused), copy.deepcopy(fused).double()
    apart.fuses, apart.norm.fuses = (), False
    fused.neuron.engine = engine
    wide = (v if v is None else v.double() for v in (y, r, gs))
    s, grads, memory = apply(fused, y, r, gs)
    s2, grads2, _ = apply(apart, y.contiguous(), r, gs)
    s3, grads3, memory3 = apply(exact, *wide)
    assert s.stride() == y.stride() or shape[0] == 1 or 1 in shape
    assert (s != s3).sum() <= (s2 != s3).sum() + 1
    if torch.equal(s, s3.float()):
        off, other = far(grads, grads3), far(grads2, grads3)
        # a neuron's own coefficients may be badly conditioned: one rounding of the norm's weight moves alpha by 3e-5
        near = 2e-6 if device == "cpu" else 4e-6  # a GPU's inverses in the surrogate are one unit off
        limits = {k: near if k in ("y", "r") else 2e-4 if k.startswith("neuron.") else 1e-5 for k in off}
        assert all(off[k] <= max(4 * other[k], limits[k]) for k in off), (off, other)
    assert all(value <= (1e-6 if device == "cpu" else 1e-5) for value in far(memory, memory3).values())
    assert all(torch.isfinite(g).all() for g in grads.values())


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize(("norm", "residual"), [("bn", True), ("bn_per_step", False)])
def test_each_neuron_is_as_near_to_float64_as_apart(norm, neuron, residual, device, monkeypatch):
    ran = together(monkeypatch)
    check(norm, neuron, SHAPES["image"], residual, "first", device=device)
    check(norm, neuron, SHAPES["image"], residual, "last", device=device)
    assert ran.count(True) == (0 if neuron in {*OF_THE_BATCH, "asgl"} else 2)  # ASGL's noise is drawn between the two


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_each_shape_norm_and_layout(norm, shape, place, device):
    check(norm, "lif", SHAPES[shape], shape != "vector", place, device=device)
    check(norm, "dalif", SHAPES[shape], False, place, training=False, device=device)


@pytest.mark.parametrize("neuron", ["lif", "dalif", "arlif"])
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_one_frame_stands_for_many(norm, neuron, place, device):
    y, _, gs = inputs((1, 3, 33, 5, 4), False, device)
    y, gs = (last(y) if place == "last" else y), gs.expand(6, *gs.shape[1:])
    fused = built(norm, neuron, (6, 3, 33), device)
    apart = copy.deepcopy(fused)
    apart.fuses, apart.norm.fuses = (), False
    s, grads, memory = apply(fused, y, None, gs, 6)
    s2, grads2, memory2 = apply(apart, y, None, gs, 6)
    assert torch.equal(s, s2)
    assert all(value <= 3e-5 for value in far(grads, grads2).values()), far(grads, grads2)
    assert all(value <= 1e-6 for value in far(memory, memory2).values())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_norm_alone_on_a_cpu(norm, shape, training, place):
    y, _, g = inputs(SHAPES[shape], False)
    y = last(y) if place == "last" else y
    own = built(norm, "lif", SHAPES[shape]).norm.train(training)
    exact = copy.deepcopy(own).double()
    results = []
    for one, v, gz in ((own, y, g), (exact, y.double(), g.double())):
        v = v.detach().requires_grad_()
        z = one(v)
        z.backward(gz)
        results.append(({"z": z.detach(), "y": v.grad, "w": one.bn.weight.grad, "b": one.bn.bias.grad}, one.bn))
    (found, bn), (expected, wide) = results
    assert type(own(y.requires_grad_()).grad_fn).__name__ == "_NormBackward"
    assert all(value <= 2e-6 for value in far(found, expected).values()), far(found, expected)
    exact(y.double())
    assert all(value <= 1e-6 for value in far(dict(bn.named_buffers()), dict(wide.named_buffers())).values())


def test_a_mean_far_from_zero_costs_no_digits():
    y, _, _ = inputs((2, 3, 16, 8, 8), False)
    y = y + 3000.0
    own = NORMS["bn"](16)
    z, exact = own(last(y)), copy.deepcopy(own).double()(y.double())
    plain = torch.nn.functional.batch_norm(y.flatten(0, 1), None, None, training=True, eps=1e-3)
    off, other = (z - exact).abs().max(), (plain.unflatten(0, (2, 3)) - exact).abs().max()
    assert off <= 2 * other, (off, other)


def test_running_statistics_that_overflowed_do_not_enter_the_batch():
    y, r, gs = inputs(SHAPES["block"], True)
    made = built("bn", "lif", SHAPES["block"])
    clean = copy.deepcopy(made)
    made.norm.bn.running_mean.fill_(torch.inf)
    assert torch.equal(apply(made, y, r, gs)[0], apply(clean, y, r, gs)[0])


def test_spikes_are_those_of_evaluation_with_a_hook_on_a_cpu(monkeypatch):
    """Firing rates are counted by hooks; the network that is measured must be the one that runs."""
    ran = together(monkeypatch)
    y, r, _ = inputs(SHAPES["block"], True)
    made = built("bn", "lif", SHAPES["block"]).eval()
    seen: list[Tensor] = []
    for layout in (y, last(y)):
        s = made(layout, 1, r)
        handle = made.neuron.register_forward_hook(lambda _m, args, _s: seen.append(args[0]))
        assert torch.equal(made(layout, 1, r), s)
        handle.remove()
    assert len(seen) == 2
    assert ran == [True, True]


def test_a_second_derivative_is_that_of_the_two(device):
    y, r, _ = inputs((2, 2, 4, 3, 3), True, device)
    found = []
    for fuses in (True, False):
        made = built("bn_per_step", "lif", (2, 2, 4), device)
        made.fuses, made.norm.fuses = (device,) * fuses, fuses
        v = y.detach().requires_grad_()
        (g,) = torch.autograd.grad(made(v, 1, r).sum(), v, create_graph=True)
        found.append(torch.autograd.grad(g.square().sum(), [v, made.norm.bn.weight]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_nothing_but_y_residual_and_small_tables_is_kept(device):
    y, r, _ = inputs((4, 8, 16, 16, 16), True, device)
    made = built("bn", "lif", (4, 8, 16), device)
    kept: dict[int, int] = {}

    def pack(t: Tensor) -> Tensor:
        kept[t.data_ptr()] = t.numel()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        made(y.requires_grad_(), 1, r)
    assert sum(n for n in kept.values()) < 2.01 * y.numel()


def test_saved_tensors_may_come_back_in_another_layout():
    y, r, gs = inputs(SHAPES["block"], True)
    made = built("bn", "klif", SHAPES["block"])
    other = copy.deepcopy(made)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: last(t).clone() if t.dim() == 5 else t):
        found = apply(made, y, r, gs)[1]
    assert all(value <= 1e-5 for value in far(found, apply(other, y, r, gs)[1]).values())


def test_threads_do_not_show():
    y, r, gs = inputs((3, 8, 64, 16, 16), True)
    found = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        s, grads, memory = apply(built("bn_per_step", "klif", (3, 8, 64)), last(y), r, gs)
        torch.set_num_threads(before)
        found.append([s, *grads.values(), *memory.values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_memory_that_is_not_written_does_not_show(poisoned):
    check("bn", "lif", SHAPES["wide"], True, "last")
    y, _, _ = inputs(SHAPES["wide"], False)
    assert torch.isfinite(alone.batch_norm(y, built("bn", "lif", SHAPES["wide"]).norm.operation(1))).all()


@pytest.mark.parametrize("first", [17.7, 1234.567])
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_first_value_far_from_all_others_costs_no_digits(first, place):
    """Sums are made about it."""
    y = torch.zeros(2, 64, 3, 24, 24)
    y[0, 0, :, 0, 0] = first
    own = BatchNorm(3)
    exact = copy.deepcopy(own).double()
    own(last(y) if place == "last" else y)
    exact(y.double())
    assert far(dict(own.bn.named_buffers()), dict(exact.bn.named_buffers()))["running_var"] < 1e-6


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16, "meta"])
def test_pytorchs_defaults_do_not_show(default):
    y, r, gs = inputs(SHAPES["block"], True)
    found = []
    for changed in (False, True):
        made = built("bn", "lif", SHAPES["block"])
        try:
            if changed and default == "meta":
                torch.set_default_device("meta")
            elif changed:
                torch.set_default_dtype(default)
            s, grads, _ = apply(made, y, r, gs)
        finally:
            torch.set_default_dtype(torch.float32)
            torch.set_default_device(None)
        found.append([s, *grads.values()])
    assert all(torch.equal(a, b) and a.dtype == torch.float32 for a, b in zip(*found, strict=True))
