"""Bringing data in: an upload from first byte to its place under the root, or a local folder used where it lies."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets import swap
from taod.datasets.extract import extract
from taod.datasets.lists import write_lists
from taod.datasets.structure import check
from taod.datasets.summary import summarise
from taod.datasets.tree import PROGRESS_S, Progress
from taod.datasets.upload import receive
from taod.errors import BadRequest, Conflict, NoSpace
from taod.ids import new_id
from taod.paths import Root
from taod.types.dataset import DatasetSummary

P = ParamSpec("P")
T = TypeVar("T")


class Stage(StrEnum):
    """What an upload is at."""

    RECEIVING = "receiving"
    """`bytes` counts the body's."""
    UNPACKING = "unpacking"
    """`files` and `bytes` count what was written."""
    CHECKING = "checking"


class IntakeProgress(msgspec.Struct, frozen=True):
    """How far an upload is; figures are of its stage."""

    stage: Stage
    files: int = 0
    bytes: int = 0


OnProgress = Callable[[IntakeProgress], None]


class Intake:
    """Takes data sets in under one root. All methods run on the event loop; files are touched in threads."""

    def __init__(self, root: Root, limits: LimitsConfig) -> None:
        self._root = root
        self._limits = limits
        self._busy: set[str] = set()
        self._deleting: set[asyncio.Task[None]] = set()
        self._cleaner: threading.Thread | None = None

    def clean(self) -> list[str]:
        """Remove what an earlier daemon left half done, putting back old data whose replacement did not get in.

        Returns the ids of data sets that were put back. To be called once, at start, before the first upload. Blocks
        for some renames only: files are deleted in a thread, which the daemon's end may cut off.
        """
        restored = swap.repair(self._root)
        leftovers = list(self._root.incoming.iterdir())
        if leftovers:
            self._cleaner = threading.Thread(target=_delete_all, args=(leftovers,), name="clean", daemon=True)
            self._cleaner.start()
        return restored

    def is_busy(self, dataset_id: str) -> bool:
        """Whether an upload into this data set is under way."""
        return dataset_id in self._busy

    async def accept(
        self,
        dataset: DatasetRecord,
        body: AsyncIterator[bytes],
        content_type: str,
        filename: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> DatasetSummary:
        """Receive, unpack, check and summarise an upload, then put it in the place of what the data set had.

        Until the new data is whole the old stays; on any failure nothing of the new is left. `on_progress` is called on
        the event loop, at most some ten times a second.

        Raises BadRequest, TooLarge, NoSpace; Conflict while another upload into the same data set is under way; and
        whatever `body` raises when the client leaves.
        """
        if dataset.id in self._busy:
            raise Conflict(f"data set {dataset.id} is being uploaded already; wait until that upload has ended")
        self._busy.add(dataset.id)
        work = self._root.incoming / new_id()
        try:
            work.mkdir(mode=0o700)
            summary = await self._bring(dataset, work, body, content_type, filename, on_progress)
        except BaseException as error:
            await _to_the_end(swap.delete, work)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise NoSpace("the disk is full: the upload was not kept; make room and send it again") from error
            raise
        finally:
            self._busy.discard(dataset.id)
        self._delete(work)
        return summary

    async def link(self, dataset: DatasetRecord, path: str, allowed_roots: Iterable[str | Path]) -> DatasetSummary:
        """Check and summarise a local folder that is used where it lies; nothing in it is changed.

        The summary's `path` is the folder with links resolved and leading folders stripped, its `fingerprint` tells
        later whether names, sizes or times have changed.

        Raises BadRequest when it is no folder, lies outside `allowed_roots` or in the daemon's own root, or is not laid
        out as the data set's type and format say.
        """
        return await asyncio.to_thread(self._link, dataset, path, [Path(root) for root in allowed_roots])

    async def settled(self) -> None:
        """Wait until old data that was replaced, and what `clean` found, is deleted."""
        while self._deleting:
            await asyncio.wait(set(self._deleting))
        if self._cleaner is not None:
            await asyncio.to_thread(self._cleaner.join)

    async def _bring(
        self,
        dataset: DatasetRecord,
        work: Path,
        body: AsyncIterator[bytes],
        content_type: str,
        filename: str | None,
        on_progress: OnProgress | None,
    ) -> DatasetSummary:
        loop = asyncio.get_running_loop()
        tell = _Throttle(on_progress, loop.time)

        def unpacking(files: int, size: int) -> None:
            loop.call_soon_threadsafe(tell, Stage.UNPACKING, files, size)

        stop = threading.Event()
        archive, unpacked = work / "upload", work / "tree"
        await receive(body, content_type, filename, archive, self._limits, lambda size: tell(Stage.RECEIVING, 0, size))
        await _in_thread(stop, _unpack, archive, unpacked, self._limits, unpacking, stop)
        tell(Stage.CHECKING)
        top, summary = await _in_thread(stop, _understand, unpacked, dataset.type, dataset.format)
        # From here on there is no way back: who cancels now is too late, and the caller gets its summary.
        replaced = await _to_the_end(swap.replace, self._root, dataset.id, top)
        if replaced is not None:
            self._delete(replaced)
        return summary

    def _link(self, dataset: DatasetRecord, path: str, allowed_roots: list[Path]) -> DatasetSummary:
        try:
            given = Path(path).expanduser()
            folder = given.resolve()
            roots = [root.expanduser().resolve() for root in allowed_roots]
        except (OSError, RuntimeError, ValueError) as error:
            raise BadRequest(f"path {path!r} is not usable: {error}; give an absolute path") from None
        if not given.is_absolute():
            raise BadRequest(f"path {path!r} is relative; give an absolute path")
        # Asked before anything else, so that nothing is told of folders outside.
        if not any(folder.is_relative_to(root) for root in roots):
            listed = ", ".join(str(root) for root in roots) or "none"
            raise BadRequest(
                f"path {path!r} lies outside the folders that may be linked ({listed}); "
                "move it there, or add its folder to storage.link_roots"
            )
        own = self._root.path.resolve()
        if folder.is_relative_to(own) or own.is_relative_to(folder):
            raise BadRequest(f"path {path!r} overlaps the daemon's own folder {own}; link a folder apart from it")
        if not folder.is_dir():
            raise BadRequest(
                f"path {path!r} is no folder on the daemon's machine; unpack the data set and link its folder"
            )
        try:
            top = check(folder, dataset.type, dataset.format)
            summary = summarise(top, dataset.type, dataset.format)
        except OSError as error:
            raise BadRequest(
                f"path {path!r} cannot be read: {error.filename}: {error.strerror}; let the daemon's user read it"
            ) from None
        return msgspec.structs.replace(summary, state="linked", path=str(top))

    def _delete(self, path: Path) -> None:
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(swap.delete, path))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)


class _Throttle:
    """Passes progress on at most ten times a second, and at once where a stage begins."""

    def __init__(self, on_progress: OnProgress | None, now: Callable[[], float]) -> None:
        self._on_progress = on_progress
        self._now = now
        self._stage: Stage | None = None
        self._told = 0.0

    def __call__(self, stage: Stage, files: int = 0, size: int = 0) -> None:
        now = self._now()
        if self._on_progress is None or (stage is self._stage and now - self._told < PROGRESS_S):
            return
        self._stage, self._told = stage, now
        self._on_progress(IntakeProgress(stage, files, size))


def _delete_all(paths: list[Path]) -> None:
    for path in paths:
        swap.delete(path)


def _unpack(archive: Path, into: Path, limits: LimitsConfig, progress: Progress, stop: threading.Event) -> None:
    extract(archive, into, limits, progress, stop)
    archive.unlink()


def _understand(unpacked: Path, type_: str, format_: str) -> tuple[Path, DatasetSummary]:
    top = check(unpacked, type_, format_)
    if type_ == "semantic_segmentation":
        write_lists(top)
    return top, summarise(top, type_, format_)


async def _in_thread(stop: threading.Event, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread. When cancelled, set `stop` and come back only once the thread has ended: what it
    wrote can then be removed."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        await _ended(running)
        raise


async def _to_the_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread and take its outcome even when cancelled meanwhile: the cancellation came too late."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    await _ended(running)
    return running.result()


async def _ended(running: asyncio.Future[T]) -> None:
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
    if not running.cancelled():
        running.exception()  # looked at, so that it is not reported as forgotten
