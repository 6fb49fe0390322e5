"""The folder of a run: what lies in it, how it is written, how it is read, and which two runs are the same."""
