"""Steps drawn at random from a grammar of reads, changed between calls: engine=auto is the reference, always."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import Gain, compare
from torch import Tensor, nn

from snnbench.neurons import LIF

VALUES = (0.5, 2.0)  # few, so that few kernels are compiled


def set_state(neuron: Any, name: str, value: float) -> None:
    neuron.load_state_dict(neuron.state_dict() | {name: torch.full_like(getattr(neuron, name), value)})


Read = tuple[str, Callable[[Any, dict[str, Any], int, float], Any]]
READS: dict[str, Read] = {
    "attribute": ("s.a{i}", lambda n, g, i, v: setattr(n, f"a{i}", v)),
    "getattr": ("getattr(s, 'a' + '{i}')", lambda n, g, i, v: setattr(n, f"a{i}", v)),
    "default of getattr": ("getattr(s, 'x{i}', 0.5)", lambda n, g, i, v: setattr(n, f"x{i}", v)),
    "property": ("s.p{i}", lambda n, g, i, v: setattr(n, f"a{i}", v)),
    "method": ("s.f{i}()", lambda n, g, i, v: setattr(n, f"a{i}", v)),
    "its own method": ("s.f{i}()", lambda n, g, i, v: setattr(n, f"f{i}", lambda: v)),
    "list": ("s.l{i}[0]", lambda n, g, i, v: n.__dict__[f"l{i}"].__setitem__(0, v)),
    "new list": ("s.l{i}[0]", lambda n, g, i, v: setattr(n, f"l{i}", [v])),
    "sum of a list": ("sum(one for one in s.l{i})", lambda n, g, i, v: setattr(n, f"l{i}", [v])),
    "dict": ("s.d{i}['k']['g']", lambda n, g, i, v: n.__dict__[f"d{i}"]["k"].update(g=v)),
    "get": ("s.d{i}.get('other', {{'g': 0.5}})['g']", lambda n, g, i, v: n.__dict__[f"d{i}"].update(other={"g": v})),
    "object": ("s.o{i}.value", lambda n, g, i, v: setattr(n.__dict__[f"o{i}"], "value", v)),
    "object in a list": ("s.ol{i}[0].value", lambda n, g, i, v: setattr(n.__dict__[f"ol{i}"][0], "value", v)),
    "submodule": ("s.m{i}.gain", lambda n, g, i, v: setattr(getattr(n, f"m{i}"), "gain", v)),
    "another submodule": ("s.m{i}.gain", lambda n, g, i, v: setattr(n, f"m{i}", layer(v))),
    "layer in a list": ("s.layers{i}[0].gain", lambda n, g, i, v: setattr(getattr(n, f"layers{i}")[0], "gain", v)),
    "item": ("s.b{i}.item()", lambda n, g, i, v: getattr(n, f"b{i}").fill_(v)),
    "float": ("float(s.b{i})", lambda n, g, i, v: getattr(n, f"b{i}").data.fill_(v)),
    "tolist": ("s.b{i}.tolist()", lambda n, g, i, v: set_state(n, f"b{i}", v)),
    "item of an entry": ("s.bs{i}[1].item()", lambda n, g, i, v: set_state(n, f"bs{i}", v)),
    "array": ("float(s.n{i}[0])", lambda n, g, i, v: n.__dict__[f"n{i}"].__setitem__(0, v)),
    "class": ("type(s).c{i}", lambda n, g, i, v: setattr(type(n), f"c{i}", v)),
    "class, shadowed": ("s.c{i}", lambda n, g, i, v: setattr(n, f"c{i}", v)),
    "base class": ("super(type(s), s).base{i}", lambda n, g, i, v: setattr(type(n).__mro__[1], f"base{i}", v)),
    "global": ("G{i}", lambda n, g, i, v: g.update({f"G{i}": v})),
    "module": ("mod.g{i}", lambda n, g, i, v: setattr(g["mod"], f"g{i}", v)),
    "global helper": ("h{i}()", lambda n, g, i, v: g.update({f"h{i}": lambda: v})),
    "default argument": ("h{i}()", lambda n, g, i, v: setattr(g[f"h{i}"], "__defaults__", (v,))),
    "attribute of a function": ("h{i}.gain", lambda n, g, i, v: setattr(g[f"h{i}"], "gain", v)),
    "closure": ("v{i}[0]", lambda n, g, i, v: g[f"cell{i}"].__setitem__(0, v)),
    "lambda": ("(lambda: s.a{i})()", lambda n, g, i, v: setattr(n, f"a{i}", v)),
    "branch": ("(0.5 if s.flag{i} else 2.0)", lambda n, g, i, v: setattr(n, f"flag{i}", v == 0.5)),
    "caught": ("caught(s, {i})", lambda n, g, i, v: setattr(n, f"x{i}", v)),
    "training": ("(0.5 if s.training else 2.0)", lambda n, g, i, v: n.train(v == 0.5)),
}
NOISE: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda n: None,
    "attribute": lambda n: setattr(n, "seen", object()),
    "counter": lambda n: setattr(n, "count", getattr(n, "count", 0) + 1),
    "output": lambda n: setattr(n, "spikes", torch.rand(3)),
    "hook": lambda n: n.register_forward_hook(lambda *given: None),
}
SHAPES = ((2, 2, 3), (2, 1, 4), (2, 2, 3, 2), (2, 2, 3, 2, 2))
TEXT = """
def caught(s, i):
    try:
        return s.__getattr__("x%d" % i) if False else (s.x0 if i == 0 else s.x1)
    except AttributeError:
        return 0.5

def make(v0, v1):
    def drive(s, x):
        return x * ({first}) * ({second})
    return drive
"""


def layer(gain: float) -> Any:
    made = nn.Linear(1, 1)
    made.gain = gain
    return made


def neuron_with(reads: list[str]) -> tuple[Any, dict[str, Any]]:
    """A neuron whose step reads so, at first 0.5 everywhere, and the globals of its step."""
    module = types.ModuleType("mod")
    g: dict[str, Any] = {"mod": module}
    texts = [READS[read][0].format(i=i) for i, read in enumerate(reads)] + ["1.0"] * (2 - len(reads))
    for i in range(2):
        setattr(module, f"g{i}", 0.5)
        g |= {f"G{i}": 0.5, f"cell{i}": [0.5]}
        exec(f"def h{i}(value=0.5): return value\nh{i}.gain = 0.5", g)
    exec(TEXT.format(first=texts[0], second=texts[1]), g)

    class Base(LIF):
        pass

    members: dict[str, Any] = {"drive": g["make"](g["cell0"], g["cell1"]), "step": step}
    for i in range(2):
        setattr(Base, f"base{i}", 0.5)
        members |= {f"c{i}": 0.5, f"p{i}": property(lambda self, i=i: getattr(self, f"a{i}"))}
        members[f"f{i}"] = lambda self, i=i: getattr(self, f"a{i}")
    neuron: Any = type("Drawn", (Base,), members)()
    for i in range(2):
        own = {"a": 0.5, "l": [0.5], "d": {"k": {"g": 0.5}}, "o": Gain(0.5), "ol": [Gain(0.5)], "flag": True}
        own |= {"n": torch.full((2,), 0.5).numpy(), "m": layer(0.5), "layers": nn.ModuleList([layer(0.5)])}
        for name, value in own.items():
            setattr(neuron, f"{name}{i}", value)
        neuron.register_buffer(f"b{i}", torch.tensor(0.5))
        neuron.register_buffer(f"bs{i}", torch.full((3,), 0.5))
    return neuron, g


def step(self: Any, x: Tensor, state: Any, c: Any, spike: Any) -> Any:
    return LIF.step(self, self.drive(x), state, c, spike)


def check(reads: list[str], changes: list[tuple[int, float, str, int]]) -> None:
    neuron, g = neuron_with(reads)
    generator = torch.Generator().manual_seed(0)
    for which, value, noise, shape in [(0, 0.5, "nothing", 0), *changes]:
        read = which % len(reads)
        READS[reads[read]][1](neuron, g, read, value)
        NOISE[noise](neuron)
        compare(neuron, 2 * torch.randn(SHAPES[shape], generator=generator))


COMMON = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
change = st.tuples(st.integers(0, 1), st.sampled_from(VALUES), st.sampled_from([*NOISE]), st.integers(0, 3))
draws = given(
    reads=st.lists(st.sampled_from([*READS]), min_size=1, max_size=2, unique=True),
    changes=st.lists(change, min_size=2, max_size=5),
)


@pytest.mark.parametrize("read", READS)
def test_each_read(read: str) -> None:
    check([read], [(0, 2.0, "nothing", 0), (0, 0.5, "counter", 0), (0, 2.0, "output", 0)])


@settings(max_examples=15, **COMMON)
@draws
def test_random_reads(reads: list[str], changes: list[tuple[int, float, str, int]]) -> None:
    check(reads, changes)


@pytest.mark.slow
@settings(max_examples=300, **COMMON)
@draws
def test_many_random_reads(reads: list[str], changes: list[tuple[int, float, str, int]]) -> None:
    check(reads, changes)
