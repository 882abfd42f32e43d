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
    aside = path.with_name(f".{path.name}.new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    aside.replace(path)
