"""Copies the database on a schedule."""

from __future__ import annotations

import asyncio
import logging
import time

from store import copies
from taod.config import StorageConfig
from taod.paths import Root

log = logging.getLogger(__name__)
HOUR_S = 3600.0
FIRST_S = 1.0
"""Least time until a copy."""


class Backups:
    """Writes a copy when the newest one is `backup_hours` old, in a thread with its own connection."""

    def __init__(self, root: Root, config: StorageConfig) -> None:
        self._root = root
        self._config = config
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._config.backup_hours:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="backups")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await asyncio.sleep(self._due_in_s())
                arguments = (self._root.backups, self._root.database, self._config.backup_keep)
                created = await asyncio.to_thread(copies.copy_into, *arguments)
                log.info("copied the database to %s", created)
            except Exception:  # The next copy may succeed; the daemon serves without one.
                log.exception("the database was not copied; the next attempt follows in an hour")
                await asyncio.sleep(HOUR_S)

    def _due_in_s(self) -> float:
        """Seconds until the next copy; the first copy of a root is due an hour after the start."""
        newest = copies.listed(self._root.backups)[:1]
        age_s = time.time() - newest[0].stat().st_mtime if newest else self._config.backup_hours * HOUR_S - HOUR_S
        return max(self._config.backup_hours * HOUR_S - age_s, FIRST_S)
