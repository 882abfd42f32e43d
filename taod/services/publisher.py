"""Telling listeners that a dataset, a model or a job changed."""

from __future__ import annotations

from collections.abc import Callable

from store.records import JobRecord
from taod.telemetry.bus import EventBus
from taod.types.dataset import CheckProgress, UploadProgress
from taod.types.event import EventType, ResourceChange


class Announcer:
    """Publishes changes on the event bus, each to the user whom it concerns."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.on_dataset: list[Callable[[str, str, str], None]] = []
        """Told within the daemon: user, dataset, change."""

    def dataset(self, user_id: str, dataset_id: str, change: str, detail: str = "") -> None:
        self._bus.publish(EventType.DATASET, ResourceChange(dataset_id, change, detail), user_id=user_id)
        for told in self.on_dataset:
            told(user_id, dataset_id, change)

    def upload(self, user_id: str, progress: UploadProgress) -> None:
        self._bus.publish(EventType.UPLOAD, progress, user_id=user_id)

    def check(self, user_id: str, progress: CheckProgress) -> None:
        self._bus.publish(EventType.CHECK, progress, user_id=user_id)

    def model(self, user_id: str | None, model_id: str, change: str) -> None:
        self._bus.publish(EventType.MODEL, ResourceChange(model_id, change), user_id=user_id)

    def job(self, job: JobRecord) -> None:
        self._bus.publish(EventType.JOB, job.view(), user_id=job.user_id)

    def job_deleted(self, user_id: str, job_id: str) -> None:
        self._bus.publish(EventType.JOB_DELETED, ResourceChange(job_id, "deleted"), user_id=user_id)
