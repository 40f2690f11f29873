"""Slow or risky work in a process of its own: `near` is the duty's end of the pipe, `far` that of the process.

A frame is its length in four bytes, most significant first, and its content. An empty one says that the process is
ready; from then on there is one answer to each question.
"""

LENGTH = 4


def frame(content: bytes) -> bytes:
    """The content with its length in front."""
    return len(content).to_bytes(LENGTH) + content
