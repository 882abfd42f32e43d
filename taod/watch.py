"""Reports changes in a folder, by inotify; many listeners can share one watch. Knows no file's meaning."""

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
"""How long the kernel's events are gathered: latency against wake-ups."""
GATHER_MS = 20
"""The longest gathering while events keep coming, as when a log floods."""
HEARTBEAT_MS = 1_000
"""Wakes without an event, for file systems without events (network shares) and events that raced a new folder."""
POLL_MS = 200
"""Wakes where the kernel grants no inotify instance any more (`fs.inotify.max_user_instances`)."""

log = logging.getLogger(__name__)


class FolderWatch:
    """`async with FolderWatch(folder) as watch: paths = await watch.changed()`.

    Armed once entered: whatever changes after that wakes `changed`. It has a thread of its own, so that many watches
    never use up the pool that requests share; the thread has ended once the block is left. A folder that is not there
    is waited for with the heartbeat alone.
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
        self._thread.join()  # It has nothing left to do.

    async def changed(self) -> set[str]:
        """Wait for a change since the last call; the paths that changed, none where the heartbeat came: any may."""
        await self._changed.wait()
        self._changed.clear()
        with self._lock:
            paths, self._paths = set() if self._all else self._paths, set()
            self._all = False
        return paths

    def wake(self) -> None:
        """Let `changed` return although nothing changed; from the loop's thread."""
        self._changed.set()

    def _run(self) -> None:
        try:
            self._listen()
        except BaseException as error:  # A panic of the extension is no Exception.
            if not isinstance(error, OSError | WatchfilesRustInternalError):
                log.exception("changes in %s are no longer reported; the folder is polled", self._folder)
            self._set(self._armed)
            while not self._stop.wait(POLL_MS / 1000):
                self._set(self._changed)
        finally:
            self._set(self._armed, self._ended)

    def _listen(self) -> None:
        """Report changes, and each second that any file may have changed without an event."""
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
            self._stop.set()  # The loop is closed: there are no listeners any more.


class Listener:
    """One of the listeners of a shared watch."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait for a change since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def wake(self) -> None:
        """Let `changed` return."""
        self._changed.set()


class SharedWatches:
    """One watch, and so one thread, for all listeners of a folder. One event loop only."""

    def __init__(self) -> None:
        self._shared: dict[Path, _Shared] = {}

    @asynccontextmanager
    async def on(self, folder: Path) -> AsyncIterator[Listener]:
        """A listener of this folder's changes; armed once entered."""
        shared = self._shared.get(folder)
        if shared is None:
            shared = self._shared[folder] = _Shared(folder)
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


class _Shared:
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
