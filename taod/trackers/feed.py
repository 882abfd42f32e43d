"""Feeds trackers with the runs that change: one task for each tracker, which writes in a process of its own.

The events of jobs only say which runs to read from the store. What an earlier daemon has not written follows from the
store alone: it records for each tracker which ended jobs are complete there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import msgspec

from store import Store
from taod import installed
from taod.backoff import Backoff
from taod.config import TrackersConfig
from taod.errors import TaodError
from taod.helper_process import HelperProcess, Rejected
from taod.paths import Root
from taod.telemetry.bus import EventBus
from taod.trackers.process import Target
from taod.trackers.run import Run
from taod.types.event import EventType
from taod.types.job import JobKind
from taod.types.reason_text import text
from taod.types.state import ON_DEVICE, State

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

MODULE = "taod.trackers.process"
LIBRARIES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""Kind of tracker → the library that it needs; the extra has the kind's name."""
PACE_S = 1.0
"""Least time between two writings to one tracker's runs that change; those that change more often wait."""
REST = 5
"""Pause after a round, as a multiple of the time it took."""
LONGEST_S = 300.0
"""Longest time between two attempts at a tracker that cannot be written."""
ATTEMPTS = 5
"""Further attempts at a run that fails for a reason of its own, not of the tracker."""
AT_ONCE = 500
"""Ended jobs that are listed at once."""


class Reads(Protocol):
    """Reads the store beside the event loop; implemented by the services."""

    async def run(self, lane: str, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T: ...


class _Named(msgspec.Struct):
    id: str


class _Read(msgspec.Struct):
    """One run, read from the store."""

    request: bytes
    complete: bool
    seen: str
    """The job's last change."""


def targets(config: TrackersConfig, root: Root) -> list[Target]:
    """The configured trackers."""
    folders = {"tensorboard": config.tensorboard, "wandb": config.wandb}
    addresses = {kind: str(root.path / Path(folder).expanduser()) for kind, folder in folders.items() if folder}
    if config.mlflow:
        addresses["mlflow"] = config.mlflow
    return [
        Target(kind, address, str(root.trackers / f"{kind}.lock"), config.timeout_s, whole=kind == "wandb")
        for kind, address in addresses.items()
    ]


def missing_library(kind: str) -> str:
    """Why a kind of tracker cannot be used, with the remedy; empty if it can."""
    library = LIBRARIES[kind]
    return "" if find_spec(library) else f"the library {library} is not installed: {installed.add(kind)}"


class Trackers:
    """The tasks of all trackers. Without one nothing runs."""

    def __init__(self, *, store: Store, root: Root, bus: EventBus, reads: Reads, config: TrackersConfig) -> None:
        self._bus = bus
        self._root = root
        self._feeds = [_Feed(store, reads, target) for target in targets(config, root)]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Continue what an earlier daemon has not written, and write from now on."""
        usable = []
        for feed in self._feeds:
            if missing := missing_library(feed.target.kind):
                log.warning("trackers.%s: no runs are written: %s", feed.target.kind, missing)
            else:
                usable.append(feed)
        if usable:
            self._root.trackers.mkdir(exist_ok=True, mode=0o700)
            self._tasks = [asyncio.create_task(self._listen(usable), name="changes of runs for trackers")]
            for feed in usable:
                self._tasks.append(asyncio.create_task(feed.serve(), name=f"runs to {feed.target.kind}"))

    async def stop(self) -> None:
        """End the tasks and their processes; the next daemon writes what is missing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for feed in self._feeds:
            await feed.close()

    async def _listen(self, feeds: list[_Feed]) -> None:
        async with self._bus.subscribe(None, looks=False) as stream:
            async for event in stream:
                for feed in feeds:
                    if event.type is EventType.JOB:
                        feed.changed(msgspec.json.decode(event.data, type=_Named).id)
                    elif event.type is EventType.RESET:
                        feed.missed()


class _Feed:
    """The runs of one tracker."""

    def __init__(self, store: Store, reads: Reads, target: Target) -> None:
        self.target = target
        self._store = store
        self._reads = reads
        self._helper = HelperProcess(MODULE, target.timeout_s)
        self._key = f"{target.kind} {hashlib.blake2b(target.address.encode(), digest_size=8).hexdigest()}"
        """Names the tracker in the store, without the secrets of an address."""
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._all = True
        """Whether to search the store for runs that were missed."""

    def changed(self, job_id: str) -> None:
        """A job has changed."""
        self._changed[job_id] = None
        self._wake.set()

    def missed(self) -> None:
        """Any job may have changed."""
        self._all = True
        self._wake.set()

    async def close(self) -> None:
        await self._helper.close()

    async def serve(self) -> None:
        """Write runs until cancelled."""
        folder = Path(self.target.address)
        if self.target.kind != "mlflow" and not await asyncio.to_thread(folder.exists):
            await self._kept(self._forget)  # the folder was removed to begin again
        while True:
            began = time.monotonic()
            if self._all:
                self._all = False
                await self._write_all()
            else:
                await self._wake.wait()
                self._wake.clear()
                while self._changed:
                    await self._write(next(iter(self._changed)))
            await asyncio.sleep(max(PACE_S, REST * (time.monotonic() - began)))

    async def _write_all(self) -> None:
        """Write the runs that are active, and those that have ended and are not recorded as complete."""
        self._changed.update(dict.fromkeys(await self._kept(self._active)))
        after = ("", "")
        while True:
            while self._changed:  # active runs do not wait for those of years
                await self._write(next(iter(self._changed)))
            found = await self._kept(self._behind, after)
            if not found:
                return
            after = found[-1]
            self._changed.update(dict.fromkeys(job_id for _, job_id in found))

    async def _write(self, job_id: str) -> None:
        """Write one run, however long that takes; one that cannot be written is logged, and left to the next daemon."""
        self._changed.pop(job_id, None)
        backoff = Backoff(longest_s=LONGEST_S)
        while True:
            read = await self._kept(self._reads.run, "trackers", self._read, job_id)
            if read is None or (self.target.whole and not read.complete):
                return
            try:
                error = (await self._helper.ask(read.request)).decode()
            except Rejected as rejected:
                error = str(rejected)
                if backoff.failures == ATTEMPTS:
                    log.warning("the run of job %s is not written to %s: %s", job_id, self.target.kind, error)
                    return
            except TimeoutError:
                error = f"it took more than trackers.timeout_s = {self.target.timeout_s:g} s"
            except (EOFError, OSError) as failed:
                error = str(failed)
            if not error:
                break
            if not backoff.failures:
                log.warning("runs are not written to %s: %s; retrying", self.target.kind, error)
            await backoff.wait()
        if backoff.failures:
            log.info("runs are written to %s again", self.target.kind)
        if read.complete:
            await self._kept(self._record, job_id, read.seen)

    def _read(self, job_id: str) -> _Read | None:
        """The request to write a run; None if it has not started or does not exist."""
        job = self._store.jobs.specified(job_id)
        if job is None or (job.attempt == 0 and job.kind is JobKind.RUN):
            return None
        complete = job.state.ended or job.state is State.PAUSED
        sweep = None if job.sweep_id is None else self._store.jobs.get(job.sweep_id)
        run = Run(
            id=job.id,
            owner_id=job.owner_id,
            owner_name=job.owner_name,
            network=job.network,
            action=job.action,
            release=job.release,
            state=str(job.state),
            reason=text(job.reason),
            complete=complete,
            attempt=job.attempt,
            created_on=job.created_on,
            started_at=job.started_at,
            ended_at=job.ended_at,
            sweep_id=job.sweep_id,
            sweep_action="" if sweep is None else sweep.action,
            trial=job.trial,
            metric=job.metric,
            metric_value=job.metric_value,
            spec=job.spec,
            resources=self._store.runs.used(job_id) if complete else None,
        )
        # The result stays the JSON that it is.
        fields = msgspec.structs.asdict(run) | {"result": msgspec.Raw(self._store.jobs.document(job_id).encode())}
        request = msgspec.json.encode({"target": self.target, "run": fields})
        return _Read(request, complete, job.last_modified)

    async def _active(self) -> list[str]:
        jobs = await self._reads.run("trackers", self._store.jobs.in_states, ON_DEVICE)
        return [job.id for job in jobs]

    async def _behind(self, after: tuple[str, str]) -> list[tuple[str, str]]:
        return await self._reads.run("trackers", self._store.tracked.behind, self._key, after, AT_ONCE)

    async def _record(self, job_id: str, seen: str) -> None:
        self._store.tracked.add(self._key, job_id, seen)

    async def _forget(self) -> None:
        self._store.tracked.forget(self._key)

    async def _kept(self, work: Callable[P, Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        """What `work` on the store returns, with retries."""
        faults = Backoff()
        while True:
            try:
                return await work(*arguments, **named)
            except (OSError, sqlite3.Error, TaodError) as error:
                faults.report(log, error, "runs for %s cannot be read now; retrying", self.target.kind)
            await faults.wait()
