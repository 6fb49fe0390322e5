"""What `--help` says: a page of a command, and more of its groups, its keys and the papers' rows on demand."""
