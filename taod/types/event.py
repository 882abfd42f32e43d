"""Events of the stream `GET …/events`: each has an id, a type (the SSE event name) and a JSON body."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EventType(StrEnum):
    """Names of events, each with the body it carries."""

    JOB = "job"
    """JobView: a job was made or its state, reason, progress or priority changed."""
    STATUS = "status"
    """StatusUpdate: a run wrote a line to its status.json."""
    DEVICES = "devices"
    """list[Device]: telemetry or leases changed."""
    DATASET = "dataset"
    """ResourceChange."""
    UPLOAD = "upload"
    """UploadProgress: how far an upload into a dataset is, some ten times a second; the last one says how it ended."""
    CHECK = "check"
    """CheckProgress: how far the full check of a dataset is, a few times a second; the last one says how it ended."""
    MODEL = "model"
    """ResourceChange."""
    JOB_DELETED = "job_deleted"
    """ResourceChange."""
    QUEUE = "queue"
    """QueueState: the whole queue was paused or opened."""
    TOOL = "tool"
    """ToolProgress: how far an installation or a check of a tool is; the last one reports how it ended."""
    USAGE = "usage"
    """JobUsage: what a run uses, every few seconds while a client listens."""
    RESET = "reset"
    """{}: events were missed; read everything again."""


class ResourceChange(msgspec.Struct):
    """Something was made, changed or deleted."""

    id: str
    change: str
    """`created`, `updated`, `deleted`, `uploading`, `uploaded` or `checked`."""
    detail: str = ""


class StatusUpdate(msgspec.Struct, omit_defaults=True):
    """One line of status.json, as read."""

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
