"""Spikes as bits, and layers that only add where a bit is set."""
