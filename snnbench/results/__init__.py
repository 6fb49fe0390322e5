"""Runs read back from their folders, set beside the tables of the papers."""
