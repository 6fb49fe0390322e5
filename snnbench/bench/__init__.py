"""Whether a neuron is better than others, and how sure that is: paired seeds, as many as the answer needs."""
