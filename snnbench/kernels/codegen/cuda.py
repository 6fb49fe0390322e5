"""The CUDA text of a kernel: generated statements inside the loops of loop.cu."""

from __future__ import annotations

import re

from snnbench.kernels.codegen.gradients import loosened
from snnbench.kernels.codegen.graph import needed
from snnbench.kernels.codegen.passes import SweepText, Variant, input_names, wanted
from snnbench.kernels.codegen.source import KernelSource, fill
from snnbench.kernels.codegen.trace import Program

REGISTERS = 16
"""So many values of states over time a thread holds."""
AHEAD = 4
"""The timesteps whose inputs a thread of the forward loads before it stores the first spikes."""

_SIGNATURE = re.compile(r"__launch_bounds__\(\d+\) (\w+)\(([^)]*)\)")


def segment_of(program: Program, variant: Variant, vec: int) -> int:
    """The timesteps whose states a thread holds in registers."""
    return min(variant.steps, max(1, REGISTERS // max(1, len(program.states) * vec)))


def kept_bytes(program: Program, variant: Variant, vec: int) -> int:
    """What grows with T in a thread of the backward: states at the start of each segment, and sums."""
    segments = -(-variant.steps // segment_of(program, variant, vec))
    return 4 * vec * (segments * (len(program.states) + 1) + len(variant.slots(program)))


def cuda_source(program: Program, variant: Variant, backward: bool, vec: int) -> KernelSource:
    """The kernel `forward` or `backward`, for `vec` neurons to a thread."""
    states = range(len(program.states))
    indices = [i for i, want in enumerate(variant.wanted) if want]
    program = loosened(program, indices)
    segment = segment_of(program, variant, vec) if backward else min(variant.steps, AHEAD)
    ends = {
        "forward": [program.spikes, *program.next_states],
        "replay": program.next_states,
        "reverse": [program.grad_x, *program.grad_states, *wanted(program.grad_coefficients, variant)],
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
        segments=-(-variant.steps // segment),
        **{name: SweepText(input_names(nodes := needed(ends[name])), neuron=nodes) for name in ends},
    )
    found = _SIGNATURE.search(frame)
    assert found is not None
    return KernelSource(frame, found[1], tuple(word.split()[-1] for word in found[2].split(",")))
