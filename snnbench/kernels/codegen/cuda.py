"""The CUDA text of a kernel: one thread for VEC neighbouring neurons, states in registers, time inside.

A thread takes the neurons i, i + lanes, i + 2 lanes, ...; `lanes` is a multiple of the period of the channel pattern,
so a thread stays in its channel and adds up its part of the coefficients' gradients; torch.sum adds the parts.
Where T x states would outgrow the registers, the backward keeps the states only at the start of each segment of
timesteps, and goes through the segments from the last to the first, replaying each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from snnbench.kernels.codegen.graph import Node, needed
from snnbench.kernels.codegen.ops import value
from snnbench.kernels.codegen.passes import Variant, input_names, lines
from snnbench.kernels.codegen.trace import Program

REGISTERS = 16
"""So many values of states over time a thread holds."""


@dataclasses.dataclass(frozen=True)
class CudaSource:
    """The text of one kernel, its name, and its parameters in order: (C type, name), each of 8 bytes."""

    text: str
    name: str
    parameters: tuple[tuple[str, str], ...]


def cuda_source(program: Program, variant: Variant, backward: bool, vec: int) -> CudaSource:
    """The kernel `forward` or `backward`, for `vec` neurons to a thread."""
    writer = _Writer(program, variant, vec)
    return writer.backward() if backward else writer.forward()


class _Writer:
    def __init__(self, program: Program, variant: Variant, vec: int) -> None:
        self.program, self.variant, self.vec = program, variant, vec
        self.states = range(len(program.states))
        self.replay = needed(program.next_states)
        self.wanted = [i for i, want in enumerate(variant.wanted) if want]
        gradients = [program.grad_x, *program.grad_states, *(program.grad_coefficients[i] for i in self.wanted)]
        self.reverse = needed(gradients)
        self.slots = variant.slots(program)
        self.segment = min(variant.steps, max(1, REGISTERS // max(1, len(self.states) * vec)))
        self.segments = -(-variant.steps // self.segment)

    def forward(self) -> CudaSource:
        names = input_names(needed([self.program.spikes, *self.program.next_states]))
        parameters = [*self.inputs(), ("IO*", "sp"), ("I", "sp_t"), *(("V*", f"last{i}") for i in self.states)]
        parameters += self.coefficients()
        nodes = needed([self.program.spikes, *self.program.next_states])
        body = f"{self.unroll()}    for (int t = 0; t < T; ++t) {{\n{self.load('t')}      Pack out;\n      EACH(j) {{\n"
        body += self.neuron(nodes, names, "v")
        body += f"        out.at[j] = to_io({value(self.program.spikes, names)});\n{self.advance(names)}      }}\n"
        body += "      *(Pack*)(sp + t * sp_t + i) = out;\n    }\n"
        body += "".join(self.keep(f"last{i}", f"v[{i}]") for i in self.states)
        return self.kernel("forward", parameters, "", body, "")

    def backward(self) -> CudaSource:
        program, n = self.program, len(self.states) + 1
        parameters = [
            *self.inputs(),
            ("const IO*", "gsp"),
            ("I", "gsp_t"),
            *(("const V*", f"glast{i}") for i in self.states),
        ]
        parameters += [("IO*", "gxp"), ("I", "gxp_t"), *(("V*", f"gfirst{i}") for i in self.states), ("V*", "partial")]
        parameters += self.coefficients()
        before = "".join(
            f"  V a{i}[{self.variant.steps if program.per_step[i] else 1}][VEC] = {{}};\n" for i in self.wanted
        )
        body = f"    V g[{n}][VEC];\n"
        for i in self.states:
            body += f"    EACH(j) g[{i}][j] = glast{i} ? glast{i}[i + j] : 0.0f;\n"
        body += "    V all[VEC] = {};\n" if self.variant.static else ""
        body += f"    V start[SEGMENTS][{n}][VEC];\n"
        if self.segments > 1:
            body += "    for (int part = 0; part < SEGMENTS; ++part) {\n" + self.copy("start[part]", "v")
            body += "      if (part == SEGMENTS - 1) break;\n" + self.replayed("") + "    }\n"
        else:
            body += self.copy("start[0]", "v")
        body += "    for (int part = SEGMENTS - 1; part >= 0; --part) {\n"
        body += f"      V tape[SEGMENT][{n}][VEC];\n" + self.copy("v", "start[part]") + self.replayed("tape[k]")
        body += self.reversed() + "    }\n"
        if self.variant.static:
            body += "    if (gxp) {\n      Pack out;\n      EACH(j) out.at[j] = to_io(all[j]);\n"
            body += "      *(Pack*)(gxp + i) = out;\n    }\n"
        body += "".join(self.keep(f"gfirst{i}", f"g[{i}]") for i in self.states)
        after = "".join(
            f"  EACH(j) partial[{slot} * lanes + lane + j] = a{i}[{t}][j];\n" for slot, (i, t) in enumerate(self.slots)
        )
        return self.kernel("backward", parameters, before, body, after)

    def replayed(self, tape: str) -> str:
        """Forward through a segment; states before each timestep go onto `tape`."""
        names = input_names(self.replay)
        text = "#pragma unroll\n      for (int k = 0; k < SEGMENT; ++k) {\n        const int t = part * SEGMENT + k;\n"
        text += "        if (t >= T) break;\n" if self.variant.steps % self.segment else ""
        text += self.copy(tape, "v") if tape else ""
        text += "        if (k == SEGMENT - 1) break;\n" if tape else ""
        text += self.load("t") + "        EACH(j) {\n" + self.neuron(self.replay, names, "v")
        return text + self.advance(names) + "        }\n      }\n"

    def reversed(self) -> str:
        program = self.program
        names = input_names(self.reverse)
        text = "#pragma unroll\n      for (int k = SEGMENT - 1; k >= 0; --k) {\n"
        text += "        const int t = part * SEGMENT + k;\n"
        text += "        if (t >= T) continue;\n" if self.variant.steps % self.segment else ""
        text += (
            self.load("t")
            + "        const Pack gin = get(gsp + t * gsp_t + i);\n        Pack out;\n        EACH(j) {\n"
        )
        text += "        const V gs = from_io(gin.at[j]);\n"
        text += "".join(f"        const V gv{i} = g[{i}][j];\n" for i in self.states)
        text += self.neuron(self.reverse, names, "tape[k]")
        gx = value(program.grad_x, names)
        text += f"        all[j] += {gx};\n" if self.variant.static else f"        out.at[j] = to_io({gx});\n"
        for i, node in enumerate(program.grad_states):
            text += f"        g[{i}][j] = {value(node, names)};\n"
        for i in self.wanted:
            at = "t" if program.per_step[i] else "0"
            text += f"        a{i}[{at}][j] += {value(program.grad_coefficients[i], names)};\n"
        text += "        }\n"
        text += "" if self.variant.static else "        if (gxp) *(Pack*)(gxp + t * gxp_t + i) = out;\n"
        return text + "      }\n"

    def inputs(self) -> list[tuple[str, str]]:
        common = [("I", "size"), ("I", "lanes"), ("I", "inner"), ("I", "channels"), ("const IO*", "xp"), ("I", "xp_t")]
        return common + [("const V*", f"first{i}") for i in self.states]

    def coefficients(self) -> list[tuple[str, str]]:
        found = []
        for i in range(len(self.program.coefficients)):
            found += [("const V*", f"c{i}p"), ("I", f"c{i}_t"), ("I", f"c{i}_c")]
        return found

    def unroll(self) -> str:
        return "#pragma unroll\n" if self.variant.steps <= REGISTERS else "#pragma unroll 4\n"

    def load(self, t: str) -> str:
        return "" if self.variant.static else f"      const Pack in = get(xp + {t} * xp_t + i);\n"

    def neuron(self, nodes: Sequence[Node], names: dict[Node, str], states: str) -> str:
        """The inputs of a timestep, and its statements."""
        text = "        const V x = from_io(in.at[j]);\n"
        text += "".join(f"        const V v{i} = {states}[{i}][j];\n" for i in self.states)
        used = {node.args[1] for node in nodes if node.op == "input" and node.args[0] == "c"}
        for i in sorted(used):  # type: ignore[type-var]
            at = f"c{i}p[t * c{i}_t + channel[j] * c{i}_c]" if self.program.per_step[i] else f"b{i}[j]"  # type: ignore[index]
            text += f"        const V c{i} = {at};\n"
        return text + lines(nodes, names, 8)

    def advance(self, names: dict[Node, str]) -> str:
        return "".join(
            f"        v[{i}][j] = {value(node, names)};\n" for i, node in enumerate(self.program.next_states)
        )

    def copy(self, to: str, source: str) -> str:
        return "".join(f"      EACH(j) {to}[{i}][j] = {source}[{i}][j];\n" for i in self.states)

    def keep(self, pointer: str, values: str) -> str:
        return f"    if ({pointer}) EACH(j) {pointer}[i + j] = {values}[j];\n"

    def kernel(self, name: str, parameters: list[tuple[str, str]], before: str, body: str, after: str) -> CudaSource:
        kinds = {"half": "#define HALF\n", "bfloat": "#define BFLOAT\n", "float": ""}
        head = f"#define VEC {self.vec}\n{kinds[self.variant.io]}" + (Path(__file__).parent / "thread.h").read_text()
        head += f"\nconstexpr int T = {self.variant.steps}, SEGMENT = {self.segment}, SEGMENTS = {self.segments};\n\n"
        given = ",\n    ".join(f"{kind} {key}" for kind, key in parameters)
        text = f'extern "C" __global__ void __launch_bounds__(256) {name}(\n    {given}) {{\n'
        text += "  const I lane = ((I)blockIdx.x * blockDim.x + threadIdx.x) * VEC;\n  if (lane >= lanes) return;\n"
        text += "  I channel[VEC];\n  EACH(j) channel[j] = (lane + j) / inner % channels;\n"
        for i, per_step in enumerate(self.program.per_step):
            if not per_step:
                text += f"  V b{i}[VEC];\n  EACH(j) b{i}[j] = c{i}p[channel[j] * c{i}_c];\n"
        text += before + "  for (I i = lane; i < size; i += lanes) {\n"
        text += "    const Pack in = get(xp + i);\n" if self.variant.static else ""
        text += f"    V v[{len(self.states) + 1}][VEC];\n"
        for i in self.states:
            text += f"    EACH(j) v[{i}][j] = first{i} ? first{i}[i + j] : 0.0f;\n"
        return CudaSource(head + text + body + "  }\n" + after + "}\n", name, tuple(parameters))
