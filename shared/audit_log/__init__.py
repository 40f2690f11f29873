"""The audit log: what a process did, as JSON lines that each name the one before, and that other duties witness."""
