"""Another process that locks a database with an open transaction."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""


@asynccontextmanager
async def database_held(path: Path) -> AsyncIterator[None]:
    """Hold a write transaction on the database in another process during the block."""
    other = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(path)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert other.stdin is not None and other.stdout is not None
    assert await other.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        other.stdin.close()
        await other.wait()
