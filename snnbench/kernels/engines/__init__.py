"""What runs a step: one module for each engine, and what they share."""
