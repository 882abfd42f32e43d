"""Writes small files atomically."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, content: bytes, *, durable: bool = True, mode: int = 0o666) -> None:
    """Replace a file, or create it with its folder; readers see its old or its new content, never a part.

    `durable`: flush to disk, so that this also holds after a power cut. `mode`: the new file's permissions, less the
    umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside, descriptor = create_aside(path, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)


def create_aside(path: Path, mode: int = 0o666) -> tuple[Path, int]:
    """A new file beside a path, to replace it, and its descriptor; whatever a run has put in its place is removed."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    return aside, os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
