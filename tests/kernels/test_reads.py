"""A fused program is keyed by what step reads: whatever changes, engine=auto is the reference, or steps aside and says so."""

from __future__ import annotations

import collections
import copy
import dataclasses
import enum
import functools
import logging
import random
import time
import types
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from snnbench.kernels import bind, plans
from snnbench.neurons import LIF
from snnbench.neurons.surrogate import Surrogate

GAIN = 1.5
TABLE = {"gain": 1.5}
BUFFER = torch.tensor(1.5)
SETTINGS = types.ModuleType("settings")
SETTINGS.GAIN = 1.5


def scaled(x: Tensor, gain: list[float] = [1.5]) -> Tensor:  # noqa: B006
    return x * gain[0]


def offset(x: Tensor) -> Tensor:
    return x + offset.by


offset.by = 0.5


class Gain:
    def __init__(self, value: float) -> None:
        self.value = value


@dataclasses.dataclass
class Config:
    name: str = "a"
    inner: Gain = dataclasses.field(default_factory=lambda: Gain(1.5), compare=False)


class Mode(enum.Enum):
    SOFT = 0.5
    LOUD = 1.5


class Slots:
    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 1.5


Pair = collections.namedtuple("Pair", "low high")


class Neuron(LIF):
    """All that a step might read; `gain` of a subclass reads one of it."""

    shared = 1.5

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.number, self.numbers, self.table = 1.5, [1.5, [2.0]], {"deep": {"gain": 1.5}}
        self.array, self.pair, self.mode = np.array([1.5, 2.0]), Pair(0.5, 1.5), Mode.LOUD
        self.config, self.slots, self.partial = Config(), Slots(), functools.partial(torch.mul, other=1.5)
        self.function = lambda x: x * 1.5
        self.layer = nn.Linear(1, 1)
        self.layer.gain = 1.5
        self.register_buffer("buffer", torch.tensor(1.5))
        self.register_buffer("several", torch.tensor([1.0, 1.5]))

    def drive(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def step(self, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
        return super().step(self.drive(x), state, c, spike)

    @property
    def doubled(self) -> float:
        return 2 * self.number


def around(gain: float) -> Any:
    def drive(self: Any, x: Tensor) -> Tensor:
        return x * gain

    return drive


def set_closure(neuron: Any) -> None:
    type(neuron).drive.__closure__[0].cell_contents = 0.25


def set_global(name: str, value: Any) -> None:
    globals()[name] = value


READS: dict[str, tuple[Any, Any]] = {
    "attribute": (lambda s, x: x * s.number, lambda n: setattr(n, "number", 0.25)),
    "getattr": (lambda s, x: x * getattr(s, "num" + "ber"), lambda n: setattr(n, "number", 0.25)),
    "getattr with a default": (lambda s, x: x * getattr(s, "other", 1.5), lambda n: setattr(n, "other", 0.25)),
    "hasattr": (lambda s, x: x if hasattr(s, "other") else 2 * x, lambda n: setattr(n, "other", 0.25)),
    "int to bool": (lambda s, x: x * (0.25 if s.number is True else 1.5), lambda n: setattr(n, "number", True)),
    "sign of zero": (
        lambda s, x: x * (1.5 if str(s.number * 0.0) == "0.0" else 0.25),
        lambda n: setattr(n, "number", -1.5),
    ),
    "list": (lambda s, x: x * s.numbers[0], lambda n: n.numbers.__setitem__(0, 0.25)),
    "list in a list": (lambda s, x: x * s.numbers[1][0], lambda n: n.numbers[1].__setitem__(0, 0.25)),
    "length of a list": (lambda s, x: x * len(s.numbers), lambda n: n.numbers.append(1)),
    "dict": (lambda s, x: x * s.table["deep"]["gain"], lambda n: n.table["deep"].update(gain=0.25)),
    "missing entry": (lambda s, x: x * s.table.get("gain", 1.5), lambda n: n.table.update(gain=0.25)),
    "array": (lambda s, x: x * float(s.array[0]), lambda n: n.array.__setitem__(0, 0.25)),
    "named tuple": (lambda s, x: x * s.pair.high, lambda n: setattr(n, "pair", Pair(0.5, 0.25))),
    "enum": (lambda s, x: x * s.mode.value, lambda n: setattr(n, "mode", Mode.SOFT)),
    "object": (lambda s, x: x * s.config.inner.value, lambda n: setattr(n.config.inner, "value", 0.25)),
    "another object": (lambda s, x: x * s.config.inner.value, lambda n: setattr(n.config, "inner", Gain(0.25))),
    "slots": (lambda s, x: x * s.slots.value, lambda n: setattr(n.slots, "value", 0.25)),
    "partial": (lambda s, x: s.partial(x), lambda n: n.partial.keywords.update(other=0.25)),
    "lambda": (lambda s, x: s.function(x), lambda n: setattr(n, "function", lambda x: x * 0.25)),
    "submodule": (lambda s, x: x * s.layer.gain, lambda n: setattr(n.layer, "gain", 0.25)),
    "submodule replaced": (lambda s, x: x * s.layer.gain, lambda n: setattr(n, "layer", copy_with(n.layer, 0.25))),
    "training": (lambda s, x: x * (1.5 if s.training else 0.25), lambda n: n.eval()),
    "property": (lambda s, x: x * s.doubled, lambda n: setattr(n, "number", 0.25)),
    "method put on the neuron": (lambda s, x: x * s.number, lambda n: setattr(n, "drive", lambda x: x * 0.25)),
    "item of a buffer": (lambda s, x: x * s.buffer.item(), lambda n: n.buffer.fill_(0.25)),
    "item, .data": (lambda s, x: x * float(s.buffer), lambda n: n.buffer.data.fill_(0.25)),
    "item, load_state_dict": (lambda s, x: x * s.buffer.item(), lambda n: n.load_state_dict(loaded(n, "buffer"))),
    "tolist": (lambda s, x: x * s.several.tolist()[1], lambda n: n.several.mul_(0.25)),
    "numpy": (lambda s, x: x * float(s.several.numpy()[1]), lambda n: n.several.mul_(0.25)),
    "one of several": (lambda s, x: x * s.several[1].item(), lambda n: n.several.mul_(0.25)),
    "item of a parameter": (lambda s, x: x * s.layer.bias.item(), lambda n: n.layer.bias.data.fill_(0.25)),
    "buffer itself": (lambda s, x: x * s.buffer, lambda n: n.buffer.fill_(0.25)),
    "class attribute": (lambda s, x: x * type(s).shared, lambda n: setattr(type(n), "shared", 0.25)),
    "class of the instance": (lambda s, x: x * s.__class__.shared, lambda n: setattr(type(n), "shared", 0.25)),
    "class attribute hidden": (lambda s, x: x * s.shared, lambda n: setattr(n, "shared", 0.25)),
    "class attribute by name": (
        lambda s, x: x * getattr(type(s), "shared"),
        lambda n: setattr(type(n), "shared", 0.25),
    ),  # noqa: B009
    "attribute of another class": (lambda s, x: x * Holder.gain, lambda n: setattr(Holder, "gain", 0.25)),
    "attribute of an attribute's class": (lambda s, x: x * s.holder.gain, lambda n: setattr(Holder, "gain", 0.25)),
    "global": (lambda s, x: x * GAIN, lambda n: set_global("GAIN", 0.25)),
    "global dict": (lambda s, x: x * TABLE["gain"], lambda n: TABLE.update(gain=0.25)),
    "global tensor": (lambda s, x: x * BUFFER, lambda n: BUFFER.fill_(0.25)),
    "item of a global tensor": (lambda s, x: x * BUFFER.item(), lambda n: BUFFER.fill_(0.25)),
    "module": (lambda s, x: x * SETTINGS.GAIN, lambda n: setattr(SETTINGS, "GAIN", 0.25)),
    "global function": (lambda s, x: scaled(x), lambda n: set_global("scaled", lambda x: x * 0.25)),
    "default argument": (lambda s, x: scaled(x), lambda n: scaled.__defaults__[0].__setitem__(0, 0.25)),
    "other defaults": (lambda s, x: scaled(x), lambda n: setattr(scaled, "__defaults__", ([0.25],))),
    "attribute of a function": (lambda s, x: offset(x), lambda n: setattr(offset, "by", 0.75)),
    "closure": (around(1.5), set_closure),
}


ASIDE = {"numpy", "one of several", "buffer itself"}
"""What is right, but not fused."""


class Holder:
    gain = 1.5


def copy_with(layer: Any, gain: float) -> Any:
    layer = copy.deepcopy(layer)
    layer.gain = gain
    return layer


def loaded(neuron: Any, name: str) -> dict[str, Tensor]:
    return neuron.state_dict() | {name: torch.tensor(0.25)}


@pytest.fixture
def put_back() -> Any:
    old = {key: copy.copy(globals()[key]) for key in ("GAIN", "TABLE", "scaled", "offset")}
    yield
    globals().update(old)
    scaled.__defaults__ = ([1.5],)
    offset.by = Holder.gain = SETTINGS.GAIN = 1.5
    BUFFER.fill_(1.5)


def outcome(neuron: Any, x: Tensor, engine: str = "auto") -> list[Tensor]:
    before, neuron.engine = neuron.engine, engine
    x = x.detach().requires_grad_()
    s, state = neuron.run(x)
    (gradient,) = torch.autograd.grad((s * torch.arange(s.numel()).view_as(s)).sum() + state["v"].sum(), x)
    neuron.engine = before
    return [s.detach(), state["v"].detach(), gradient]


def compare(neuron: Any, x: Tensor) -> list[Tensor]:
    found, expected = outcome(neuron, x), outcome(neuron, x, "reference")
    assert torch.equal(found[0], expected[0])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    return expected


@pytest.mark.parametrize("case", READS)
def test_what_step_reads_may_change(case: str, put_back: None) -> None:
    drive, change = READS[case]
    kind = type("Changing", (Neuron,), {"drive": drive, "shared": 1.5})
    torch.manual_seed(0)
    neuron, x = kind(), torch.randn(4, 2, 3, 5)
    neuron.holder = Holder()
    neuron.layer.bias.data.fill_(1.5)
    first = compare(neuron, x)
    assert bool(plans.plan_of(neuron).obstacle) == (case in ASIDE), plans.plan_of(neuron).obstacle
    change(neuron)
    second = compare(neuron, x)
    assert not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "the change changes nothing"
    compare(neuron, x)


class Plain(Surrogate):
    """A subclass that is no dataclass: __eq__ and __hash__ do not know its slope."""

    config_name = "plain_slope"

    def __init__(self, slope: float) -> None:
        super().__init__()
        object.__setattr__(self, "slope", slope)

    def derivative(self, u: Tensor) -> Tensor:
        return self.slope / (1 + u * u)


def test_surrogates_that_are_equal_but_differ() -> None:
    x = torch.randn(4, 2, 5)
    assert Plain(1.0) == Plain(3.0)
    first, second = (compare(LIF(surrogate=Plain(slope)), x) for slope in (1.0, 3.0))
    assert not torch.equal(first[2], second[2])
    neuron = LIF(surrogate=Plain(1.0))
    compare(neuron, x)
    object.__setattr__(neuron.spike, "slope", 2.0)
    compare(neuron, x)


def test_old_plans_are_kept_and_layers_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    traced = []
    monkeypatch.setattr(plans, "traced", lambda *given, own=plans.traced: traced.append(1) or own(*given))
    x = torch.randn(4, 2, 5)
    for neuron in (LIF(tau=3.0625), LIF(tau=3.0625), copy.deepcopy(LIF(tau=3.0625))):
        for v_th in (0.75, 1.25, 0.75, 1.25):
            neuron.v_th = v_th
            compare(neuron, x)
    assert len(traced) == 2


SHAPES: dict[str, Any] = {
    "dim": lambda x: x * 2 if x.dim() > 3 else x,
    "ndim": lambda x: x * x.ndim,
    "channels": lambda x: x * 3 if x.shape[1] > 4 else x,
    "batch": lambda x: x * x.shape[0],
    "size": lambda x: x / x.size(-1),
    "numel": lambda x: x / x.numel(),
    "len": lambda x: x * len(x),
    "zeros like it": lambda x: torch.where(x > torch.zeros(x.shape), x, 0.5 * x),
    "squeezed": lambda x: x.squeeze(),
    "viewed": lambda x: x.view(x.shape) * 2,
    "contiguous": lambda x: x * 2 if x.is_contiguous() else x,
    "on the GPU": lambda x: x * 2 if x.is_cuda else x,
    "on this device": lambda x: x + torch.full((), 0.5, device=x.device),
}


@pytest.mark.parametrize("case", SHAPES)
def test_sizes_that_step_looks_at(case: str) -> None:
    kind = type("Sized", (Neuron,), {"drive": lambda self, x: SHAPES[case](x)})
    neuron = kind()
    for shape in ((3, 2, 4), (3, 2, 4, 5, 6), (3, 7, 4), (3, 2, 6, 5), (3, 1, 4), (3, 2, 4)):
        compare(neuron, torch.randn(shape))
    if case not in ("squeezed", "contiguous"):
        assert not plans.plan_of(neuron, torch.empty(3, 2, 4), {}).obstacle


class Said:
    """The line that says why a neuron is not fused."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.caplog = caplog
        bind._tell.cache_clear()
        caplog.set_level(logging.WARNING, "snnbench")

    def line(self) -> str:
        (record,) = [record for record in self.caplog.records if record.levelno == logging.WARNING]
        return record.getMessage()


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    return Said(caplog)


WRITES: dict[str, tuple[Any, str]] = {}


def writes(named: str) -> Any:
    return lambda function: WRITES.setdefault(function.__name__, (function, named))


@writes("self.number")
def counts(self: Any, x: Tensor) -> Tensor:
    self.number += 1
    return x * self.number


@writes("self.last")
def remembers(self: Any, x: Tensor) -> Tensor:
    self.last = x
    return x


@writes("self.number")
def sets_by_name(self: Any, x: Tensor) -> Tensor:
    setattr(self, "number", getattr(self, "number") + 1)  # noqa: B009, B010
    return x * self.number


@writes("self.numbers")
def appends(self: Any, x: Tensor) -> Tensor:
    self.numbers.append(1)
    return x * len(self.numbers)


@writes("self.table['deep']")
def sets_an_entry(self: Any, x: Tensor) -> Tensor:
    self.table["deep"]["gain"] += 1
    return x * self.table["deep"]["gain"]


@writes("self.config.inner.value")
def sets_deep(self: Any, x: Tensor) -> Tensor:
    self.config.inner.value += 1
    return x * self.config.inner.value


@writes("self.slots.value")
def sets_a_slot(self: Any, x: Tensor) -> Tensor:
    self.slots.value += 1
    return x * self.slots.value


@writes("shared")
def sets_the_class(self: Any, x: Tensor) -> Tensor:
    type(self).shared += 1
    return x * self.shared


@writes("GAIN")
def sets_a_global(self: Any, x: Tensor) -> Tensor:
    global GAIN
    GAIN += 1
    return x * GAIN


@writes("SETTINGS.GAIN")
def sets_a_module(self: Any, x: Tensor) -> Tensor:
    SETTINGS.GAIN += 1
    return x * SETTINGS.GAIN


@writes("offset.by")
def sets_a_function(self: Any, x: Tensor) -> Tensor:
    offset.by += 1
    return offset(x)


@writes("self.array")
def sets_an_array(self: Any, x: Tensor) -> Tensor:
    self.array[0] += 1
    return x * float(self.array[0])


@writes("self.buffer")
def sets_a_buffer(self: Any, x: Tensor) -> Tensor:
    self.buffer.add_(1)
    return x * self.buffer.item()


@writes("self.buffer")
def replaces_a_buffer(self: Any, x: Tensor) -> Tensor:
    self.buffer = self.buffer + 1
    return x * self.buffer.item()


@writes("self.layer.gain")
def sets_a_submodule(self: Any, x: Tensor) -> Tensor:
    self.layer.gain += 1
    return x * self.layer.gain


@writes("draws random numbers")
def draws(self: Any, x: Tensor) -> Tensor:
    return x + torch.rand_like(x)


@writes("draws random numbers")
def draws_for_nothing(self: Any, x: Tensor) -> Tensor:
    torch.rand(3)
    return x


@writes("random.Random")
def draws_in_python(self: Any, x: Tensor) -> Tensor:
    return x * random.random()


@writes("RandomState")
def draws_in_numpy(self: Any, x: Tensor) -> Tensor:
    return x * np.random.rand()


@writes("self.generator")
def draws_from_its_own(self: Any, x: Tensor) -> Tensor:
    return x * torch.rand((), generator=self.generator)


@writes("self.random")
def draws_from_its_own_in_python(self: Any, x: Tensor) -> Tensor:
    return x * self.random.random()


@writes("self.numpy_generator")
def draws_from_its_own_in_numpy(self: Any, x: Tensor) -> Tensor:
    return x * self.numpy_generator.random()


@writes("seed")
def reseeds(self: Any, x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return x


@writes("time")
def asks_the_time(self: Any, x: Tensor) -> Tensor:
    return x * (1.0 if time.time() > 0 else 2.0)


@writes("__dict__")
def looks_at_all(self: Any, x: Tensor) -> Tensor:
    return x * self.__dict__["number"]


@writes("vars")
def looks_at_all_by_vars(self: Any, x: Tensor) -> Tensor:
    return x * vars(self)["number"]


@writes("globals")
def looks_at_globals(self: Any, x: Tensor) -> Tensor:
    return x * globals()["GAIN"]


@writes("eval")
def evaluates(self: Any, x: Tensor) -> Tensor:
    return x * eval("self.number")


@writes("self.many")
def looks_at_much(self: Any, x: Tensor) -> Tensor:
    return x * self.many[7]


@writes("self.large")
def looks_at_a_large_tensor(self: Any, x: Tensor) -> Tensor:
    return x * self.large.tolist()[0]


@writes("self.iterator")
def goes_on(self: Any, x: Tensor) -> Tensor:
    return x * next(self.iterator)


@writes("cached")
def asks_a_cache(self: Any, x: Tensor) -> Tensor:
    return x * cached(1)


@writes("print")
def prints(self: Any, x: Tensor) -> Tensor:
    print(end="")
    return x


@functools.lru_cache
def cached(number: int) -> float:
    return number * GAIN


def state_of(neuron: Any) -> list[Any]:
    """All that a step of WRITES might change."""
    own = {k: v for k, v in vars(neuron).items() if k not in ("iterator", "engine")}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    generators += (
        neuron.generator.get_state(),
        neuron.random.getstate(),
        str(neuron.numpy_generator.bit_generator.state),
    )
    others = GAIN, SETTINGS.GAIN, offset.by, type(neuron).shared, neuron.config.inner.value, neuron.slots.value
    kept = [own.keys(), neuron.number, neuron.numbers, neuron.table, neuron.array.tolist(), neuron.buffer.clone()]
    return copy.deepcopy([str(part) for part in (*kept, *generators, *others, neuron.layer.gain)])


@pytest.mark.parametrize("case", WRITES)
def test_a_step_with_effects_is_left_alone(case: str, said: Said, put_back: None) -> None:
    def make() -> Any:
        globals()["GAIN"] = SETTINGS.GAIN = 1.5
        offset.by = 0.5
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        neuron = type("Writing", (Neuron,), {"drive": drive, "shared": 1.5})()
        neuron.generator, neuron.random = torch.Generator().manual_seed(0), random.Random(0)
        neuron.numpy_generator, neuron.iterator = np.random.default_rng(0), iter(range(10_000))
        neuron.many, neuron.large = [1.5] * 2000, torch.full((2000,), 1.5)
        return neuron

    drive, named = WRITES[case]
    x = torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(0))
    neuron = make()
    before = state_of(neuron)
    assert plans.plan_of(neuron).obstacle
    assert state_of(neuron) == before, "tracing has left traces"
    results, after = [outcome(neuron, x) for _ in range(3)], state_of(neuron)
    neuron = make()
    assert all(torch.equal(a, b) for r in results for a, b in zip(r, outcome(neuron, x, "reference"), strict=True))
    assert state_of(neuron) == after
    assert named in said.line()
    assert "Writing.step" in said.line()
