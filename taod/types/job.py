"""Jobs: what a client posts, what it reads, and the result that telemetry fills during a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from taod.types.common import Id, Name, OwnerKind, Timestamp
from taod.types.release import BASE
from taod.types.state import State, Status
from taod.types.warning import Warning

Priority = Annotated[int, Meta(ge=-100, le=100)]


class JobKind(StrEnum):
    """What the scheduler does with a job."""

    RUN = "run"
    """Starts a process on devices."""
    SWEEP = "sweep"
    """Creates trials; it holds no device itself."""


class Kpi(msgspec.Struct):
    """One metric over epochs. `values` maps the epoch (as text) to the value; null where it was not finite."""

    metric: str
    values: dict[str, float | None] = {}


class Stat(msgspec.Struct):
    """One figure of a sweep, as text."""

    metric: str
    value: str


class Graphical(msgspec.Struct):
    """One curve for plotting, with the bounds of its axes."""

    metric: str
    values: dict[str, float | None] = {}
    x_min: int = 0
    x_max: int = 0
    y_min: float = 0.0
    y_max: float = 0.0
    units: str | None = None


class CategoryValue(msgspec.Struct):
    """The value of one category (a class, mostly); null where it was not finite."""

    category: str
    value: float | None = None


class Categorical(msgspec.Struct):
    """The latest value of one metric for each category."""

    metric: str
    category_wise_values: list[CategoryValue] = []


class AutomlFigure(msgspec.Struct):
    """One figure of the best trial of a sweep."""

    metric: str
    value: float | None = None


class DetailedStatus(msgspec.Struct):
    """The last word on the job: `message` says what happened; `status` is the tool's own last status."""

    date: str = ""
    time: str = ""
    status: str = ""
    message: str = ""


class Result(msgspec.Struct, omit_defaults=True):
    """What is known of a run, built from status.json. Times are `H:MM:SS` as the tools write them."""

    eta: str | None = None
    kpi: list[Kpi] = []
    epoch: int | None = None
    stats: list[Stat] = []
    cur_iter: int | None = None
    graphical: list[Graphical] = []
    max_epoch: int | None = None
    categorical: list[Categorical] = []
    automl_result: list[AutomlFigure] = []
    time_per_iter: str | None = None
    time_per_epoch: str | None = None
    detailed_status: DetailedStatus | None = None


class Job(msgspec.Struct):
    """A job as the HTTP contract has it."""

    id: Id
    action: str
    parent_id: Id | None
    status: Status
    created_on: Timestamp
    last_modified: Timestamp
    result: Result


class JobView(msgspec.Struct):
    """A job with everything that a dashboard shows; the answer of the all-jobs list and the body of job events.

    In lists and events `result` comes without its long parts (kpi, graphical, categorical).
    """

    id: Id
    action: str
    parent_id: Id | None
    status: Status
    created_on: Timestamp
    last_modified: Timestamp
    result: Result
    state: State
    reason: str
    """Why it is in this state, in words: what it waits for, or how it ended."""
    owner_kind: OwnerKind
    owner_id: Id
    owner_name: str
    network: str
    """Network architecture of the model, or type of the dataset."""
    priority: int = 0
    runner: str | None = None
    devices: list[str] = []
    """Ids of the devices that it holds now or held last."""
    queued_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    attempt: int = 0
    metric: str | None = None
    """Name of the metric shown first, where the network has one."""
    metric_value: float | None = None
    """Latest value of that metric."""
    kind: JobKind = JobKind.RUN
    devices_wanted: int = 1
    """0 for a sweep: its trials hold the devices."""
    position: int | None = None
    """Its number in the order of service of all queued jobs; only in answers, near the front."""
    sweep_id: Id | None = None
    """The sweep's job, where this one is a trial."""
    trial: int | None = None
    """The trial's number in its sweep."""
    trials: int | None = None
    """How many trials it has so far, where it is a sweep."""
    release: str = BASE
    """The release of the tools that its specification is of."""


class HistoryEntry(msgspec.Struct):
    """One change of state, or one note, in a job's life."""

    at: Timestamp
    state: State
    reason: str


class ProcessInfo(msgspec.Struct):
    """The process of a job's last run."""

    command: list[str] = []
    environment: dict[str, str] = {}
    """Only what taod set; secrets are masked."""
    pid: int | None = None
    started_at: str | None = None
    exit_code: int | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    gpu_memory_bytes: int | None = None


class DataSeen(msgspec.Struct):
    """A dataset as a job's last run saw it when it started."""

    role: str
    """`train`, `eval`, `inference`, `calibration`, or `own`: the dataset whose job it is."""
    dataset_id: Id
    name: str
    fingerprint: str | None = None
    """Of file names, sizes and times, as the dataset's summary has it; two that are the same are the same data."""
    linked: bool = False
    changed: bool = False
    """A linked folder was not any more what it had been when it was linked."""


class JobUsage(msgspec.Struct):
    """What all processes of a job's run use together; null where it is unknown."""

    job_id: Id
    cpu_percent: float | None = None
    """Of one core, since the sample before; 200 are two cores."""
    rss_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    processes: int = 0


class JobDetail(msgspec.Struct):
    """One job whole: the view with its full result, its history, its specification and its process."""

    job: JobView
    history: list[HistoryEntry] = []
    spec: dict[str, Any] | None = None
    process: ProcessInfo | None = None
    warnings: list[Warning] = []
    folder: str = ""
    """The job's folder on the daemon's machine."""
    children: list[Id] = []
    data: list[DataSeen] = []
    """What its last run saw of datasets."""


class JobRun(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a run request: the actions chain, each on the nearest earlier one that it may follow."""

    actions: Annotated[list[Name], Meta(max_length=100)]
    job: Id | None = None
    """Parent of the first action; null where the action's rule finds it."""
    runner: Name | None = None
    """Which runner is to run them, instead of the one that is configured; only the root's first user may say."""


class JobPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Change of a job that has not started: its place in the queue, its specification, whether it is held.

    `before`, `after` and `position` exclude each other; they move a queued job among its user's of its priority.
    """

    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    spec: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    held: bool | msgspec.UnsetType = msgspec.UNSET
    before: Id | msgspec.UnsetType = msgspec.UNSET
    """A queued job of the same priority."""
    after: Id | msgspec.UnsetType = msgspec.UNSET
    position: Literal["front", "back"] | msgspec.UnsetType = msgspec.UNSET
    devices_wanted: Annotated[int, Meta(ge=1, le=4096)] | msgspec.UnsetType = msgspec.UNSET
    """At most what its specification asks for."""


class Artifact(msgspec.Struct):
    """One file in a job's folder. `path` is relative to it."""

    path: str
    size_bytes: int
    modified_on: Timestamp
