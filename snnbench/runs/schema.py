"""What lies in a run's folder: the one definition that writers and readers share."""

RESULT_SCHEMA = 1
