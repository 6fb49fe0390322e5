"""A fused program is keyed by what step reads: whatever changes, engine=auto is the reference, or steps aside."""

from __future__ import annotations

import collections
import copy
import operator
import types
from typing import Any

import pytest
import torch
from reading import Gain, Mode, Neuron, Pair, compare
from torch import Tensor, nn

from snnbench.kernels import plans
from snnbench.neurons import LIF
from snnbench.neurons.surrogate import Surrogate

GAIN = 1.5
TEMPLATE = "{0.number}"
TABLE = {"gain": 1.5}
BUFFER = torch.tensor(1.5)
SETTINGS = types.ModuleType("settings")
SETTINGS.GAIN = 1.5


def scaled(x: Tensor, gain: list[float] = [1.5]) -> Tensor:  # noqa: B006
    return x * gain[0]


def offset(x: Tensor) -> Tensor:
    return x + offset.by


offset.by = 0.5


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
        lambda s, x: x * getattr(type(s), "sha" + "red"),
        lambda n: setattr(type(n), "shared", 0.25),
    ),
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
    "bound method of a list": (lambda s, x: x * s.count(1.5), lambda n: n.numbers.append(1.5)),
    "empty dict": (lambda s, x: x * (1 + len(s.ordered)), lambda n: n.ordered.update(a=1)),
    "metaclass": (lambda s, x: x * Shared.gain, lambda n: setattr(type(Shared), "gain", 0.25)),
    "hook of a submodule": (lambda s, x: s.relu(x), lambda n: n.relu.register_forward_hook(lambda m, a, o: 0.25 * o)),
    "forward of a submodule": (lambda s, x: s.relu(x), lambda n: setattr(n.relu, "forward", lambda x: 0.25 * x)),
    "attrgetter": (lambda s, x: x * operator.attrgetter("number")(s), lambda n: setattr(n, "number", 0.25)),
    "format": (lambda s, x: x * float(TEMPLATE.format(s)), lambda n: setattr(n, "number", 0.25)),
    "another neuron": (lambda s, x: s.inner(x[None])[0], lambda n: setattr(n.inner, "v_th", 0.25)),
}


ASIDE = {"one of several", "buffer itself", "attrgetter", "format", "another neuron"}
"""What is right, but not fused."""


class Holder:
    gain = 1.5


class Meta(type):
    gain = 1.5


class Shared(metaclass=Meta):
    pass


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
    Holder.gain = Meta.gain = SETTINGS.GAIN = 1.5
    offset.by = 0.5
    BUFFER.fill_(1.5)


@pytest.mark.parametrize("case", READS)
def test_what_step_reads_may_change(case: str, put_back: None) -> None:
    drive, change = READS[case]
    kind = type("Changing", (Neuron,), {"drive": drive, "shared": 1.5})
    torch.manual_seed(0)
    neuron, x = kind(), torch.randn(4, 2, 3, 5)
    neuron.holder, neuron.relu, neuron.inner = Holder(), nn.ReLU(), LIF()
    neuron.count, neuron.ordered = neuron.numbers.count, collections.OrderedDict()
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
