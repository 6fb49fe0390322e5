"""What one neuron computes in one timestep, read off its definition."""

from __future__ import annotations

from collections.abc import Sequence

from snnbench.errors import UserError
from snnbench.kernels.codegen.graph import Node, needed
from snnbench.kernels.codegen.program import Program
from snnbench.kernels.plans import plan_of
from snnbench.neurons import SpikingNeuron

COMPARISONS = {"ge", "gt", "le", "lt"}
PRODUCTS = {"mul", "div", "reciprocal", "pow", "addcmul", "addcdiv", "lerp"}


def neuron_work(layer: SpikingNeuron) -> dict[str, int]:
    """Multiplications, resets, reads and writes of one neuron in one timestep, as in `operations.Neurons`.

    A product with the spike, or with what follows from spikes and coefficients alone, is no multiplication, but part
    of the reset; a state that is the last timestep's spike counts as one. Divisions count as multiplications.
    Neurons whose step does not tell say it themselves.

    Raises:
        UserError: the step cannot be traced.
    """
    if layer.work is not None:
        return layer.work
    plan = plan_of(layer)
    program = plan.program
    if program is None:
        raise UserError(f"energy=lemaire: cannot tell what the neurons compute: {plan.obstacle}. Use energy=45nm.")
    nodes = needed([program.spikes, *program.next_states])
    gates, after = _of_spikes(program, nodes, layer.outputs)
    states = len(program.states)
    return {
        "products": sum(node.op.split(".")[0] in PRODUCTS and gates.isdisjoint(node.inputs) for node in nodes),
        "resets": sum(state in after and state is not program.spikes for state in program.next_states),
        "reads": states,
        "writes": states,
    }


def _of_spikes(program: Program, nodes: Sequence[Node], outputs: str) -> tuple[set[Node], set[Node]]:
    """The nodes that follow from spikes and coefficients alone; and all that spikes have a part in.

    Where outputs are no plain spikes, what says whether a neuron fires is a comparison.
    """
    stored = {("v", number) for number, state in enumerate(program.next_states) if state is program.spikes}
    known: set[Node] = set()
    after: set[Node] = set()
    for node in nodes:
        inputs = set(node.inputs)
        fires = node is program.spikes if outputs == "spikes" else node.op in COMPARISONS
        spike = fires or (node.op == "input" and node.args in stored and outputs != "graded")
        fixed = node.op == "constant" or (node.op == "input" and node.args[0] == "c")
        if spike or fixed or (inputs and inputs <= known):
            known.add(node)
        if spike or not after.isdisjoint(inputs):
            after.add(node)
    return known & after, after
