"""Follows the status.json of each live run: stores its reports and publishes them."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing

import msgspec

from store import Store
from store.records import JobRecord
from taod import atomic_file, plain_file
from taod.backoff import Backoff
from taod.catalogue.commands import artifacts
from taod.catalogue.network import get, get_network
from taod.catalogue.schema.merge import over_default
from taod.catalogue.training_length import length
from taod.errors import NotFound
from taod.paths import JobFolder
from taod.telemetry.follow import BLOCK, FileTail, follow
from taod.telemetry.metric import latest_value
from taod.telemetry.publisher import Publisher
from taod.telemetry.status import StatusReader
from taod.types.event import StatusUpdate
from taod.types.job import DetailedStatus, Result
from taod.types.job_requests import TRAININGS
from taod.types.warning import WarningCode

STATUS_FILE = "status.json"
REST = 10
"""Pause after a batch, as a multiple of the time it took: a flooding run gets about a tenth of a core."""
LONGEST_REST_S = 0.25
MOST_UNPUBLISHED = 1_000
"""Most updates that are kept for publishing after the store failed; older ones only change the result."""

_log = logging.getLogger(__name__)


class Final(msgspec.Struct, frozen=True):
    """The end of a run as it reported it: the last status of this attempt (None: it reported none) and its result."""

    status: str | None
    message: str
    result: Result


class Telemetry:
    """Starts and stops following runs. For one event loop's thread."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher
        self._followed: dict[str, tuple[_Run, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def start(self, job: JobRecord, folder: JobFolder, *, fresh: bool = False) -> None:
        """Start following the job's current attempt, in a task.

        `fresh`: the attempt is about to start, so present lines of status.json are older attempts'. Otherwise the
        attempt was followed before (by an earlier daemon). Present lines are read at once: they change the result, but
        publish no status events. Another call for the same job replaces the first.
        """
        if (replaced := self._drop(job.id)) is not None:
            replaced.close()
        folder.results.mkdir(parents=True, exist_ok=True)
        run = _Run(self._store, self._publisher, job, folder)
        run.read_history(fresh=fresh)
        task = asyncio.create_task(run.follow(), name=f"telemetry of job {job.id}")
        self._followed[job.id] = (run, task)

    async def finish(self, job_id: str) -> Final:
        """Read the remaining lines, store and publish them, and stop following. Returns what the attempt reported last.

        Call after its process has ended. For a job that is not followed, returns the stored result without a status.
        Raises NotFound for an unknown job.
        """
        run = self._drop(job_id)
        if run is None:
            return Final(status=None, message="", result=self._store.jobs.result(job_id))
        return await run.finish()

    async def close(self) -> None:
        """Stop following everything; the runs continue."""
        for job_id in [*self._followed]:
            if (run := self._drop(job_id)) is not None:
                run.close()
        if self._ending:
            await asyncio.wait(self._ending)

    def _drop(self, job_id: str) -> _Run | None:
        """Cancel the job's task without waiting for its end."""
        if job_id not in self._followed:
            return None
        run, task = self._followed.pop(job_id)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return run


class _Run:
    """Follows the status.json of one attempt."""

    def __init__(self, store: Store, publisher: Publisher, job: JobRecord, folder: JobFolder) -> None:
        self._store = store
        self._publisher = publisher
        self._job = job
        self._folder = folder
        network = get(job.network, job.release)
        self._resumes_at_first = network is not None and network.status.resumes_at_first
        self._tail = FileTail(folder.status_folder(), STATUS_FILE)
        self._generation = 0
        self._odd = next((one for one in job.warnings if one.code is WarningCode.STATUS_LINES), None)
        self._reader = StatusReader(
            job.network,
            store.jobs.result(job.id),
            job_id=job.id,
            total_epochs=_total_epochs(store, job),
            release=job.release,
        )
        self._unpublished: list[StatusUpdate] = []
        self._backoff = Backoff()
        self._again: asyncio.TimerHandle | None = None
        self._closed = False

    def read_history(self, *, fresh: bool) -> None:
        """Read the present lines: those before the mark belong to older attempts, those after it to this one."""
        known = self._reader.result.detailed_status
        end = self._tail.size()
        mark = self._mark(end, fresh)
        lines = 0
        for attempt in range(1, self._job.attempt if self._resumes_at_first else 1):
            earlier = self._store.jobs.status_mark(self._job.id, attempt)
            if earlier is not None and earlier[0] == (self._tail.path or ""):
                lines += self._read_up_to(min(earlier[1], mark))
                self._reader.new_attempt(self._resumed_from(attempt))
        lines += self._read_up_to(mark)
        if fresh and self._resumes_at_first:
            self._keep_resumed_from()
        self._reader.new_attempt(self._resumed_from(self._job.attempt))
        lines += self._read_up_to(end)
        self._generation = self._tail.generation
        if self._reader.last is None:
            self._reader.result.detailed_status = known
        if lines:
            self._save()
        self._publish_odd()

    def _mark(self, end: int, fresh: bool) -> int:
        """Byte offset at which this attempt's lines begin."""
        job, path = self._job, self._tail.path or ""
        if fresh:
            self._store.jobs.mark_status(job.id, job.attempt, path, end)
            return end
        mark = self._store.jobs.status_mark(job.id, job.attempt)
        return mark[1] if mark is not None and mark[0] == path and mark[1] <= end else 0

    def _keep_resumed_from(self) -> None:
        """Record the epoch of the last checkpoint, which this attempt resumes from."""
        found = artifacts.checkpoints(get_network(self._job.network, self._job.release), self._folder.results)
        run = self._folder.run(self._job.attempt)
        try:
            last = max((epoch for epoch, _ in found), default=0)
            atomic_file.write(run.resumed_from, str(last).encode(), durable=False)
        except OSError:
            _log.exception("the epoch that job %s resumes from could not be recorded", self._job.id)

    def _resumed_from(self, attempt: int) -> int:
        try:
            recorded = self._folder.run(attempt).resumed_from
            return int(plain_file.read(recorded, plain_file.SMALL)) if self._resumes_at_first else 0
        except (OSError, ValueError):
            return 0

    def _read_up_to(self, end: int) -> int:
        lines = 0
        while (left := end - self._tail.offset) > 0 and (chunk := self._tail.read(min(left, BLOCK))):
            lines += len(self._reader.feed(chunk))
        return lines

    async def follow(self) -> None:
        """Read appended lines until cancelled; after an error (no thread or descriptor left) try again with a delay."""
        backoff = Backoff()
        while True:
            try:
                await self._follow()
            except Exception as error:
                backoff.report(_log, error, "the status of job %s cannot be followed now", self._job.id)
                await backoff.wait()

    async def _follow(self) -> None:
        """Read appended lines. No await separates reading from storing, so a cancellation loses no line."""
        async with aclosing(follow(self._tail)) as chunks:
            async for chunk in chunks:
                began = time.perf_counter()
                self._read_status(chunk)
                await asyncio.sleep(min(REST * (time.perf_counter() - began), LONGEST_REST_S))

    async def finish(self) -> Final:
        """Read the rest, including a last line without a line break."""
        try:
            while chunk := self._tail.read():
                self._read_status(chunk)
                await asyncio.sleep(0)
        finally:
            self.close()
        self._record_updates(self._reader.finish())
        last = self._reader.last or DetailedStatus()
        return Final(status=last.status or None, message=last.message, result=self._reader.result)

    def close(self) -> None:
        """Close the file; what was read stays stored."""
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._tail.close()

    def _read_status(self, chunk: bytes) -> None:
        if self._tail.generation != self._generation:
            self._generation = self._tail.generation
            self._reader.drop_half()
        self._record_updates(self._reader.feed(chunk))

    def _publish_odd(self) -> None:
        """Update the job's warning about unreadable lines if their number changed."""
        odd = self._reader.odd.warning()
        if odd == self._odd:
            return
        job = self._store.jobs.get(self._job.id)
        if job is not None:
            kept = [one for one in job.warnings if one.code is not WarningCode.STATUS_LINES]
            self._job = self._store.jobs.update(job.id, warnings=kept if odd is None else [*kept, odd])
            self._odd = odd
            self._publisher.job(self._job)

    def _record_updates(self, updates: list[StatusUpdate]) -> None:
        """Store and publish updates. If storing fails (a locked database, a full disk), they are stored with the next
        ones or after a delay."""
        self._unpublished = [*self._unpublished, *updates][-MOST_UNPUBLISHED:]
        try:
            self._publish_odd()
            if self._unpublished and self._save():
                self._publish(self._unpublished)
        except Exception as error:
            self._backoff.report(_log, error, "what job %s reported could not be kept yet", self._job.id)
            self._publish_again()
        else:
            self._unpublished = []
            self._backoff.reset()

    def _publish_again(self) -> None:
        if self._again is None and not self._closed:
            self._again = asyncio.get_running_loop().call_later(self._backoff.next_s(), self._publish_now)

    def _publish_now(self) -> None:
        self._again = None
        self._record_updates([])

    def _publish(self, updates: list[StatusUpdate]) -> None:
        for update in updates:
            self._publisher.status(self._job.user_id, update)
        self._publisher.job(self._job)

    def _save(self) -> bool:
        """Store the result. Returns False if the job was deleted meanwhile."""
        result = self._reader.result
        try:
            metric_value = latest_value(result, self._job.metric)
            self._job = self._store.jobs.save_result(self._job.id, result, metric_value=metric_value)
        except NotFound:
            return False
        return True


def _total_epochs(store: Store, job: JobRecord) -> int | None:
    """The number of epochs of the job's training (of a trial: up to its rung); None if its specification has none."""
    network = get(job.network, job.release)
    if job.action not in TRAININGS or network is None:
        return None
    trial = store.sweeps.trial_of(job.id) if job.sweep_id else None
    if trial is not None and trial.epochs is not None:
        return trial.epochs
    specified = store.jobs.specified(job.id)
    if specified is None or specified.spec is None:
        return None
    return length(network, over_default(network, job.action, specified.spec))
