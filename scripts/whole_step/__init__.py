"""What `benchmark_step.py` times: cases, contestants, what shows that these compute the same, and the report."""
