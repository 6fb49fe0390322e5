"""What lies in a run's folder: the one definition that writers and readers share."""

RESULT_SCHEMA = 1
TIME = "%Y-%m-%dT%H:%M:%S%z"
"""How times are written, as time.strftime has it."""
