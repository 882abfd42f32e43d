"""Takes datasets in: uploads from the first byte to their place under the root, and linked local folders."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets import hardlinks
from taod.datasets.threads import ended, in_thread, to_the_end
from taod.datasets.upload import atomic_replace, digests, linking
from taod.datasets.upload.content_range import Part, fits, out_of_place
from taod.datasets.upload.disk_quota import Room
from taod.datasets.upload.progress import OnProgress, ProgressReporter, Stage
from taod.datasets.upload.receiver import is_multipart
from taod.datasets.upload.resumable_uploads import Partials
from taod.datasets.upload.upload_session import Arrival
from taod.datasets.validation.image_lists import write_lists
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest, Conflict, NoSpace, NotFound, TooLarge
from taod.ids import new_id
from taod.paths import Root
from taod.types.dataset import DatasetSummary, UploadMode, UploadProgress

T = TypeVar("T")
OnPlaced = Callable[[DatasetSummary], None]
"""Records what is now in place; called on the event loop as soon as it is."""


class UploadOptions(msgspec.Struct, frozen=True):
    """What a client requests with an upload."""

    content_type: str = "application/octet-stream"
    filename: str | None = None
    mode: UploadMode = UploadMode.REPLACE
    body_bytes: int | None = None
    """Content-Length."""
    content_digest: bytes | None = None
    """SHA-256 of the body of this request."""
    sha256: bytes | None = None
    """SHA-256 of the archive."""


class Intake:
    """Takes datasets in under one root. All methods run on the event loop; files are touched in threads."""

    def __init__(self, root: Root, limits: LimitsConfig, keep_free: int = 0) -> None:
        """`keep_free`: bytes of the disk that uploads leave free."""
        self._root = root
        self._limits = limits
        self._room = Room(root.incoming, keep_free)
        self._partials = Partials(root, limits, self._room, self.is_busy)
        self._busy: dict[str, UploadProgress] = {}
        self._deleting: set[asyncio.Task[None]] = set()
        self._cleaner: threading.Thread | None = None

    def clean(self) -> list[str]:
        """Remove what an earlier daemon left half done, putting back old data whose replacement did not get in.

        Uploads in parts are kept, so that their clients can continue them. Returns the ids of datasets that were put
        back. To be called once, at start, before the first upload. Blocks for some renames only: files are deleted in
        a thread, which the daemon's end may cut off.
        """
        restored = atomic_replace.repair(self._root)
        kept = self._partials.find()
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
        """Begin to count the time of uploads that wait for their next part. To be called on the event loop."""
        self._partials.start()

    def unrecorded(self) -> dict[str, DatasetSummary]:
        """New data that a crash may have kept from being recorded, by dataset; to be asked after `clean`."""
        return atomic_replace.noted(self._root)

    def recorded(self, dataset_id: str) -> None:
        """What `unrecorded` returned of this dataset is on record."""
        atomic_replace.recorded(self._root, dataset_id)

    def is_busy(self, dataset_id: str) -> bool:
        """Whether an upload into this dataset is under way."""
        return dataset_id in self._busy

    def progress(self, dataset_id: str) -> UploadProgress | None:
        """How far the upload is that is under way, or waits for its next part."""
        return self._busy.get(dataset_id) or self._partials.progress(dataset_id)

    async def accept(
        self,
        dataset: DatasetRecord,
        body: AsyncIterator[bytes],
        options: UploadOptions = UploadOptions(),
        on_progress: OnProgress | None = None,
        on_placed: OnPlaced | None = None,
    ) -> DatasetSummary:
        """Receive, unpack, check and summarise an upload, then put it in the place of what the dataset had.

        It is unpacked while it arrives, where its format allows. Until the new data is whole the old stays; on any
        failure nothing of the new is left. `on_progress` is called on the event loop, at most some ten times a second.

        Raises BadRequest, TooLarge, NoSpace; Conflict while another upload into the same dataset is under way; and
        whatever `body` raises when the client leaves.
        """
        with self._hold(dataset, options.body_bytes, on_progress) as progress:
            self._check_size(options.body_bytes or 0)
            self._check_mode(dataset, options.mode)
            self._room.check(options.body_bytes or 0)
            work = self._root.incoming / new_id()
            work.mkdir(mode=0o700)
            arrival = Arrival(
                work, self._limits, self._room, hashed=options.sha256 is not None, on_unpacked=progress.unpacked
            )
            try:
                arrival.unpack()
                whole = digests.Digests() if options.content_digest is not None else None
                await arrival.receive(body, options.content_type, options.filename, progress.received, whole)
                if whole is not None:
                    digests.compare("Content-Digest", options.content_digest, whole.digest())
                summary = await self._bring_in(dataset, arrival, options, progress, on_placed)
            except BaseException as error:
                await _shielded(arrival.discard())
                _retell(error)
                raise
            self._discard(arrival)
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
        """Receive one part of an upload; the last one brings the data in as `accept` does. Returns the summary then,
        before that how many bytes are here.

        A part begins where the ones before it end; one from byte 0 on starts over. The bytes of an interrupted part are
        kept, also after the daemon's end; those of a rejected one (wrong digest, invalid archive) are deleted.

        Raises what `accept` raises, and RangeRejected with the bytes that are here.
        """
        if is_multipart(options.content_type):
            raise BadRequest("Content-Range goes with the plain bytes of the archive; send application/octet-stream")
        with self._hold(dataset, part.total, on_progress) as progress:
            self._check_size(part.total)
            self._check_mode(dataset, options.mode)
            arrival = await self._arrival(dataset, part, options)
            arrival.on_unpacked = progress.unpacked
            progress.resumed_at(arrival.spool.size)
            try:
                self._room.check(part.total - arrival.spool.size)
                if part.start is not None:
                    await self._receive_part(dataset, arrival, body, part, options, progress)
                if arrival.spool.size < part.total:
                    return arrival.spool.size
                summary = await self._bring_in(dataset, arrival, options, progress, on_placed)
            except (BadRequest, TooLarge) as error:
                if not isinstance(error, _PartOnly):
                    await _shielded(self._partials.drop(dataset.id))
                raise
            except BaseException as error:
                if _is_full(error):
                    # Unpacking meets the full disk as well, now or later: its failure must not end the next part.
                    await _shielded(arrival.start_over())
                _retell(error)
                raise
            self._discard(self._partials.taken(dataset.id))
            return summary

    async def give_up(self, dataset_id: str) -> None:
        """Drop an upload in parts that has not come whole. Raises NotFound where there is none."""
        if dataset_id in self._busy:
            raise Conflict(f"dataset {dataset_id} is being uploaded right now; end that request first")
        if self._partials.progress(dataset_id) is None:
            raise NotFound(f"no upload into dataset {dataset_id} waits for its next part")
        await self._partials.drop(dataset_id)

    async def forget(self, dataset_id: str) -> None:
        """The dataset is deleted, or is a linked folder now: its files and its incomplete upload are deleted.

        They are out of the way at once; deleting a million of them takes its time afterwards.
        """
        gone = await asyncio.to_thread(atomic_replace.take_away, self._root, dataset_id)
        if gone is not None:
            self._delete(gone)
        await self._partials.drop(dataset_id)

    async def adopt(self, dataset: DatasetRecord, folder: Path, on_placed: OnPlaced | None = None) -> DatasetSummary:
        """Take in a folder of this root, as a job has left it, and put it in place; the folder stays as it is.

        Raises BadRequest where it is not laid out as the dataset's type and format say; NoSpace.
        """
        with self._hold(dataset, None, None) as progress:
            work = self._root.incoming / new_id()
            work.mkdir(mode=0o700)
            stop = threading.Event()
            try:
                await in_thread(stop, hardlinks.copy, folder, work / "tree", stop)
                return await self._place(dataset, work / "tree", UploadMode.REPLACE, progress, on_placed)
            except BaseException as error:
                _retell(error)
                raise
            finally:
                await to_the_end(atomic_replace.delete, work)

    async def link(self, dataset: DatasetRecord, path: str, allowed_roots: Iterable[str | Path]) -> DatasetSummary:
        """Check and summarise a local folder that is used in place and never changed.

        The summary's `path` is the folder with links resolved and leading folders stripped, its `fingerprint` shows
        later whether names, sizes or times have changed. Raises BadRequest as `linking.link` does.
        """
        return await asyncio.to_thread(linking.link, self._root, dataset, path, [Path(root) for root in allowed_roots])

    async def settled(self) -> None:
        """Wait until old data that was replaced, and what `clean` found, is deleted."""
        while self._deleting:
            await asyncio.wait(set(self._deleting))
        if self._cleaner is not None:
            await asyncio.to_thread(self._cleaner.join)

    async def close(self) -> None:
        """The daemon ends: uploads in parts are left as they are for the next one."""
        await self._partials.close()

    @contextlib.contextmanager
    def _hold(
        self, dataset: DatasetRecord, total: int | None, on_progress: OnProgress | None
    ) -> Iterator[ProgressReporter]:
        """The dataset for one upload, and the reporter of its progress. Raises Conflict."""
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

    async def _arrival(self, dataset: DatasetRecord, part: Part, options: UploadOptions) -> Arrival:
        """The upload that the part belongs to. Raises RangeRejected; NoSpace for the first part."""
        facts = self._partials.facts(dataset.id)
        if part.start == 0:
            self._room.check(part.total)
            return await self._partials.begin(dataset.id, part.total, options.filename)
        arrival = self._partials.arrival(dataset.id)
        has = arrival.spool.size if arrival is not None else 0
        if arrival is None or facts is None or not fits(facts, part, options.filename, has):
            raise out_of_place(part, has, facts, options.filename)
        return arrival

    async def _receive_part(
        self,
        dataset: DatasetRecord,
        arrival: Arrival,
        body: AsyncIterator[bytes],
        part: Part,
        options: UploadOptions,
        progress: ProgressReporter,
    ) -> None:
        assert part.start is not None and part.end is not None
        digest = digests.Digests() if options.content_digest is not None else None
        start = arrival.spool.size
        arrival.unpack()
        try:
            exact = _exactly(body, part.end - part.start)
            await arrival.receive(exact, options.content_type, options.filename, progress.received, digest)
            if digest is not None and digest.digest() != options.content_digest:
                raise _PartOnly(
                    f"Content-Digest: the part from byte {start} on was damaged in transit; it was discarded, "
                    "send it again",
                )
        except _PartOnly:
            await arrival.cut(start)
            raise
        finally:
            with contextlib.suppress(OSError, NoSpace):
                await _shielded(self._partials.keep(dataset.id))

    async def _bring_in(
        self,
        dataset: DatasetRecord,
        arrival: Arrival,
        options: UploadOptions,
        progress: ProgressReporter,
        on_placed: OnPlaced | None,
    ) -> DatasetSummary:
        """What has come whole: compare its digest, unpack it to the end, put it in place."""
        if options.sha256 is not None:
            digests.compare("the archive", options.sha256, await arrival.spool.sha256())
        progress.stage(Stage.UNPACKING)
        await arrival.finish()
        return await self._place(dataset, arrival.tree, options.mode, progress, on_placed)

    async def _place(
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
        # From here on there is no way back: who cancels now is too late, and the caller gets its summary.
        replaced = await to_the_end(atomic_replace.replace, self._root, dataset.id, top, summary)
        if on_placed is not None:
            on_placed(summary)
        atomic_replace.recorded(self._root, dataset.id)
        if replaced is not None:
            self._delete(replaced)
        return summary

    def _discard(self, arrival: Arrival) -> None:
        self._later(arrival.discard())

    def _delete(self, path: Path) -> None:
        self._later(asyncio.to_thread(atomic_replace.delete, path))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)


class _PartOnly(BadRequest):
    """What is wrong with one part, not with the ones before it."""


async def _exactly(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The chunks of a body of this size. Raises _PartOnly where it has more or fewer bytes."""
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
    """Whether the disk is full."""
    return isinstance(error, NoSpace) or (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT))


def _retell(error: BaseException) -> None:
    """Raise NoSpace for a full disk."""
    if _is_full(error) and not isinstance(error, NoSpace):
        raise NoSpace("the disk is full: the upload was not kept; make room and send it again") from error


async def _shielded(work: Coroutine[None, None, T]) -> T:
    """Do it to the end even when cancelled meanwhile."""
    running = asyncio.ensure_future(work)
    await ended(running)
    return running.result()
