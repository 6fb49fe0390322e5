"""What one neuron computes in one timestep, read off its definition."""

from __future__ import annotations

from snnbench.errors import UserError
from snnbench.kernels.graph import Node, needed
from snnbench.kernels.plans import plan_of
from snnbench.neurons import SpikingNeuron
from snnbench.neurons.psn import ParallelNeuron

PRODUCTS = {"mul", "div", "reciprocal", "pow", "addcmul", "addcdiv", "lerp"}


def neuron_work(layer: SpikingNeuron) -> dict[str, int]:
    """Multiplications, resets, reads and writes of one neuron in one timestep, as in `operations.Neurons`.

    A product with the spike is no multiplication, but part of the reset; divisions count as multiplications. The
    neurons of the PSN family multiply as many stored inputs as their weights span timesteps, and have no reset.

    Raises:
        UserError: the step cannot be traced.
    """
    if isinstance(layer, ParallelNeuron):
        span = layer.get_parameter("weight").shape[-1]
        return {"products": span, "resets": 0, "reads": span, "writes": 1}
    plan = plan_of(layer)
    program = plan.program
    if program is None:
        raise UserError(f"energy=lemaire: cannot tell what the neurons compute: {plan.obstacle}. Use energy=45nm.")
    nodes = needed([program.spikes, *program.next_states])
    after: set[Node] = set()
    for node in nodes:
        if node is program.spikes or not after.isdisjoint(node.inputs):
            after.add(node)
    states = len(program.states)
    return {
        "products": sum(node.op.split(".")[0] in PRODUCTS and node not in after for node in nodes),
        "resets": sum(state in after for state in program.next_states),
        "reads": states,
        "writes": states,
    }
