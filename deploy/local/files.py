"""Secrets in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def write_secret(path: Path, content: str | bytes) -> Path:
    """Writes a file that nobody else can read at any moment; its folder too is the owner's alone."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)
    return path


def kept_secret(path: Path) -> str:
    """The random text in this file, which is made the first time."""
    if not path.exists():
        write_secret(path, secrets.token_urlsafe(24))
    return path.read_text()
