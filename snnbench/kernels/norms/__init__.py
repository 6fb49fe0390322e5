"""Batch norms as one pass of sums and one map, which a neuron's kernel can make on its way."""
