"""The contract of engines, kept by a second one for the CPU; which engine a call gets; and arguments by name."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from compare import Fixed, outcome
from torch import Tensor

from snnbench import doctor
from snnbench.errors import UserError
from snnbench.kernels import NoEngine, engine_names, register, show
from snnbench.kernels.engines import reference, registry
from snnbench.kernels.engines.arguments import values_of
from snnbench.neurons import DALIF


class ReplayKernel:
    """Has the reference run a cell, and autograd run that back."""

    def __init__(self, cell: Fixed, signature: Any) -> None:
        self.cell, self.signature = copy.copy(cell), signature

    def prepare(self, device: torch.device, wanted: Any = None) -> None:
        pass

    def run(self, x: Tensor, states: Any, coefficients: Any) -> list[Tensor]:
        self.cell.values = dict(zip(self.cell.values, coefficients, strict=True))
        given = {name: v for name, v in zip(self.cell.states, states, strict=True) if v is not None}
        s, final = reference.run(self.cell, x.expand(self.signature.shape), given)
        return [s, *(final[name] for name in self.cell.states)]

    def forward(self, x: Tensor, states: Any, coefficients: Any, last: bool) -> tuple[Tensor, list[Tensor]]:
        s, *final = self.run(x, states, coefficients)
        return s, final if last else []

    def backward(self, x: Tensor, states: Any, coefficients: Any, gs: Any, g_last: Any, wanted: Any) -> Any:
        n = len(states)
        inputs = [None if value is None else value.detach().requires_grad_() for value in (x, *states, *coefficients)]
        with torch.enable_grad():
            outputs = self.run(inputs[0], inputs[1 : n + 1], inputs[n + 1 :])
            pairs = zip(outputs, (gs, *g_last), strict=True)
            loss = sum((output * g).sum() for output, g in pairs if g is not None)
        asked = [value for value, want in zip(inputs, wanted, strict=True) if want]
        grads = iter(torch.autograd.grad(loss, asked, materialize_grads=True))
        gx, *rest = [next(grads) if want else None for want in wanted]
        return gx, rest[:n], rest[n:]

    def text(self, backward: bool) -> str:
        return f"{type(self.cell.neuron).__name__}.step, {'backward' if backward else 'forward'}"


class ReplayEngine:
    """Knows one neuron alone."""

    name, device = "replay", "cpu"

    def __init__(self) -> None:
        self.trouble, self.made = "", 0

    def check(self) -> None:
        if self.trouble:
            raise NoEngine(self.trouble)

    def describe(self) -> str:
        return "steps replayed"

    def kernel(self, program: Any, signature: Any) -> ReplayKernel:
        assert program.coefficients == ("alpha", "beta")
        self.made += 1
        return ReplayKernel(Fixed(DALIF(), "reference"), signature)


@pytest.fixture
def engines(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered in a test goes with it."""
    monkeypatch.setattr(registry, "_engines", dict(registry._engines))


@pytest.fixture
def replay(engines: None) -> ReplayEngine:
    engine = ReplayEngine()
    register(engine)
    return engine


def dalif(engine: str, x: Tensor) -> list[Tensor]:
    neuron = Fixed(DALIF(), engine)
    g = torch.linspace(-1, 1, x.numel()).view(x.shape)
    found = outcome(neuron, x, {"v": torch.full(x.shape[1:], 0.25)}, g, g[0])
    parts = (found.final, found.grad_state, found.grad_coefficients)
    return [found.spikes, found.grad_x, *(value for part in parts for value in part.values())]


X = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(0))


def test_a_second_engine_by_name(replay: ReplayEngine) -> None:
    assert engine_names() == ("auto", "reference", "cpu", "cuda", "replay")
    found, expected = dalif("replay", X), dalif("reference", X)
    assert replay.made == 1
    assert len(found) == len(expected) >= 4
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_a_second_engine_reads_a_constant_input_once(replay: ReplayEngine) -> None:
    grads = []
    for engine in ("replay", "reference"):
        x0 = X[0].clone().requires_grad_()
        s = DALIF(engine=engine)(x0.expand(4, *x0.shape))
        (s * X).sum().backward()
        grads.append(x0.grad)
        origin = torch.autograd.graph.get_gradient_edge(x0).node
        assert any(node is origin for node, _ in s.grad_fn.next_functions) == (engine == "replay")
    assert torch.allclose(*grads, rtol=1e-6)


def test_auto_takes_the_first_that_can_be_had(
    replay: ReplayEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with caplog.at_level(logging.INFO, "snnbench"):
        assert torch.equal(DALIF()(X), DALIF(engine="reference")(X))
    assert replay.made == 1
    (record,) = caplog.records
    assert "neurons on cpu: steps replayed (not cpu: no C++ compiler (no-such-compiler)" in record.getMessage()


def test_auto_prefers_what_was_there_before(replay: ReplayEngine) -> None:
    DALIF()(X)
    assert replay.made == 0


def test_an_engine_may_be_preferred(engines: None) -> None:
    replay = ReplayEngine()
    register(replay, before="cpu")
    assert engine_names() == ("auto", "reference", "replay", "cpu", "cuda")
    DALIF()(X)
    assert replay.made == 1


def test_none_can_be_had(
    replay: ReplayEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    replay.trouble = "out of tape"
    with caplog.at_level(logging.INFO, "snnbench"):
        DALIF()(X)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "DALIF: reference engine, because cpu: no C++ compiler" in record.getMessage()
    assert record.getMessage().endswith("; replay: out of tape")
    with pytest.raises(UserError, match=r"^engine=replay: out of tape\. Use engine=auto or engine=reference\.$"):
        DALIF(engine="replay")(X)


def test_a_second_engine_under_compile(replay: ReplayEngine, compiled_kernels: None) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(DALIF(engine="replay"), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.equal(compiled(X), DALIF(engine="reference")(X))
    assert replay.made == 2  # one to try while tracing, one for the op


def test_names_of_engines_are_checked(engines: None) -> None:
    with pytest.raises(
        UserError, match=r"engine='cdua': unknown. Did you mean 'cuda'\? .*auto, reference, cpu, cuda\."
    ):
        DALIF(engine="cdua")
    neuron = DALIF()
    neuron.engine = "replay"
    with pytest.raises(UserError, match="engine='replay': unknown"):
        neuron(X)
    register(ReplayEngine())
    for name in ("replay", "cpu", "auto", "reference"):
        engine = ReplayEngine()
        engine.name = name
        with pytest.raises(ValueError, match=name):
            register(engine)
    engine.name = "other"
    with pytest.raises(ValueError, match=r"'gpu'.*cpu, cuda, replay"):
        register(engine, before="gpu")


def test_the_doctor_and_show_know_it(replay: ReplayEngine, capsys: pytest.CaptureFixture) -> None:
    doctor.main()
    assert "engine=replay: steps replayed; a small kernel agrees with the reference" in capsys.readouterr().out
    assert show.main(["neuron=dalif", "engine=replay", "kernel=backward"]) == 0
    assert "DALIF.step, backward" in capsys.readouterr().out


def test_a_wrong_engine_is_told_from_a_right_one(
    replay: ReplayEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    right = ReplayKernel.forward
    monkeypatch.setattr(ReplayKernel, "forward", lambda *args: (1 - right(*args)[0], right(*args)[1]))
    assert doctor.main() == 0  # the other engine of the device is right
    assert "engine=replay: steps replayed; a small kernel is off the reference by" in capsys.readouterr().out


def test_arguments_go_by_name() -> None:
    parameters = ["size", "xp", "xp_t", "v0", "v1", "threads"]
    values = values_of(parameters, {"xp_t": 7, "size": 9}, ["threads"], ["xp"], {"v": 2})
    assert values(threads=3, v=(None, X), xp=X) == (9, X.data_ptr(), 7, 0, X.data_ptr(), 3)
    for wrong in ({"v": (X, X)}, {"v": (X, X), "xp": X, "threads": 1, "sp": X}):
        with pytest.raises(TypeError, match=r"xp|sp"):
            values(**wrong)
    with pytest.raises(ValueError, match="unpack"):
        values(threads=3, v=(X,), xp=X)


@pytest.mark.parametrize(
    ("message", "given"),
    [
        ("missing: xp_t", ({"size": 1}, ["threads"], ["xp"], {"v": 1})),
        ("unknown: sp_t", ({"size": 1, "xp_t": 1, "sp_t": 1}, ["threads"], ["xp"], {"v": 1})),
        ("missing: v0; unknown: w0", ({"size": 1, "xp_t": 1}, ["threads"], ["xp"], {"w": 1})),
        ("unknown: v1", ({"size": 1, "xp_t": 1}, ["threads"], ["xp"], {"v": 2})),
        ("given twice: size", ({"size": 1, "xp_t": 1}, ["threads", "size"], ["xp"], {"v": 1})),
    ],
)
def test_names_that_do_not_fit_are_told(message: str, given: tuple[Any, ...]) -> None:
    with pytest.raises(AssertionError, match=f"^{message}$"):
        values_of(["size", "xp", "xp_t", "v0", "threads"], *given)
