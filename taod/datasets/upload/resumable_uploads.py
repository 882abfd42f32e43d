"""Incomplete uploads in parts: kept between requests and over restarts of the daemon, until they expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.threads import to_completion
from taod.datasets.upload import atomic_replace, content_range
from taod.datasets.upload.content_range import UploadRecord
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.progress import Stage
from taod.datasets.upload.upload_session import UploadSession
from taod.ids import is_id, new_id
from taod.paths import Root
from taod.types.dataset import UploadProgress

PART = "part-"
"""`incoming/part-<dataset id>`: the incomplete upload of a dataset."""


class ResumableUploads:
    """At most one incomplete upload for each dataset. For the event loop's thread."""

    def __init__(self, root: Root, limits: LimitsConfig, quota: DiskQuota, is_busy: Callable[[str], bool]) -> None:
        """`is_busy`: whether an upload into a dataset is being received now."""
        self._root = root
        self._is_busy = is_busy
        self._limits = limits
        self._quota = quota
        self._facts: dict[str, UploadRecord] = {}
        self._sessions: dict[str, UploadSession] = {}
        self._expiry: dict[str, asyncio.TimerHandle] = {}
        self._dropping: set[asyncio.Task[None]] = set()

    def find(self) -> set[Path]:
        """Load uploads of an earlier daemon, except expired ones. Returns their folders. Call once, at start."""
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
        """Start the expiry timers of the uploads that `find` loaded."""
        for dataset_id in self._facts:
            self._restart_timer(dataset_id)

    def facts(self, dataset_id: str) -> UploadRecord | None:
        """The record of the dataset's incomplete upload; None without one."""
        return self._facts.get(dataset_id)

    def progress(self, dataset_id: str) -> UploadProgress | None:
        """Progress of the dataset's incomplete upload; None without one."""
        facts = self._facts.get(dataset_id)
        if facts is None:
            return None
        session = self._sessions.get(dataset_id)
        has = session.file.size if session is not None else (self._folder(dataset_id) / "upload").stat().st_size
        return UploadProgress(dataset_id, Stage.WAITING, has, facts.total)

    async def begin(self, dataset_id: str, total: int, filename: str | None) -> UploadSession:
        """Start a new upload; deletes an earlier one of the dataset. Raises OSError."""
        await self.drop(dataset_id)
        folder = self._folder(dataset_id)
        folder.mkdir(mode=0o700)
        facts = UploadRecord(dataset_id, total, filename, boot=content_range.boot())
        self._sessions[dataset_id] = UploadSession(folder, self._limits, self._quota, hashed=True)
        self._facts[dataset_id] = facts
        await asyncio.to_thread(content_range.save, folder, facts)
        self._restart_timer(dataset_id)
        return self._sessions[dataset_id]

    def session(self, dataset_id: str) -> UploadSession | None:
        """The upload in progress, loaded from disk if an earlier daemon started it; None without one."""
        if dataset_id not in self._facts:
            return None
        if dataset_id not in self._sessions:
            folder = self._folder(dataset_id)
            self._sessions[dataset_id] = UploadSession(folder, self._limits, self._quota, hashed=True)
        self._restart_timer(dataset_id)
        return self._sessions[dataset_id]

    async def keep(self, dataset_id: str) -> None:
        """Flush the received bytes to the disk, and wait for the next part. Raises OSError, NoSpace."""
        session, facts = self._sessions[dataset_id], self._facts[dataset_id]
        self._restart_timer(dataset_id)
        await session.file.written()
        await session.file.sync()
        facts.synced, facts.boot = session.file.size, content_range.boot()
        await asyncio.to_thread(content_range.save, session.folder, facts)

    async def drop(self, dataset_id: str) -> None:
        """Delete the dataset's incomplete upload, if any."""
        self._forget(dataset_id)
        session = self._sessions.pop(dataset_id, None)
        if session is not None:
            await session.discard()
        else:
            await to_completion(atomic_replace.delete, self._folder(dataset_id))

    def release(self, dataset_id: str) -> UploadSession:
        """Remove an upload whose data is in place: its folder gets a trash name. Returns its session for `discard`."""
        self._forget(dataset_id)
        session = self._sessions.pop(dataset_id)
        gone = self._root.incoming / f"{atomic_replace.TRASH}{new_id()}"
        session.folder.rename(gone)
        session.folder = gone
        return session

    async def close(self) -> None:
        """Stop timers and sessions; the files stay for the next daemon."""
        for timer in self._expiry.values():
            timer.cancel()
        self._expiry.clear()
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    def _forget(self, dataset_id: str) -> None:
        self._facts.pop(dataset_id, None)
        timer = self._expiry.pop(dataset_id, None)
        if timer is not None:
            timer.cancel()

    def _restart_timer(self, dataset_id: str) -> None:
        """Restart the expiry timer of the dataset's upload."""
        timer = self._expiry.pop(dataset_id, None)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._expiry[dataset_id] = loop.call_later(self._limits.upload_expiry_s, self._expire, dataset_id)

    def _expire(self, dataset_id: str) -> None:
        if dataset_id not in self._facts:
            return
        if self._is_busy(dataset_id):
            self._restart_timer(dataset_id)
            return
        task = asyncio.get_running_loop().create_task(self.drop(dataset_id))
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)

    def _age_s(self, folder: Path) -> float:
        return time.time() - (folder / "upload").stat().st_mtime

    def _folder(self, dataset_id: str) -> Path:
        return self._root.incoming / f"{PART}{dataset_id}"
