"""The C++ text of a kernel for the CPU: generated statements inside the loops of loop.cpp."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Sequence
from pathlib import Path

from snnbench.kernels.codegen.graph import Node
from snnbench.kernels.codegen.ops import value
from snnbench.kernels.codegen.passes import Variant, input_names, lines, split, sweeps
from snnbench.kernels.codegen.trace import Program

_HERE = Path(__file__).parent
UNROLL = 4
"""Up to so many timesteps stand one after the other; beyond, they are a loop."""


@dataclasses.dataclass(frozen=True)
class Stream:
    """A tensor that a kernel walks along, as loop.cpp has it: pointer `name`, stride over time `name`_t.

    `past` marks results that may bypass the caches; `along` those that follow the period of the channels.
    """

    name: str
    type: str = "float"
    steps: str = "1"
    reads: bool = True
    writes: bool = False
    past: bool = False
    along: bool = False
    sum: bool = False


def cpu_source(program: Program, variant: Variant, backward: bool) -> str:
    """One translation unit with `run(const long*)`; loop.cpp describes its argument."""
    return _Source(program, variant).text(backward)


class _Source:
    def __init__(self, program: Program, variant: Variant) -> None:
        self.program, self.variant = program, variant
        self.states = range(len(program.states))
        self.sweeps = sweeps(program, variant)
        self.along = [i for i, c in enumerate(variant.channelled) if c and variant.period]
        self.uniform = [i for i in range(len(program.coefficients)) if i not in self.along]
        self.slots = variant.slots(program)
        self.taped = [i for i in self.states if any(n.args == ("v", i) for n in self.sweeps.reverse)]

    def text(self, backward: bool) -> str:
        variant = self.variant
        loops = string.Template((_HERE / "loop.cpp").read_text()).substitute(
            T=variant.steps,
            states=len(self.states),
            slots=len(self.slots) if backward else 0,
            period=str(variant.period).lower(),
            io=variant.io,
            kernels=self.backward() + self.owners() if backward else self.forward(),
        )
        define = "#define HALF\n" if variant.io == "half" else ""
        define += "#define BACKWARD\n" if backward else ""
        return define + (_HERE / "vector.h").read_text() + "\n" + loops

    def owners(self) -> str:
        """Of each slot, the coefficient (among those wanted) and the timestep."""
        order = [i for i, want in enumerate(self.variant.wanted) if want]
        table = [(order.index(i), t) for i, t in self.slots] or [(0, 0)]
        return "".join(
            f"static const int {name}[] = {{{', '.join(str(row[i]) for row in table)}}};\n"
            for i, name in enumerate(("OWNER", "STEP"))
        )

    def forward(self) -> str:
        names = input_names(self.sweeps.forward)
        streams = [
            *self.inputs(),
            Stream("sp", "IO", "T", reads=False, writes=True, past=True),
            *(Stream(f"last{i}", reads=False, writes=True) for i in self.states),
        ]
        once, each, inner = self.split(self.sweeps.forward)
        body = self.start(once, names)
        body += self.time("int t = 0; t < T; ++t", each, names)
        body += self.neuron(inner, names, {i: f"v[{i}]" for i in self.states})
        body += f"          put(past, sp + t * sp_t + k * W, {value(self.program.spikes, names)});\n"
        body += self.next_states(names) + "        }\n      }\n"
        for i in self.states:
            body += f"      if (last{i}) EACH_VECTOR store(last{i} + k * W, v[{i}][k]);\n"
        return self.struct("Forward", streams, body, "", "")

    def backward(self) -> str:
        steps, static = ("1", True) if self.variant.static else ("T", False)
        streams = [
            *self.inputs(),
            Stream("gsp", "IO", "T"),
            *(Stream(f"glast{i}") for i in self.states),
            Stream("gxp", "IO", steps, reads=False, writes=True, past=True),
            *(Stream(f"gfirst{i}", reads=False, writes=True) for i in self.states),
        ]
        if self.variant.period:
            streams += [Stream(f"sum{j}", writes=True, along=True, sum=True) for j in range(len(self.slots))]
        both = sorted({*self.sweeps.replay, *self.sweeps.reverse}, key=lambda node: node.index)
        names = input_names(both)
        body = self.start(self.split(both)[0], names)
        kept = len(self.sweeps.kept)
        body += f"      V tape[T][{len(self.taped) + 1}][VECS], kept[T][{kept + 1}][VECS], g[STATES + 1][VECS];\n"
        body += self.replay(dict(names))
        for i in self.states:
            body += f"      EACH_VECTOR g[{i}][k] = glast{i} ? load(glast{i} + k * W) : V{{}};\n"
        once_per_block = [i for i in self.wanted() if not self.program.per_step[i]]
        body += "".join(f"      V a{i}[VECS] = {{}};\n" for i in once_per_block)
        body += "      V all[VECS] = {};\n" if static else ""
        body += self.reverse(dict(names))
        body += "      if (gxp) EACH_VECTOR put(past, gxp + k * W, all[k]);\n" if static else ""
        for i in self.states:
            body += f"      if (gfirst{i}) EACH_VECTOR store(gfirst{i} + k * W, g[{i}][k]);\n"
        body += "".join(f"      EACH_VECTOR {self.add(i, f'a{i}[k]')}\n" for i in once_per_block)
        before, after = self.totals()
        return self.struct("Backward", streams, body, before, after)

    def replay(self, names: dict[Node, str]) -> str:
        """Forward again, to have the states before each timestep."""
        kept = self.sweeps.kept
        _, each, inner = self.split(self.sweeps.replay)
        text = self.time("int t = 0; t < T; ++t", each, names)
        text += "".join(f"          tape[t][{j}][k] = v[{i}][k];\n" for j, i in enumerate(self.taped))
        text += "" if kept else "          if (t == T - 1) continue;\n"
        text += self.neuron(inner, names, {i: f"v[{i}]" for i in self.states})
        text += "".join(f"          kept[t][{i}][k] = {names[node]};\n" for i, node in enumerate(kept))
        return text + self.next_states(names) + "        }\n      }\n"

    def reverse(self, names: dict[Node, str]) -> str:
        names |= {node: f"kept[t][{i}][k]" for i, node in enumerate(self.sweeps.kept)}
        _, each, inner = self.split(self.sweeps.reverse)
        text = self.time("int t = T - 1; t >= 0; --t", each, names)
        text += "          const V gs = load(gsp + t * gsp_t + k * W); fetch(gsp + t * gsp_t + k * W + B);\n"
        text += "".join(f"          const V gv{i} = g[{i}][k];\n" for i in self.states)
        text += self.neuron(inner, names, {i: f"tape[t][{j}]" for j, i in enumerate(self.taped)})
        gx = value(self.program.grad_x, names)
        if self.variant.static:
            text += f"          all[k] += {gx};\n"
        else:
            text += f"          if (gxp) put(past, gxp + t * gxp_t + k * W, {gx});\n"
        for i, node in enumerate(self.program.grad_states):
            text += f"          g[{i}][k] = {value(node, names)};\n"
        for i in self.wanted():
            term = value(self.program.grad_coefficients[i], names)
            text += f"          {self.add(i, term) if self.program.per_step[i] else f'a{i}[k] += {term};'}\n"
        return text + "        }\n      }\n"

    def wanted(self) -> list[int]:
        return [i for i, want in enumerate(self.variant.wanted) if want]

    def add(self, i: int, term: str) -> str:
        """Add a block's `term` to the sums of coefficient i: a vector along the period, or a number per chunk."""
        slot = self.slots.index((i, 0))
        at = f"{slot} + t" if self.program.per_step[i] else str(slot)
        if self.variant.period:
            return f"store(sums[{at}] + k * W, load(sums[{at}] + k * W) + {term});"
        return f"sums[{at}] += sel(live_mask[k], {term}, V{{}});"

    def totals(self) -> tuple[str, str]:
        """What stands before and after the blocks of a chunk, for the coefficients' sums."""
        if not self.slots:
            return "", ""
        if self.variant.period:
            names = ", ".join(f"sum{j}" for j in range(len(self.slots)))
            advance = "".join(f"      sums[{j}] += B;\n" for j in range(len(self.slots)))
            return f"    float* sums[] = {{{names}}};\n", advance
        return (
            "    V sums[SLOTS] = {};\n    M live_mask[VECS];\n    EACH_VECTOR live_mask[k] = first(live - k * W);\n",
            "",
        )

    def split(self, nodes: Sequence[Node]) -> tuple[list[Node], list[Node], list[Node]]:
        return split(nodes, set(self.uniform), self.program.per_step)

    def inputs(self) -> list[Stream]:
        per_step = self.program.per_step
        return [
            Stream("xp", "IO", "1" if self.variant.static else "T"),
            *(Stream(f"first{i}") for i in self.states),
            *(Stream(f"c{i}p", steps="T" if per_step[i] else "1", along=True) for i in self.along),
        ]

    def start(self, once: Sequence[Node], names: dict[Node, str]) -> str:
        """The beginning of a block: what does not depend on time, and the states."""
        text = "".join(
            f"      const V c{i} = K(*u[{j}].p);\n" for j, i in enumerate(self.uniform) if not self.program.per_step[i]
        )
        text += lines(once, names, 6) + "      V v[STATES + 1][VECS];\n"
        for i in self.states:
            text += f"      EACH_VECTOR v[{i}][k] = first{i} ? load(first{i} + k * W) : V{{}};\n"
        return text

    def time(self, loop: str, each: Sequence[Node], names: dict[Node, str]) -> str:
        """The head of a loop over time, and in it over the vectors of a block."""
        text = f"#pragma GCC unroll {UNROLL}\n" if self.variant.steps <= UNROLL else ""
        text += f"      for ({loop}) {{\n"
        for j, i in enumerate(self.uniform):
            if self.program.per_step[i]:
                text += f"        const V c{i} = K(u[{j}].p[t * u[{j}].over_time]);\n"
        return text + lines(each, names, 8) + "        EACH_VECTOR {\n"

    def neuron(self, inner: Sequence[Node], names: dict[Node, str], states: dict[int, str]) -> str:
        """The inputs of a timestep, and its statements. `states` says where those that are needed stand."""
        at = f"xp + {'' if self.variant.static else 't * xp_t + '}k * W"
        text = f"          const V x = load({at}); fetch({at} + B);\n"
        text += "".join(f"          const V v{i} = {place}[k];\n" for i, place in states.items())
        for i in self.along:
            at = f"t * c{i}p_t + k * W" if self.program.per_step[i] else "k * W"
            text += f"          const V c{i} = load(c{i}p + {at});\n"
        return text + lines(inner, names, 10)

    def next_states(self, names: dict[Node, str]) -> str:
        return "".join(
            f"          v[{i}][k] = {value(node, names)};\n" for i, node in enumerate(self.program.next_states)
        )

    def struct(self, name: str, streams: list[Stream], body: str, before: str, after: str) -> str:
        given = [s for s in streams if not s.sum]

        def table(kind: str, key: str, cells: Sequence[object]) -> str:
            row = ", ".join(str(c).lower() if kind == "bool" else str(c) for c in cells)
            return f"  static constexpr {kind} {key}[] = {{{row}}};\n"

        room = " + ".join(f"{s.steps} * sizeof({s.type})" for s in streams)
        text = f"struct {name} {{\n  static constexpr int STREAMS = {len(streams)}, GIVEN = {len(given)}, "
        text += f"UNIFORMS = {len(self.uniform)}, ROOM = {room};\n"
        text += table("int", "SIZE", [f"sizeof({s.type})" for s in streams])
        text += table("int", "STEPS", [s.steps for s in streams])
        text += table("bool", "IN", [s.reads for s in streams]) + table("bool", "OUT", [s.writes for s in streams])
        text += table("bool", "PAST", [s.past for s in streams]) + table("bool", "ALONG", [s.along for s in streams])
        text += table("bool", "SUM", [s.sum for s in streams])
        text += (
            "  static void span(const Stream* q, const Uniform* u, long blocks, int live, bool past, double* totals)"
        )
        text += " {\n"
        for i, s in enumerate(streams):
            text += f"    {s.type}* __restrict {s.name} = ({s.type}*)q[{i}].p; const long {s.name}_t = q[{i}].stride;\n"
        text += before + "    for (long b = 0; b < blocks; ++b) {\n" + body
        text += "".join(f"      if ({s.name}) {s.name} += B;\n" for s in given) + after + "    }\n"
        if before and not self.variant.period:
            text += "    for (int j = 0; j < SLOTS; ++j) totals[j] += total(sums[j]);\n"
        return text + "  }\n};\n\n"
