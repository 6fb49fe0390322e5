"""The stages of `gpu_report.py`, and what runs them."""
