"""The C++ text of a kernel for the CPU: generated statements inside the loops of loop.cpp."""

from __future__ import annotations

import dataclasses
from typing import Any

from snnbench.kernels.codegen.passes import Sweeps, SweepText, Variant, input_names, split, sweeps
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.source import KernelSource, fill

UNROLL = 4
"""Up to so many timesteps stand one after the other; beyond, they are a loop."""
JOB = ("rows", "length", "total", "channels", "inner", "threads", "past")
"""The numbers of a call, as chunks.h reads them; streams and coefficients follow."""


@dataclasses.dataclass(frozen=True)
class Stream:
    """A tensor that a kernel walks along: pointer `name`, stride over time `name`_t. chunks.h explains the flags."""

    name: str
    type: str
    steps: str
    flags: str

    @property
    def sum(self) -> bool:
        return "SUM" in self.flags


def cpu_source(program: Program, variant: Variant, backward: bool) -> KernelSource:
    """One translation unit with `run`, which takes an array of its parameters' values."""
    along = [i for i, c in enumerate(variant.channelled) if c and variant.period]
    uniform = [i for i in range(len(program.coefficients)) if i not in along]
    wanted = [i for i, want in enumerate(variant.wanted) if want]
    slots = variant.slots(program)
    wide = [program.per_step[i] for i, _ in slots]
    streams = _inputs(program, variant, along)
    streams += _gradients(program, variant, wide) if backward else _results(program)
    passes = sweeps(program, variant)
    texts = _backward(program, passes, set(uniform)) if backward else _forward(program, passes, set(uniform))
    frame = fill(
        "loop.cpp",
        program=program,
        T=variant.steps,
        io=variant.io,
        static=variant.static,
        period=variant.period,
        unrolled=UNROLL,
        states=range(len(program.states)),
        streams=streams,
        along=along,
        uniform=uniform,
        wanted=wanted,
        slots=slots,
        place=_places(program, slots, variant),
        wide=[str(w) for w in wide],
        plain_sums=wide.count(False),
        wide_sums=wide.count(True),
        owners=[wanted.index(i) for i, _ in slots] or [0],
        backward=backward,
        **texts,
    )
    parameters = [
        *JOB,
        *([] if variant.steps else ["steps"]),
        *(key for s in streams if not s.sum for key in (s.name, f"{s.name}_t")),
    ]
    for name in [*(f"cp{i}" for i in uniform), *(f"gcp{j}" for j in range(len(wanted) if backward else 0))]:
        parameters += (name, f"{name}_t", f"{name}_c")
    return KernelSource(frame, "run", tuple(parameters))


def _places(program: Program, slots: list[tuple[int, int]], variant: Variant) -> dict[int, str]:
    """Of each wanted coefficient, where its (first) sum stands among all."""
    places: dict[int, str] = {}
    for j, (i, _) in enumerate(slots):
        wide = sum(program.per_step[k] for k, _ in slots[:j])
        moved = wide and not variant.steps and not variant.period
        places.setdefault(i, f"{j - wide} + {wide} * T" if moved else str(j))
    return places


def _inputs(program: Program, variant: Variant, along: list[int]) -> list[Stream]:
    coefficients = [Stream(f"cp{i}", "float", "T" if program.per_step[i] else "1", "IN | ALONG") for i in along]
    states = [Stream(f"first{i}", "float", "1", "IN") for i in range(len(program.states))]
    beside = [Stream("rp", "IO", "T", "IN")] * program.residual
    return [Stream("xp", "IO", "1" if variant.static else "T", "IN"), *beside, *states, *coefficients]


def _results(program: Program) -> list[Stream]:
    states = [Stream(f"last{i}", "float", "1", "OUT") for i in range(len(program.states))]
    return [Stream("sp", "IO", "T", "OUT | PAST"), *states]


def _gradients(program: Program, variant: Variant, wide: list[bool]) -> list[Stream]:
    n = len(program.states)
    return [
        Stream("gsp", "IO", "T", "IN"),
        *(Stream(f"glast{i}", "float", "1", "IN") for i in range(n)),
        Stream("gxp", "IO", "1" if variant.static else "T", "OUT | PAST"),
        *(Stream(f"gfirst{i}", "float", "1", "OUT") for i in range(n)),
        *(
            Stream(f"sum{j}", "float", "T" if w and not variant.steps else "1", "IN | OUT | ALONG | SUM")
            for j, w in enumerate(wide if variant.period else [])
        ),
    ]


def _forward(program: Program, passes: Sweeps, uniform: set[int]) -> dict[str, Any]:
    once, each, neuron = split(passes.forward, uniform, program.per_step)
    return {"forward": SweepText(input_names(passes.forward), once=once, each=each, neuron=neuron)}


def _backward(program: Program, passes: Sweeps, uniform: set[int]) -> dict[str, Any]:
    both = sorted({*passes.replay, *passes.reverse}, key=lambda node: node.index)
    start = SweepText(input_names(both), once=split(both, uniform, program.per_step)[0])
    _, each, neuron = split(passes.replay, uniform, program.per_step)
    replay = SweepText(start.names, each=each, neuron=neuron)
    _, each, neuron = split(passes.reverse, uniform, program.per_step)
    kept = {node: f"kept[t][{i}][k]" for i, node in enumerate(passes.kept)}
    reverse = SweepText(start.names | kept, each=each, neuron=neuron)
    taped = [i for i in range(len(program.states)) if any(n.args == ("v", i) for n in passes.reverse)]
    return {"start": start, "replay": replay, "reverse": reverse, "kept": passes.kept, "taped": taped}
