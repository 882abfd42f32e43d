"""Notices that the root's disk is nearly full."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3

from store import Store
from taod.backoff import Backoff
from taod.config import NotifyConfig
from taod.errors import TaodError
from taod.notify.outbox import Outbox
from taod.paths import Root
from taod.types.notification import NotifyEvent

log = logging.getLogger(__name__)

CHECK_S = 60.0


class DiskMonitor:
    """Reads the free space once a minute, if a target is notified of it."""

    def __init__(
        self, *, store: Store, root: Root, outbox: Outbox, config: NotifyConfig, check_s: float = CHECK_S
    ) -> None:
        self._store = store
        self._root = root
        self._outbox = outbox
        self._config = config
        self._check_s = check_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._config.disk_free_bytes and any(NotifyEvent.DISK_FULL in each.events for each in self._config.target):
            self._task = asyncio.create_task(self._watch(), name="free disk space")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _watch(self) -> None:
        errors = Backoff()
        while True:
            try:
                free = (await asyncio.to_thread(shutil.disk_usage, self._root.path)).free
                with self._store.transaction():
                    self._outbox.disk(str(self._root.path), free)
                errors.reset()
            except (OSError, sqlite3.Error, TaodError) as error:
                errors.report(log, error, "the free space of the disk could not be checked")
            await asyncio.sleep(self._check_s)
