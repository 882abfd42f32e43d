"""Uploads in parts that have not come whole: kept between requests, over the daemon's end, and for a time only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.threads import to_the_end
from taod.datasets.upload import atomic_replace, content_range
from taod.datasets.upload.content_range import Facts
from taod.datasets.upload.disk_quota import Room
from taod.datasets.upload.progress import Stage
from taod.datasets.upload.upload_session import Arrival
from taod.ids import is_id, new_id
from taod.paths import Root
from taod.types.dataset import UploadProgress

PART = "part-"
"""`incoming/part-<dataset id>`: one upload in parts of a dataset."""


class Partials:
    """At most one a dataset. For the event loop's thread."""

    def __init__(self, root: Root, limits: LimitsConfig, room: Room, is_busy: Callable[[str], bool]) -> None:
        """`is_busy`: whether something comes for a dataset right now."""
        self._root = root
        self._is_busy = is_busy
        self._limits = limits
        self._room = room
        self._facts: dict[str, Facts] = {}
        self._arrivals: dict[str, Arrival] = {}
        self._expiry: dict[str, asyncio.TimerHandle] = {}
        self._dropping: set[asyncio.Task[None]] = set()

    def find(self) -> set[Path]:
        """Take up uploads of an earlier daemon, except expired ones; returns their folders. Called once, at start."""
        for folder in self._root.incoming.glob(f"{PART}*"):
            dataset_id = folder.name.removeprefix(PART)
            facts = content_range.load(folder) if is_id(dataset_id) else None
            if facts is None or facts.dataset_id != dataset_id or self._age_s(folder) > self._limits.upload_expiry_s:
                continue
            if (folder / "tree").exists():
                (folder / "tree").rename(self._root.incoming / f"{atomic_replace.TRASH}{new_id()}")
            self._facts[dataset_id] = facts
        return {self._folder(dataset_id) for dataset_id in self._facts}

    def start(self) -> None:
        """Begin to count the time of what `find` took up."""
        for dataset_id in self._facts:
            self._wind(dataset_id)

    def facts(self, dataset_id: str) -> Facts | None:
        """What is known of the dataset's upload."""
        return self._facts.get(dataset_id)

    def progress(self, dataset_id: str) -> UploadProgress | None:
        """How far it is."""
        facts = self._facts.get(dataset_id)
        if facts is None:
            return None
        arrival = self._arrivals.get(dataset_id)
        has = arrival.spool.size if arrival is not None else (self._folder(dataset_id) / "upload").stat().st_size
        return UploadProgress(dataset_id, Stage.WAITING, has, facts.total)

    async def begin(self, dataset_id: str, total: int, filename: str | None) -> Arrival:
        """A new upload; one that was there is dropped. Raises OSError."""
        await self.drop(dataset_id)
        folder = self._folder(dataset_id)
        folder.mkdir(mode=0o700)
        facts = Facts(dataset_id, total, filename, boot=content_range.boot())
        self._arrivals[dataset_id] = Arrival(folder, self._limits, self._room, hashed=True)
        self._facts[dataset_id] = facts
        await asyncio.to_thread(content_range.save, folder, facts)
        self._wind(dataset_id)
        return self._arrivals[dataset_id]

    def arrival(self, dataset_id: str) -> Arrival | None:
        """The upload in progress, read from the disk where an earlier daemon started it."""
        if dataset_id not in self._facts:
            return None
        if dataset_id not in self._arrivals:
            folder = self._folder(dataset_id)
            self._arrivals[dataset_id] = Arrival(folder, self._limits, self._room, hashed=True)
        self._wind(dataset_id)
        return self._arrivals[dataset_id]

    async def keep(self, dataset_id: str) -> None:
        """Flush the received bytes to the disk, and wait for the next part. Raises OSError, NoSpace."""
        arrival, facts = self._arrivals[dataset_id], self._facts[dataset_id]
        self._wind(dataset_id)
        await arrival.spool.written()
        await arrival.spool.sync()
        facts.synced, facts.boot = arrival.spool.size, content_range.boot()
        await asyncio.to_thread(content_range.save, arrival.folder, facts)

    async def drop(self, dataset_id: str) -> None:
        """Delete it, where there is one."""
        self._forget(dataset_id)
        arrival = self._arrivals.pop(dataset_id, None)
        if arrival is not None:
            await arrival.discard()
        else:
            await to_the_end(atomic_replace.delete, self._folder(dataset_id))

    def taken(self, dataset_id: str) -> Arrival:
        """Its data is in place. The folder gets a name that no daemon takes up again."""
        self._forget(dataset_id)
        arrival = self._arrivals.pop(dataset_id)
        gone = self._root.incoming / f"{atomic_replace.TRASH}{new_id()}"
        arrival.folder.rename(gone)
        arrival.folder = gone
        return arrival

    async def close(self) -> None:
        """Leave everything for the next daemon."""
        for timer in self._expiry.values():
            timer.cancel()
        self._expiry.clear()
        for arrival in self._arrivals.values():
            await arrival.close()
        self._arrivals.clear()

    def _forget(self, dataset_id: str) -> None:
        self._facts.pop(dataset_id, None)
        timer = self._expiry.pop(dataset_id, None)
        if timer is not None:
            timer.cancel()

    def _wind(self, dataset_id: str) -> None:
        """Give it its whole time again."""
        timer = self._expiry.pop(dataset_id, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._expiry[dataset_id] = loop.call_later(self._limits.upload_expiry_s, self._expire, dataset_id)

    def _expire(self, dataset_id: str) -> None:
        if dataset_id not in self._facts:
            return
        if self._is_busy(dataset_id):
            self._wind(dataset_id)
            return
        task = asyncio.get_running_loop().create_task(self.drop(dataset_id))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _age_s(self, folder: Path) -> float:
        return time.time() - (folder / "upload").stat().st_mtime

    def _folder(self, dataset_id: str) -> Path:
        return self._root.incoming / f"{PART}{dataset_id}"
