"""Receives datasets: uploads from the first byte to their folder in the root, and linked local folders."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets import hardlinks
from taod.datasets.threads import ended, in_thread, to_completion
from taod.datasets.upload import atomic_replace, digests, linking
from taod.datasets.upload.content_range import Part, fits, mismatch
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.progress import OnProgress, ProgressReporter, Stage
from taod.datasets.upload.receiver import is_multipart
from taod.datasets.upload.resumable_uploads import ResumableUploads
from taod.datasets.upload.upload_session import UploadSession
from taod.datasets.validation.image_lists import write_lists
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest, Conflict, NoSpace, NotFound, TooLarge
from taod.ids import new_id
from taod.paths import Root
from taod.types.dataset import DatasetSummary, UploadMode, UploadProgress

T = TypeVar("T")
OnPlaced = Callable[[DatasetSummary], None]
"""Records the summary of new data; called on the event loop as soon as the data is in place."""


class UploadOptions(msgspec.Struct, frozen=True):
    """Options of an upload request."""

    content_type: str = "application/octet-stream"
    filename: str | None = None
    mode: UploadMode = UploadMode.REPLACE
    body_bytes: int | None = None
    """Content-Length."""
    content_digest: bytes | None = None
    """SHA-256 of the body of this request."""
    sha256: bytes | None = None
    """SHA-256 of the archive."""


class DatasetIngest:
    """Receives datasets of one root. All methods run on the event loop; threads read and write files."""

    def __init__(self, root: Root, limits: LimitsConfig, keep_free: int = 0) -> None:
        """`keep_free`: bytes of the disk that uploads leave free."""
        self._root = root
        self._limits = limits
        self._quota = DiskQuota(root.incoming, keep_free)
        self._resumable = ResumableUploads(root, limits, self._quota, self.is_busy)
        self._busy: dict[str, UploadProgress] = {}
        self._deleting: set[asyncio.Task[None]] = set()
        self._cleaner: threading.Thread | None = None

    def clean(self) -> list[str]:
        """Remove what an earlier daemon left unfinished, and restore old data whose replacement was interrupted.

        Uploads in parts are kept, so that their clients can continue them. Returns the ids of restored datasets. Call
        once, at start, before the first upload. Blocks only for renames: a thread deletes files, which the daemon's end
        may interrupt.
        """
        restored = atomic_replace.repair(self._root)
        kept = self._resumable.find()
        notes = {
            self._root.incoming / f"{atomic_replace.NOTE}{dataset_id}"
            for dataset_id in atomic_replace.noted(self._root)
        }
        leftovers = [path for path in self._root.incoming.iterdir() if path not in kept and path not in notes]
        if leftovers:
            self._cleaner = threading.Thread(target=_delete_all, args=(leftovers,), name="clean", daemon=True)
            self._cleaner.start()
        return restored

    def start(self) -> None:
        """Start the expiry timers of uploads that wait for their next part. Call on the event loop."""
        self._resumable.start()

    def unrecorded(self) -> dict[str, DatasetSummary]:
        """Summaries, by dataset, of new data that may not be recorded because of a crash. Call after `clean`."""
        return atomic_replace.noted(self._root)

    def recorded(self, dataset_id: str) -> None:
        """Report that the summary returned by `unrecorded` for this dataset is recorded."""
        atomic_replace.recorded(self._root, dataset_id)

    def is_busy(self, dataset_id: str) -> bool:
        """Whether an upload into this dataset is being received."""
        return dataset_id in self._busy

    def progress(self, dataset_id: str) -> UploadProgress | None:
        """Progress of the upload that is being received or waits for its next part; None without one."""
        return self._busy.get(dataset_id) or self._resumable.progress(dataset_id)

    async def accept(
        self,
        dataset: DatasetRecord,
        body: AsyncIterator[bytes],
        options: UploadOptions = UploadOptions(),
        on_progress: OnProgress | None = None,
        on_placed: OnPlaced | None = None,
    ) -> DatasetSummary:
        """Receive, unpack, check and summarise an upload, then replace the dataset's data with it.

        It is unpacked while it arrives, if its format allows. The old data stays until the new data is complete; a
        failed upload leaves no files. `on_progress` is called on the event loop, about ten times a second at most.

        Raises BadRequest, TooLarge, NoSpace; Conflict during another upload into the same dataset; and
        whatever `body` raises when the client leaves.
        """
        with self._claim(dataset, options.body_bytes, on_progress) as progress:
            self._check_size(options.body_bytes or 0)
            self._check_mode(dataset, options.mode)
            self._quota.check(options.body_bytes or 0)
            work = self._root.incoming / new_id()
            work.mkdir(mode=0o700)
            session = UploadSession(
                work, self._limits, self._quota, hashed=options.sha256 is not None, on_unpacked=progress.unpacked
            )
            try:
                session.unpack()
                whole = digests.Digests() if options.content_digest is not None else None
                await session.receive(body, options.content_type, options.filename, progress.received, whole)
                if whole is not None:
                    digests.compare("Content-Digest", options.content_digest, whole.digest())
                summary = await self._finish(dataset, session, options, progress, on_placed)
            except BaseException as error:
                await _shielded(session.discard())
                _raise_no_space(error)
                raise
            self._discard(session)
            return summary

    async def accept_part(
        self,
        dataset: DatasetRecord,
        body: AsyncIterator[bytes],
        part: Part,
        options: UploadOptions = UploadOptions(),
        on_progress: OnProgress | None = None,
        on_placed: OnPlaced | None = None,
    ) -> DatasetSummary | int:
        """Receive one part of an upload; after the last one the data is unpacked and put in place as in `accept`.

        Returns the summary after the last part, the number of received bytes before.

        A part must begin where the received bytes end; a part from byte 0 starts over. The bytes of an interrupted part
        are kept, also after the daemon's end; those of a rejected part (wrong digest, invalid archive) are deleted.

        Raises what `accept` raises, and RangeRejected with the received bytes.
        """
        if is_multipart(options.content_type):
            raise BadRequest("Content-Range goes with the plain bytes of the archive; send application/octet-stream")
        with self._claim(dataset, part.total, on_progress) as progress:
            self._check_size(part.total)
            self._check_mode(dataset, options.mode)
            session = await self._session(dataset, part, options)
            session.on_unpacked = progress.unpacked
            progress.resumed_at(session.file.size)
            try:
                self._quota.check(part.total - session.file.size)
                if part.start is not None:
                    await self._receive_part(dataset, session, body, part, options, progress)
                if session.file.size < part.total:
                    return session.file.size
                summary = await self._finish(dataset, session, options, progress, on_placed)
            except (BadRequest, TooLarge) as error:
                if not isinstance(error, _PartOnly):
                    await _shielded(self._resumable.drop(dataset.id))
                raise
            except BaseException as error:
                if _is_full(error):
                    # Unpacking also fails on the full disk, now or later: that must not fail the next part.
                    await _shielded(session.start_over())
                _raise_no_space(error)
                raise
            self._discard(self._resumable.release(dataset.id))
            return summary

    async def give_up(self, dataset_id: str) -> None:
        """Delete an incomplete upload in parts. Raises NotFound without one, Conflict while it is being received."""
        if dataset_id in self._busy:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; end that request first")
        if self._resumable.progress(dataset_id) is None:
            raise NotFound(f"no upload into dataset {dataset_id} waits for its next part")
        await self._resumable.drop(dataset_id)

    async def forget(self, dataset_id: str) -> None:
        """Delete the files and the incomplete upload of a dataset that was deleted or is now a linked folder.

        They are renamed at once and deleted in the background.
        """
        gone = await asyncio.to_thread(atomic_replace.set_aside, self._root, dataset_id)
        if gone is not None:
            self._delete(gone)
        await self._resumable.drop(dataset_id)

    async def adopt(
        self, dataset: DatasetRecord, folder: Path, allowed: Sequence[Path], on_placed: OnPlaced | None = None
    ) -> DatasetSummary:
        """Link a job's output folder of this root as the dataset's data. The folder itself is not changed.

        Raises BadRequest if its layout does not match the dataset's type and format, or a link in it leads out of the
        `allowed` folders; NoSpace.
        """
        with self._claim(dataset, None, None) as progress:
            work = self._root.incoming / new_id()
            work.mkdir(mode=0o700)
            stop = threading.Event()
            try:
                await in_thread(stop, hardlinks.copy, folder, work / "tree", allowed, stop)
                return await self._move_into_place(dataset, work / "tree", UploadMode.REPLACE, progress, on_placed)
            except BaseException as error:
                _raise_no_space(error)
                raise
            finally:
                await to_completion(atomic_replace.delete, work)

    async def link(self, dataset: DatasetRecord, path: str, allowed_roots: Iterable[str | Path]) -> DatasetSummary:
        """Check and summarise a local folder that is used in place and never changed.

        The summary's `path` is the folder with links resolved and leading folders stripped; its `fingerprint` shows
        later changes of names, sizes or times. Raises BadRequest as `linking.link` does.
        """
        return await asyncio.to_thread(linking.link, self._root, dataset, path, [Path(root) for root in allowed_roots])

    async def settled(self) -> None:
        """Wait until replaced data and what `clean` found is deleted."""
        while self._deleting:
            await asyncio.wait(set(self._deleting))
        if self._cleaner is not None:
            await asyncio.to_thread(self._cleaner.join)

    async def close(self) -> None:
        """Stop at the daemon's end; uploads in parts are kept for the next daemon."""
        await self._resumable.close()

    @contextlib.contextmanager
    def _claim(
        self, dataset: DatasetRecord, total: int | None, on_progress: OnProgress | None
    ) -> Iterator[ProgressReporter]:
        """Reserve the dataset for one upload; yields the reporter of its progress. Raises Conflict."""
        if dataset.id in self._busy:
            raise Conflict(f"dataset {dataset.id} is being uploaded already; wait until that upload has ended")
        now = self._busy[dataset.id] = UploadProgress(dataset.id, Stage.RECEIVING, total=total)
        reporter = ProgressReporter(now, on_progress, asyncio.get_running_loop())
        try:
            yield reporter
        finally:
            reporter.close()
            del self._busy[dataset.id]

    def _check_size(self, size: int) -> None:
        if size > self._limits.upload_bytes:
            raise TooLarge(
                f"the upload has {size} bytes, over the {self._limits.upload_bytes} of limits.upload_bytes; "
                "split it, raise that limit, or link a folder of this machine instead"
            )

    def _check_mode(self, dataset: DatasetRecord, mode: UploadMode) -> None:
        if mode is UploadMode.ADD and dataset.state == "linked":
            raise BadRequest(
                f"mode=add: dataset {dataset.name!r} is the linked folder {dataset.path}, which is never changed; "
                "put the files there and link it again, or upload with mode=replace"
            )

    async def _session(self, dataset: DatasetRecord, part: Part, options: UploadOptions) -> UploadSession:
        """The upload session of the part; a new one for the first part. Raises RangeRejected, NoSpace."""
        facts = self._resumable.facts(dataset.id)
        if part.start == 0:
            self._quota.check(part.total)
            return await self._resumable.begin(dataset.id, part.total, options.filename)
        session = self._resumable.session(dataset.id)
        has = session.file.size if session is not None else 0
        if session is None or facts is None or not fits(facts, part, options.filename, has):
            raise mismatch(part, has, facts, options.filename)
        return session

    async def _receive_part(
        self,
        dataset: DatasetRecord,
        session: UploadSession,
        body: AsyncIterator[bytes],
        part: Part,
        options: UploadOptions,
        progress: ProgressReporter,
    ) -> None:
        assert part.start is not None and part.end is not None
        digest = digests.Digests() if options.content_digest is not None else None
        start = session.file.size
        session.unpack()
        try:
            exact = _exactly(body, part.end - part.start)
            await session.receive(exact, options.content_type, options.filename, progress.received, digest)
            if digest is not None and digest.digest() != options.content_digest:
                raise _PartOnly(
                    f"Content-Digest: the part from byte {start} on was damaged in transit; it was discarded, "
                    "send it again",
                )
        except _PartOnly:
            await session.cut(start)
            raise
        finally:
            with contextlib.suppress(OSError, NoSpace):
                await _shielded(self._resumable.keep(dataset.id))

    async def _finish(
        self,
        dataset: DatasetRecord,
        session: UploadSession,
        options: UploadOptions,
        progress: ProgressReporter,
        on_placed: OnPlaced | None,
    ) -> DatasetSummary:
        """Verify the digest of a complete upload, unpack the rest and put it in place."""
        if options.sha256 is not None:
            digests.compare("the archive", options.sha256, await session.file.sha256())
        progress.stage(Stage.UNPACKING)
        await session.finish()
        return await self._move_into_place(dataset, session.tree, options.mode, progress, on_placed)

    async def _move_into_place(
        self,
        dataset: DatasetRecord,
        tree: Path,
        mode: UploadMode,
        progress: ProgressReporter,
        on_placed: OnPlaced | None,
    ) -> DatasetSummary:
        progress.stage(Stage.CHECKING)
        stop = threading.Event()
        old = self._root.dataset(dataset.id)
        has_data = mode is UploadMode.ADD and await asyncio.to_thread(old.is_dir)
        top, summary = await in_thread(stop, _check_and_summarise, tree, dataset, old if has_data else None, stop)
        # A cancellation from here on is ignored: the data is replaced and the caller gets its summary.
        replaced = await to_completion(atomic_replace.replace, self._root, dataset.id, top, summary)
        if on_placed is not None:
            on_placed(summary)
        atomic_replace.recorded(self._root, dataset.id)
        if replaced is not None:
            self._delete(replaced)
        return summary

    def _discard(self, session: UploadSession) -> None:
        self._in_background(session.discard())

    def _delete(self, path: Path) -> None:
        self._in_background(asyncio.to_thread(atomic_replace.delete, path))

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)


class _PartOnly(BadRequest):
    """An error of one part; earlier parts stay valid."""


async def _exactly(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The chunks of a body of this size. Raises _PartOnly if it has more or fewer bytes."""
    came = 0
    async for chunk in body:
        came += len(chunk)
        if came > size:
            raise _PartOnly(
                f"Content-Range: the body has more than {size} bytes, the length of its range; it was discarded"
            )
        yield chunk
    if came < size:
        raise _PartOnly(f"Content-Range: the body has {came} bytes, its range {size}; it was discarded")


def _check_and_summarise(
    unpacked: Path, dataset: DatasetRecord, old: Path | None, stop: threading.Event
) -> tuple[Path, DatasetSummary]:
    if old is not None:
        unpacked = hardlinks.complete(unpacked, old, dataset.type, dataset.format, stop)
    top = check(unpacked, dataset.type, dataset.format)
    if dataset.type == "semantic_segmentation":
        write_lists(top)
    return top, summarise(top, dataset.type, dataset.format)


def _delete_all(paths: list[Path]) -> None:
    for path in paths:
        atomic_replace.delete(path)


def _is_full(error: BaseException) -> bool:
    """Whether the error reports a full disk."""
    return isinstance(error, NoSpace) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def _raise_no_space(error: BaseException) -> None:
    """Raise NoSpace if the error reports a full disk."""
    if _is_full(error) and not isinstance(error, NoSpace):
        raise NoSpace("the disk is full: the upload was not kept; make room and send it again") from error


async def _shielded(work: Coroutine[None, None, T]) -> T:
    """Run `work` to its end even if cancelled meanwhile; returns its result."""
    running = asyncio.ensure_future(work)
    await ended(running)
    return running.result()
