"""Events of the stream `GET …/events`: each has an id, a type (the SSE event name) and a JSON body."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EventType(StrEnum):
    """Names of events, with their bodies."""

    JOB = "job"
    """JobView: a job was created, or its state, reason, progress or priority changed."""
    STATUS = "status"
    """StatusUpdate: a run wrote a line to its status.json."""
    DEVICES = "devices"
    """list[Device]: telemetry or leases changed."""
    DATASET = "dataset"
    """ResourceChange."""
    UPLOAD = "upload"
    """UploadProgress of an upload into a dataset, about ten times a second; the last one reports how it ended."""
    CHECK = "check"
    """CheckProgress of the full check of a dataset, a few times a second; the last one reports how it ended."""
    MODEL = "model"
    """ResourceChange."""
    JOB_DELETED = "job_deleted"
    """ResourceChange."""
    QUEUE = "queue"
    """QueueState: the whole queue was paused or resumed."""
    TOOL = "tool"
    """ToolProgress of an installation or a check of a tool; the last one reports how it ended."""
    USAGE = "usage"
    """JobUsage: resource usage of a run, every few seconds while a client listens."""
    RESET = "reset"
    """{}: events were missed; read everything again."""


class ResourceChange(msgspec.Struct):
    """A resource was created, changed or deleted."""

    id: str
    change: str
    """`created`, `updated`, `deleted`, `uploading`, `uploaded` or `checked`."""
    detail: str = ""


class StatusUpdate(msgspec.Struct, omit_defaults=True):
    """One line of status.json."""

    job_id: str
    status: str = ""
    message: str = ""
    epoch: int | None = None
    max_epoch: int | None = None
    cur_iter: int | None = None
    eta: str | None = None
    time_per_epoch: str | None = None
    kpi: dict[str, float | None] = {}
    graphical: dict[str, float | None] = {}
