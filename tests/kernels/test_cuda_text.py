"""The CUDA kernels without a GPU: they compile for real, and as C++ they say what the reference says."""

from __future__ import annotations

import pytest
import shim
import test_normed
import torch
from compare import Fixed, close, outcome
from test_fused_neurons import DEFAULTS, NEURONS, SHAPES, check_coefficients, inputs
from torch import Tensor

from snnbench.kernels import plans
from snnbench.kernels.codegen.cuda import cuda_source
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.trace import trace
from snnbench.kernels.engines import cuda
from snnbench.kernels.engines.nvrtc import OPTIONS
from snnbench.kernels.norms import norm as norms
from snnbench.kernels.norms import unit


@pytest.fixture
def shimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda.compiled.cache_clear()
    monkeypatch.setattr(cuda, "load", shim.load)
    monkeypatch.setattr(cuda, "LANES", 32)
    yield
    cuda.compiled.cache_clear()


def check(name: str, T: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32, channels_last=False) -> None:
    torch.manual_seed(3)
    neuron = NEURONS[name](T, shape[1])
    x, state, gs, g_final = inputs(T, shape, dtype, neuron.states)
    if channels_last:
        x = x.flatten(0, 1).contiguous(memory_format=torch.channels_last).unflatten(0, (T, shape[0]))
    reference = outcome(Fixed(neuron, "reference"), x, state, gs, g_final)
    fused = outcome(Fixed(neuron, "reference"), x, state, gs, g_final, shim.run)
    assert torch.equal(fused.spikes, reference.spikes)
    assert close(fused.grad_x, reference.grad_x, 1e-6 if dtype == torch.float32 else 2**-7)
    for key in state:
        assert close(fused.final[key], reference.final[key], 1e-6)
        assert close(fused.grad_state[key], reference.grad_state[key], 1e-6)
    check_coefficients(neuron, fused.grad_coefficients, x, state, gs, g_final)


@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("name", DEFAULTS)
def test_all_gradients(name: str) -> None:
    check(name, 4, SHAPES["image"])


@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("name", ["lif", "glif"])
@pytest.mark.parametrize("T", [1, 33, 300])
def test_other_lengths(name: str, T: int) -> None:
    check(name, T, SHAPES["image"])


@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("shape", [(4, 4, 8, 8), (3, 8)])
@pytest.mark.parametrize("name", ["plif", "glif"])
def test_several_neurons_to_a_thread(name: str, shape: tuple[int, ...]) -> None:
    check(name, 2, shape)


@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    check("dalif", 4, (4, 4, 8, 8), dtype)


@pytest.mark.usefixtures("poisoned", "shimmed")
def test_channels_last() -> None:
    check("glif", 4, SHAPES["image"], channels_last=True)


@pytest.mark.usefixtures("poisoned", "shimmed")
def test_constant_input() -> None:
    cell = Fixed(NEURONS["plif"](3, 4), "reference")
    x0 = torch.randn(2, 4, 6, requires_grad=True)
    once = shim.run(cell, x0.expand(3, -1, -1, -1), None)[0]
    (g_once,) = torch.autograd.grad((once * torch.arange(48).view(2, 4, 6)).sum(), x0)
    from snnbench.kernels.engines import reference

    repeated = reference.run(cell, x0.expand(3, -1, -1, -1), None)[0]
    (g_repeated,) = torch.autograd.grad((repeated * torch.arange(48).view(2, 4, 6)).sum(), x0)
    assert torch.equal(once, repeated)
    assert close(g_once, g_repeated, 1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("T", [2, 7, 16, 128])
def test_everything(name: str, T: int) -> None:
    for shape in SHAPES.values():
        check(name, T, shape)


def nvrtc(text: str, architecture: str) -> str:
    """The log of compiling `text`; empty where all is well."""
    from cuda.bindings import nvrtc as api

    error, program = api.nvrtcCreateProgram(text.encode(), b"kernel.cu", 0, [], [])
    assert error == api.nvrtcResult.NVRTC_SUCCESS
    options = [f"--gpu-architecture={architecture}".encode(), *(o.encode() for o in OPTIONS)]
    (error,) = api.nvrtcCompileProgram(program, len(options), options)
    size = api.nvrtcGetProgramLogSize(program)[1]
    log = b" " * size
    api.nvrtcGetProgramLog(program, log)
    api.nvrtcDestroyProgram(program)
    return "" if error == api.nvrtcResult.NVRTC_SUCCESS else log.decode()


@pytest.mark.parametrize("name", DEFAULTS)
@pytest.mark.parametrize(
    ("architecture", "types"),
    [
        ("sm_80", ("float", "half")),
        ("sm_90", ("bfloat",)),
        pytest.param("sm_80", ("bfloat",), marks=pytest.mark.slow),
        pytest.param("sm_90", ("float", "half"), marks=pytest.mark.slow),
    ],
)
def test_nvrtc_compiles_every_neuron(name: str, architecture: str, types: tuple[str, ...]) -> None:
    pytest.importorskip("cuda.bindings.nvrtc")
    program = trace(NEURONS[name](4, 3))
    n = len(program.coefficients)
    for io in types:
        for steps, vec, static in ((4, 2, False), (40, 1, True)):
            variant = Variant(steps, io, static, (True,) * n, (True,) * n, False)
            for backward in (False, True):
                text = cuda_source(program, variant, backward, vec).text
                assert nvrtc(text, architecture) == ""


def batch_norm_stats(y: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """As torch.batch_norm_stats, which a CPU has not, in float64."""
    var, mean = torch.var_mean(y.double(), [0, *range(2, y.dim())], correction=0)
    return mean.float(), (var + eps).rsqrt().float()


def batch_norm_backward_elemt(
    g: Tensor, y: Tensor, mean: Tensor, invstd: Tensor, weight: Tensor, total: Tensor, moment: Tensor, count: Tensor
) -> Tensor:
    """As torch.batch_norm_backward_elemt."""
    shape = (-1, *[1] * (y.dim() - 2))
    wide = [value.double().view(shape) for value in (mean, invstd, weight, total / count, moment / count)]
    mean, invstd, weight, total, moment = wide
    return ((g - total - (y - mean) * invstd.square() * moment) * weight * invstd).float()


@pytest.mark.usefixtures("poisoned", "shimmed")
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("by_batch_norm", [False, True])
@pytest.mark.parametrize(
    ("norm", "name"), [("bn", "dalif"), ("bn_per_step", "lif"), ("tdbn", "glif"), ("once", "klif")]
)
def test_behind_a_norm(
    name: str, norm: str, by_batch_norm: bool, channels_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host code for devices, on a CPU: PyTorch's operations for the norm, the text of the neuron's kernel."""
    monkeypatch.setattr(norms, "by_batch_norm", lambda y: by_batch_norm)
    monkeypatch.setattr(torch, "batch_norm_stats", batch_norm_stats)
    monkeypatch.setattr(torch, "batch_norm_backward_elemt", batch_norm_backward_elemt)
    engine = cuda.CudaEngine()
    monkeypatch.setattr(norms, "native", lambda y: False)
    monkeypatch.setattr(
        unit, "bind", lambda _cell, plan, _x, call, _wanted: (engine, engine.kernel(plan.program, call))
    )
    plans._by_class.clear()
    plans._by_cell.clear()
    plans._by_key.clear()
    place = "last" if channels_last else "first"
    ran = test_normed.together(monkeypatch)
    for shape, residual in ((SHAPES["image"], True), ((4, 4, 8, 8), False)):
        test_normed.check(norm, name, (3, *shape), residual, place)
        test_normed.check(norm, name, (3, *shape), residual, place, training=False)
    assert ran.count(True) == 4
    plans._by_class.clear()
    plans._by_cell.clear()
    plans._by_key.clear()
