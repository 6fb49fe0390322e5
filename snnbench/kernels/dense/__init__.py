"""Convolutions of any input on the CPU, where they are faster than oneDNN's."""
