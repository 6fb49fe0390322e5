"""A traced step behind a norm: what the neuron reads becomes scale * y + shift, and a residual beside it."""

from __future__ import annotations

import dataclasses

from snnbench.kernels.codegen.graph import Graph, Node, needed
from snnbench.kernels.codegen.program import Program

NORM = ("norm scale", "norm shift", "norm mean")
"""The coefficients of a norm, before those of the neuron."""


def normed(program: Program, *, per_step: bool, residual: bool) -> Program:
    """`program`, reading z = scale * y + shift (+ residual) where it read x.

    Its gradient of x is that of z. Of the new coefficients, the gradient of the shift is the sum of z's over the
    neurons of a channel, and that of the mean, which the step does not read, is by definition the sum of z's times
    (y - mean): what the gradients of a batch norm's input, weight and bias are made from.

    Args:
        program: of the neuron alone.
        per_step: whether the norm has coefficients for each timestep.
        residual: whether something shaped like y is added behind the norm.
    """
    graph = Graph()
    y, scale, shift, mean = (graph.node("input", key, "float") for key in (("x", 0), ("c", 0), ("c", 1), ("c", 2)))
    z = graph.node("addcmul", (shift, y, scale), "float")  # rounded once, as PyTorch's norm does
    if residual:
        z = graph.node("add", (z, graph.node("input", ("r", 0), "float")), "float")
    new: dict[Node, Node] = {}
    outputs = [program.spikes, *program.next_states, program.grad_x, *program.grad_states, *program.grad_coefficients]
    for node in needed(outputs):
        if node.op == "input" and node.args[0] in ("x", "c"):
            kind, index = node.args
            assert isinstance(index, int)
            new[node] = z if kind == "x" else graph.node("input", ("c", index + len(NORM)), "float")
        else:
            args = tuple(new[a] if isinstance(a, Node) else a for a in node.args)
            new[node] = graph.node(node.op, args, node.dtype)
    gz = new[program.grad_x]
    centred = graph.node("mul", (gz, graph.node("sub", (y, mean), "float")), "float")
    return dataclasses.replace(
        program,
        coefficients=(*NORM, *program.coefficients),
        per_step=(*[per_step] * len(NORM), *program.per_step),
        spikes=new[program.spikes],
        next_states=tuple(new[node] for node in program.next_states),
        grad_x=gz,
        grad_states=tuple(new[node] for node in program.grad_states),
        grad_coefficients=(graph.constant(0.0), gz, centred, *(new[node] for node in program.grad_coefficients)),
        connected=(True,) * len(NORM) + program.connected,
        residual=residual,
    )
