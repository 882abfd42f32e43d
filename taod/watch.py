"""Reports changes in a folder through inotify; many listeners can share one watch."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

STEP_MS = 10
"""Time for which the kernel's events are collected: a trade-off of latency and wake-ups."""
GATHER_MS = 20
"""Longest collection while events keep coming, as from a flooding log."""
HEARTBEAT_MS = 1_000
"""Interval of wake-ups without an event, for network shares and for events missed in a new folder."""
POLL_MS = 200
"""Interval of polling if no inotify instance is available (`fs.inotify.max_user_instances`)."""

log = logging.getLogger(__name__)


class FolderWatch:
    """`async with FolderWatch(folder) as watch: paths = await watch.changed()`.

    Changes after entering the block wake `changed`. Each watch has its own thread, so that watches do not exhaust the
    thread pool of requests; the thread has ended when the block is left. A missing folder is only checked by the
    heartbeat.
    """

    def __init__(self, folder: Path, *, recursive: bool = False) -> None:
        self._folder = folder
        self._recursive = recursive
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._paths: set[str] = set()
        self._all = False
        """Anything may have changed."""

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._armed = asyncio.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {self._folder.name}", daemon=True)
        self._thread.start()
        try:
            await self._armed.wait()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._stop.set()
        await self._ended.wait()
        self._thread.join()  # it ends at once

    async def changed(self) -> set[str]:
        """Wait for a change since the last call. Returns the changed paths; after a heartbeat none: any may have
        changed."""
        await self._changed.wait()
        self._changed.clear()
        with self._lock:
            paths, self._paths = set() if self._all else self._paths, set()
            self._all = False
        return paths

    def wake(self) -> None:
        """Make `changed` return without a change. Call from the event loop's thread."""
        self._changed.set()

    def _run(self) -> None:
        try:
            self._listen()
        except BaseException as error:  # a panic of the extension is not an Exception
            if not isinstance(error, OSError | WatchfilesRustInternalError):
                log.exception("changes in %s are no longer reported; the folder is polled", self._folder)
            self._set(self._armed)
            while not self._stop.wait(POLL_MS / 1000):
                self._set(self._changed)
        finally:
            self._set(self._armed, self._ended)

    def _listen(self) -> None:
        """Report changes, and at each heartbeat that any file may have changed."""
        with RustNotify([os.fspath(self._folder)], False, False, 0, self._recursive, True) as notify:
            self._set(self._armed)
            beat = time.monotonic()
            while not self._stop.is_set():
                try:
                    changes = notify.watch(GATHER_MS, STEP_MS, HEARTBEAT_MS, self._stop)
                except (OSError, WatchfilesRustInternalError):
                    changes = "timeout"
                    self._stop.wait(POLL_MS / 1000)
                now = time.monotonic()
                with self._lock:
                    if not isinstance(changes, set) or now - beat >= HEARTBEAT_MS / 1000:
                        beat, self._all = now, True
                    else:
                        self._paths.update(path for _, path in changes)
                self._set(self._changed)

    def _set(self, *events: asyncio.Event) -> None:
        try:
            for event in events:
                self._loop.call_soon_threadsafe(event.set)
        except RuntimeError:
            self._stop.set()  # the loop is closed: there are no listeners


class Listener:
    """A listener of a shared watch."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for a change since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Make `changed` return."""
        self._changed.set()


class SharedWatches:
    """One watch, and so one thread, for all listeners of a folder. For one event loop."""

    def __init__(self) -> None:
        self._shared: dict[Path, _SharedWatch] = {}

    @asynccontextmanager
    async def on(self, folder: Path) -> AsyncIterator[Listener]:
        """A listener of this folder's changes from entering the block on."""
        shared = self._shared.get(folder)
        if shared is None:
            shared = self._shared[folder] = _SharedWatch(folder)
        listener = Listener()
        shared.listeners.add(listener)
        try:
            await shared.armed.wait()
            yield listener
        finally:
            shared.listeners.discard(listener)
            if not shared.listeners:
                del self._shared[folder]
                shared.task.cancel()
                await asyncio.gather(shared.task, return_exceptions=True)


class _SharedWatch:
    def __init__(self, folder: Path) -> None:
        self.listeners: set[Listener] = set()
        self.armed = asyncio.Event()
        self.task = asyncio.get_running_loop().create_task(self._run(folder), name=f"shared watch of {folder.name}")

    async def _run(self, folder: Path) -> None:
        async with FolderWatch(folder) as watch:
            self.armed.set()
            while True:
                await watch.changed()
                for listener in self.listeners:
                    listener.wake()
