"""The instructions that NVRTC makes for a GPU, run on the CPU (ptx.py): every neuron against the reference."""

from __future__ import annotations

import ptx
import pytest
import test_normed
import torch
from compare import both, normal, same, spread
from cupy_stand_in import Machine
from test_fused_neurons import NEURONS, check

from snnbench.kernels.codegen.cuda import cuda_source
from snnbench.kernels.codegen.passes import Variant
from snnbench.kernels.codegen.trace import trace
from snnbench.kernels.engines import cuda
from snnbench.neurons import GLIF, LIF

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
SHAPES = {4: (2, 4, 4, 6), 2: (2, 3, 5, 7)}
"""By the width of vectors that the size allows."""


@pytest.mark.usefixtures("poisoned")
@spread("name dtype T last", list(NEURONS), DTYPES, [1, 4, 7, 33], [False, True], each=1)
def test_every_neuron(name: str, dtype: torch.dtype, T: int, last: bool, machine: Machine) -> None:
    check(name, T, SHAPES[4 if (T in (4, 7)) == last else 2], dtype, last, engine="stand-in")
    assert [kernel for _, _, kernel, _ in machine.launches] == ["forward", "backward"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("offset", [1, 2])
def test_misaligned_memory(dtype: torch.dtype, offset: int, machine: Machine) -> None:
    """x and the gradient of the spikes begin where no vector of four may be read."""

    def call(neuron) -> list[torch.Tensor]:
        memory = normal(2 * 4 * 32 + offset, device="cpu").to(dtype)
        x = memory[offset:].view(4, 2, 4, 8).requires_grad_()
        s = neuron(x)
        gs = memory.flip(0)[:-offset].view(s.shape)
        assert x.data_ptr() % 16
        return [s.detach(), *torch.autograd.grad(s, [x, *neuron.parameters()], gs)]

    same(*both(lambda: GLIF(T=4, channels=4), call, "cpu", "stand-in"), 1e-5 if dtype == torch.float32 else 2**-9)
    assert len(machine.launches) == 2


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("place", ["first", "last"])
def test_behind_a_norm(place: str, training: bool, machine: Machine) -> None:
    test_normed.check("bn", "dalif", (3, 2, 4, 4, 6), training, place, training, engine="stand-in")
    assert len(machine.launches) == 2


def launched(machine: Machine, **values: int) -> None:
    """A forward of LIF over [4, 256], four neurons to a thread, with other values of its parameters."""
    source = cuda_source(trace(LIF()), Variant(4, "float", False, (), (), False), False, 4)
    x, s = torch.rand(4, 256), torch.empty(4, 256)
    given = {"xp": x.data_ptr(), "sp": s.data_ptr(), "xp_t": 256, "sp_t": 256, "size": 256, "lanes": 256}
    given |= {name: given.get(name, 0) + more for name, more in values.items()}
    cuda.load(source, torch.device("cuda", 0))(1, tuple(given.get(name, 0) for name in source.parameters))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"xp": 4}, "misaligned access to 16 bytes"),
        ({"sp": 8}, "misaligned access to 16 bytes"),
        ({"xp": -16}, "thread 0 of block 0: out of bounds access to 16 bytes"),
        ({"xp": 16}, "thread 63 of block 0: out of bounds access"),
        ({"xp_t": 4}, "thread 61 of block 0: out of bounds access"),
        ({"size": 4, "lanes": 4}, "thread 64 of block 0: out of bounds access"),
        ({"last0": 16}, "out of bounds access"),
    ],
)
def test_memory_is_looked_after(values: dict[str, int], said: str, machine: Machine) -> None:
    launched(machine)
    with pytest.raises(AssertionError, match=said):
        launched(machine, **values)


@pytest.mark.parametrize("op", ["tanh.approx.f32", "bar.sync", "fma.rn.ftz.f32", "atom.global.add.f32"])
def test_an_unknown_instruction_is_named(op: str) -> None:
    with pytest.raises(NotImplementedError, match=rf"^the PTX instruction {op}$"):
        ptx.statement(op, ["%f1", "%f2"])
