"""Delivers the notifications of the outbox: one task for each target, one process for each attempt.

An attempt is recorded, then its process is started with a locked record file as its output. The process holds
the lock for as long as it lives, also without the daemon; it writes that it has started, and then how it ended. So the
next daemon knows of each attempt whether it lives, never began, or how it ended.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import msgspec

from runners.processes import readable
from store import Store
from store.records import Delivery, NotificationRecord
from taod import program
from taod.backoff import Backoff
from taod.clock import Clock, seconds_of
from taod.config import NotifyConfig, NotifyTargetConfig
from taod.errors import ConfigError, TaodError
from taod.notify import targets
from taod.notify.outbox import Outbox
from taod.notify.sender import STARTED, Message, Request, Result
from taod.paths import Root
from taod.types.notification import DeliveryState

log = logging.getLogger(__name__)

LONGEST_S = 300.0
"""Longest time between two attempts at a target."""
LATE_S = 5.0
"""Seconds beyond `notify.timeout_s` after which a process that has not ended itself is killed."""
HOUR_S = 3600.0
INTERRUPTED = Result("the attempt was interrupted before the target confirmed it")


def message(notification: NotificationRecord, key: str) -> Message:
    """The notification as webhooks and commands get it."""
    return Message(
        id=key,
        event=str(notification.event),
        subject=notification.subject,
        body=notification.body,
        created_on=notification.created_on,
        job=notification.job_id,
    )


def request(target: NotifyTargetConfig, text: Message, timeout_s: float) -> Request:
    """What a process needs to send `text` to a target. Raises ConfigError if the target's address is not there."""
    return Request(target.kind, targets.address(target), text, timeout_s)


class Deliveries:
    """The tasks of all targets. A target that does not answer delays its own notifications alone."""

    def __init__(self, *, store: Store, root: Root, outbox: Outbox, config: NotifyConfig, clock: Clock) -> None:
        self._store = store
        self._root = root
        self._outbox = outbox
        self._config = config
        self._clock = clock
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Continue what an earlier daemon began, and deliver from now on."""
        self._tasks = [
            asyncio.create_task(self._serve(target), name=f"notifications to {target.name}")
            for target in self._config.target
        ]
        self._tasks.append(asyncio.create_task(self._drop_others(), name="notifications to former targets"))

    async def stop(self) -> None:
        """Begin no more attempts; processes that send continue, and the next daemon reads how they ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _drop_others(self) -> None:
        backoff = Backoff()
        names = [target.name for target in self._config.target]
        while True:
            with backoff.passing(log, "notifications to former targets cannot be given up now; retrying"):
                return self._store.notifications.drop(names, "its target is not configured any more")
            await backoff.wait()

    async def _serve(self, target: NotifyTargetConfig) -> None:
        """Deliver to one target, in order, until cancelled."""
        store, added = self._store.notifications, self._outbox.added[target.name]
        faults, backoff = Backoff(), Backoff(longest_s=LONGEST_S)
        recovered = False
        while True:
            try:
                if not recovered:
                    await self._recover(target)
                    recovered = True
                added.clear()
                delivery = store.next(target.name)
                if delivery is None:
                    await added.wait()
                    continue
                store.begin(delivery.id)
                result = await self._attempt(target, delivery)
                await self._record(target, delivery, result)
                faults.reset()
            except (OSError, sqlite3.Error, TaodError) as error:
                faults.report(log, error, "notifications to %s cannot be sent now; retrying", target.name)
                recovered = False  # The state of the attempt may not be recorded.
                await faults.wait()
                continue
            if not result.error:
                if backoff.failures:
                    log.info("notifications to %s are delivered again", target.name)
                backoff.reset()
                continue
            if not backoff.failures:
                log.warning("notifications to %s are not delivered: %s; retrying", target.name, result.error)
            await backoff.wait()

    async def _attempt(self, target: NotifyTargetConfig, delivery: Delivery) -> Result:
        text = message(delivery.notification, delivery.id)
        try:
            wanted = await asyncio.to_thread(request, target, text, self._config.timeout_s)
        except ConfigError as error:
            return Result(str(error))
        return await run(self._root.sending / delivery.id, wanted)

    async def _record(self, target: NotifyTargetConfig, delivery: Delivery, result: Result) -> None:
        """Record how an attempt ended, with retries: the target has been served."""
        backoff = Backoff()
        age_s = self._clock.time() - seconds_of(delivery.notification.created_on)
        while True:
            with backoff.passing(log, "the delivery of a notification to %s cannot be recorded now", target.name):
                if not result.error:
                    self._store.notifications.end(delivery.id, DeliveryState.DELIVERED)
                elif age_s > self._config.give_up_hours * HOUR_S:
                    log.info("a notification to %s is given up: %s", target.name, result.error)
                    self._store.notifications.end(delivery.id, DeliveryState.FAILED, result.error)
                else:
                    self._store.notifications.end(delivery.id, DeliveryState.PENDING, result.error)
                break
            await backoff.wait()
        (self._root.sending / delivery.id).unlink(missing_ok=True)

    async def _recover(self, target: NotifyTargetConfig) -> None:
        """Record how the attempts ended that have no recorded end; of one that lives, wait for its end."""
        for delivery in self._store.notifications.sending(target.name):
            await self._record(target, delivery, await _end_of(self._root.sending / delivery.id))


async def run(record: Path, wanted: Request) -> Result:
    """Send in a process of its own. If this is cancelled, the process continues."""
    process = await asyncio.to_thread(_spawn, record, wanted)
    end = os.pidfd_open(process.pid)
    try:
        async with asyncio.timeout(wanted.timeout_s + LATE_S):
            await readable(end)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await readable(end)
    finally:
        os.close(end)
    process.wait()
    return _read(record)


def _spawn(record: Path, wanted: Request) -> subprocess.Popen[bytes]:
    file = os.open(record, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        process = subprocess.Popen(
            program.isolated("taod.notify.sender"),
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(file)
    assert process.stdin is not None
    with process.stdin:
        process.stdin.write(msgspec.json.encode(wanted))
    return process


async def _end_of(record: Path) -> Result:
    """How an earlier daemon's attempt ended."""
    try:
        file = os.open(record, os.O_RDONLY)
    except FileNotFoundError:
        return INTERRUPTED
    backoff = Backoff()
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await backoff.wait()
    finally:
        os.close(file)
    return _read(record)


def _read(record: Path) -> Result:
    """What a process has recorded."""
    try:
        return msgspec.json.decode(record.read_bytes().removeprefix(STARTED), type=Result)
    except msgspec.DecodeError:
        return INTERRUPTED
