"""Publishes every kind of event on the bus: one method for each, with its body and its recipients."""

from __future__ import annotations

from store.records import JobRecord
from taod.telemetry.bus import EventBus
from taod.types.dataset import CheckProgress, UploadProgress
from taod.types.device import Device
from taod.types.event import EventType, ResourceChange, StatusUpdate
from taod.types.job import JobUsage
from taod.types.queue import QueueState
from taod.types.tool import ToolProgress


class Publisher:
    """Publishes to the user concerned, or to all users where `user_id` is None."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def dataset(self, user_id: str, dataset_id: str, change: str, detail: str = "") -> None:
        self._bus.publish(EventType.DATASET, ResourceChange(dataset_id, change, detail), user_id=user_id)

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

    def status(self, user_id: str, update: StatusUpdate) -> None:
        self._bus.publish(EventType.STATUS, update, user_id=user_id)

    def tool(self, progress: ToolProgress) -> None:
        self._bus.publish(EventType.TOOL, progress, user_id=None)

    def usage(self, user_id: str, usage: JobUsage) -> None:
        self._bus.publish(EventType.USAGE, usage, user_id=user_id)

    def devices(self, devices: list[Device]) -> None:
        self._bus.publish(EventType.DEVICES, devices, user_id=None)

    def queue(self, state: QueueState) -> None:
        self._bus.publish(EventType.QUEUE, state, user_id=None)
