"""The outbox: writes the notifications of an event for the targets that get it, in the transaction of the event."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from store import Store
from store.records import JobRecord, NotificationRecord
from taod.clock import Clock, iso
from taod.config import NotifyConfig
from taod.ids import new_id
from taod.notify import targets, texts
from taod.notify.texts import Text
from taod.types.job import Result
from taod.types.notification import NotifyEvent
from taod.types.reason import Reason, ReasonCode
from taod.types.state import State
from taod.types.warning import Warning

DISK = "disk_full"
"""Key of the notification about the disk, while that is nearly full."""
DAY_S = 86_400.0


def host() -> str:
    """This machine's name, in the subject of each notification."""
    return socket.gethostname()


class Outbox:
    """Call its methods inside the transaction of the event. Without a target for the event they do nothing."""

    def __init__(self, store: Store, config: NotifyConfig, clock: Clock) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._host = host()
        self.added = {target.name: asyncio.Event() for target in config.target}
        """Set when a target has a new delivery. Waiting tasks run after the transaction, which never awaits."""

    def job_ended(self, job: JobRecord, result: Result) -> None:
        """A job is done or has failed; other ends, ends of trials, and ends with a failed parent are not notified."""
        if job.reason_code is ReasonCode.DEVICE_LOST and job.state is State.FAILED:
            self.device_lost(job, job.reason)
        if job.sweep_id is not None or job.reason_code is ReasonCode.PARENT_FAILED:
            return
        if job.state is State.DONE:
            self._add(NotifyEvent.DONE, job, lambda: texts.ended(self._host, job, result))
        elif job.state is State.FAILED:
            self._add(NotifyEvent.FAILED, job, lambda: texts.ended(self._host, job, result))

    def stalled(self, job: JobRecord, warning: Warning) -> None:
        """A run writes nothing."""
        self._add(NotifyEvent.STALLED, job, lambda: texts.stalled(self._host, job, warning))

    def device_lost(self, job: JobRecord, reason: Reason) -> None:
        """A run lost its GPU; once for each attempt."""
        key = f"device_lost {job.id} {job.attempt}"
        self._add(NotifyEvent.DEVICE_LOST, job, lambda: texts.device_lost(self._host, job, reason), key)

    def sweep_best(self, job: JobRecord, metric: str, value: float, trial: int, before: float | None) -> None:
        """A sweep has a better trial than before."""
        self._add(NotifyEvent.SWEEP_BEST, job, lambda: texts.sweep_best(self._host, job, metric, value, trial, before))

    def disk(self, folder: str, free_bytes: int) -> None:
        """The disk has so many bytes free: notified when it becomes nearly full, again only after it was not."""
        if free_bytes < self._config.disk_free_bytes:
            self._add(NotifyEvent.DISK_FULL, None, lambda: texts.disk_full(self._host, folder, free_bytes), DISK)
        elif free_bytes > self._config.disk_free_bytes * 1.1:
            self._store.notifications.release(DISK)

    def _add(self, event: NotifyEvent, job: JobRecord | None, text: Callable[[], Text], key: str | None = None) -> None:
        store, user, network = self._store.notifications, None, None
        if job is not None:
            found = self._store.users.get(job.user_id)
            user, network = "" if found is None else found.name, job.network
        names = targets.wanted(self._config.target, event, user=user, network=network)
        if not names:
            return
        now_s, written = self._clock.time(), text()
        record = NotificationRecord(
            id=new_id(),
            event=event,
            user_id=None if job is None else job.user_id,
            job_id=None if job is None else job.id,
            subject=written.subject,
            body=written.body,
            created_on=iso(now_s),
            key=key,
        )
        if store.add(record, names):
            store.prune(iso(now_s - self._config.keep_days * DAY_S))
            for name in names:
                self.added[name].set()
