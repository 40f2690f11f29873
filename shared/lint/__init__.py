"""Certificates judged by a linter, in a process of its own: `worker` is for the duties, `linter` for that process."""
