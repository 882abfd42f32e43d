"""Archives from pipes: standard input, named pipes, process substitution."""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path
from typing import BinaryIO

from taod.errors import BadRequest

STANDARD_INPUT = Path("/dev/stdin")
WRITER_S = 30
"""Limit of the wait for the writer of a named pipe."""
REMEDY = "`tar c -C FOLDER . | taod dataset upload DATASET -`"


def pipe(path: Path) -> BinaryIO | None:
    """The opened pipe at `path`, or None for a regular file.

    Raises BadRequest for a terminal or another device, and for a named pipe without a writer.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return None
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        name = "standard input" if path == STANDARD_INPUT else str(path)
        raise BadRequest(f"{name} is neither a file nor a pipe; pipe an archive: {REMEDY}")
    if path == STANDARD_INPUT:
        return os.fdopen(os.dup(0), "rb", buffering=0)
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # without O_NONBLOCK, open would block until there is a writer
    opened = os.fdopen(file, "rb", buffering=0)
    if not path.is_relative_to("/dev") and not path.is_relative_to("/proc"):
        ready = select.poll()
        ready.register(file, select.POLLIN)
        if not ready.poll(WRITER_S * 1000):
            opened.close()
            raise BadRequest(f"nothing was written to {path} within {WRITER_S} s; start its writer first")
    return opened
