"""The CUDA text of a kernel: generated statements inside the loops of loop.cu."""

from __future__ import annotations

import re

from snnbench.kernels.codegen.graph import needed
from snnbench.kernels.codegen.passes import SweepText, Variant, input_names, wanted
from snnbench.kernels.codegen.source import KernelSource, fill
from snnbench.kernels.codegen.trace import Program

REGISTERS = 16
"""So many values of states over time a thread holds."""

_SIGNATURE = re.compile(r"__launch_bounds__\(\d+\) (\w+)\(([^)]*)\)")


def cuda_source(program: Program, variant: Variant, backward: bool, vec: int) -> KernelSource:
    """The kernel `forward` or `backward`, for `vec` neurons to a thread."""
    states = range(len(program.states))
    segment = min(variant.steps, max(1, REGISTERS // max(1, len(states) * vec)))
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
        vec=vec,
        states=states,
        coefficients=range(len(program.coefficients)),
        wanted=[i for i, want in enumerate(variant.wanted) if want],
        slots=variant.slots(program),
        backward=backward,
        registers=REGISTERS,
        segment=segment,
        segments=-(-variant.steps // segment),
        **{name: SweepText(input_names(nodes := needed(ends[name])), neuron=nodes) for name in ends},
    )
    found = _SIGNATURE.search(frame)
    assert found is not None
    return KernelSource(frame, found[1], tuple(word.split()[-1] for word in found[2].split(",")))
