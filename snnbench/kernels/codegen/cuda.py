"""The CUDA text of a kernel: generated statements inside the loops of loop.cu."""

from __future__ import annotations

import re

from snnbench.kernels.codegen.gradients import loosened
from snnbench.kernels.codegen.graph import needed
from snnbench.kernels.codegen.ops import EXPENSIVE
from snnbench.kernels.codegen.passes import SweepText, Variant, input_names, wanted
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.codegen.source import KernelSource, fill

REGISTERS = 96
"""So many numbers a thread of the backward holds at once."""
AHEAD, FORWARD_REGISTERS = 4, 56
"""The timesteps that the forward loads before it stores the first spikes, and the numbers that it holds for them."""
LONG = 16
"""Timesteps of a segment that are worth more than neurons side by side: the fewer segments, the less is replayed."""
FEW = 32
"""Up to so many numbers are chosen among by comparing indices; registers cannot be numbered, and memory is slow."""
KEPT = {"sigmoid"}
"""Their values are kept from the replay for the gradients: compilers miss repetitions of what is written by name."""
ACCESS = 16
"""Bytes that a thread reads or writes at once, at most."""

_SIGNATURE = re.compile(r"__launch_bounds__\([\d, ]+\) (\w+)\(([^)]*)\)")


def widest(program: Program, variant: Variant, backward: bool) -> int:
    """The neurons to a thread where addresses allow it: a whole access, but what it holds must fit its registers."""
    vec = ACCESS // (4 if variant.io == "float" else 2)
    if not backward:
        ahead = min(AHEAD, variant.steps) * (1 + program.residual)
        while vec > 1 and vec * (len(program.states) + ahead + sum(variant.channelled)) > FORWARD_REGISTERS:
            vec //= 2
        return vec
    vec = min(vec, 4)
    while vec > 1 and _fitting(program, variant, vec) < min(variant.steps, LONG):
        vec //= 2
    return vec


def segment_of(program: Program, variant: Variant, vec: int) -> int:
    """The timesteps whose states a thread of the backward holds in registers: a part of T, or about equal parts."""
    most = max(1, min(variant.steps, _fitting(program, variant, vec)))
    if most < variant.steps and vec > 1:
        most = max(1, most * 3 // 4)  # room for what the segments start from
    even = next(n for n in range(most, 0, -1) if variant.steps % n == 0)
    parts = -(-variant.steps // most)
    return even if 2 * even >= most else -(-variant.steps // parts)


def _fitting(program: Program, variant: Variant, vec: int) -> int:
    """The timesteps for which a thread's registers suffice.

    Of each it holds the states, the inputs, the gradient, coefficients of its own, and what the compiler would rather
    keep of a function than compute twice: of a sigmoid, which is four instructions, little. Where sums alone would
    fill the registers, they are what goes to memory.
    """
    nodes = needed([*program.next_states, program.grad_x, *program.grad_states])
    functions = sum(0.5 if node.op == "sigmoid" else 2 for node in nodes if node.op in EXPENSIVE)
    inputs = 2 if variant.io == "float" else 1.5  # a gradient waits as it was read
    each = len(program.states) + inputs + program.residual + sum(program.per_step) + functions
    always = 2 * len(program.states) + len(variant.slots(program))
    most = REGISTERS // vec
    return int((most - min(always, most // 2)) / each)


def kept_bytes(program: Program, variant: Variant, vec: int) -> int:
    """What grows with T in a thread of the backward: states at the start of each segment, and sums."""
    segments = -(-variant.steps // segment_of(program, variant, vec))
    return 4 * vec * (segments * (len(program.states) + 1) + len(variant.slots(program)))


def cuda_source(program: Program, variant: Variant, backward: bool, vec: int) -> KernelSource:
    """The kernel `forward` or `backward`, for `vec` neurons to a thread."""
    states = range(len(program.states))
    indices = [i for i, want in enumerate(variant.wanted) if want]
    segment = segment_of(program, variant, vec) if backward else min(variant.steps, AHEAD)
    program = loosened(program, indices)
    gradients = [program.grad_x, *program.grad_states, *wanted(program.grad_coefficients, variant)]
    kept = [n for n in needed([program.spikes, *program.next_states]) if n.op in KEPT and n in needed(gradients)]
    nodes = {
        "forward": needed([program.spikes, *program.next_states]),
        "replay": needed([*program.next_states, *kept]),
        "reverse": needed(gradients, given=kept),
    }
    frame = fill(
        "loop.cu",
        program=program,
        T=variant.steps,
        io=variant.io,
        static=variant.static,
        channelled=variant.channelled,
        vec=vec,
        states=states,
        coefficients=range(len(program.coefficients)),
        wanted=indices,
        slots=variant.slots(program),
        backward=backward,
        segment=segment,
        period=variant.period,
        segments=(segments := -(-variant.steps // segment)),
        few=(few := segments * max(1, len(program.states)) * vec <= FEW),
        apart=[i for i in indices if program.per_step[i] and few and segments > 1],
        kept=(names := {node: f"n{node.index}" for node in kept}).values(),
        forward=SweepText(input_names(nodes["forward"]), neuron=nodes["forward"]),
        replay=SweepText(input_names(nodes["replay"]), neuron=nodes["replay"]),
        reverse=SweepText(input_names(nodes["reverse"]) | names, neuron=nodes["reverse"]),
    )
    found = _SIGNATURE.search(frame)
    assert found is not None
    return KernelSource(frame, found[1], tuple(word.split()[-1] for word in found[2].split(",")))
