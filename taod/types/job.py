"""Jobs: request and response bodies, and the result that telemetry fills during a run."""

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
    """Creates trials; it leases no device itself."""


class Kpi(msgspec.Struct):
    """One metric over epochs. `values` maps the epoch (as text) to the value; null if it was not finite."""

    metric: str
    values: dict[str, float | None] = {}


class Stat(msgspec.Struct):
    """One statistic of a sweep, or what a run says of its model, as text."""

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
    """The value of one category, mostly a class; null if it was not finite."""

    category: str
    value: float | None = None


class Categorical(msgspec.Struct):
    """The latest value of one metric for each category."""

    metric: str
    category_wise_values: list[CategoryValue] = []


class AutomlFigure(msgspec.Struct):
    """One value of the best trial of a sweep."""

    metric: str
    value: float | None = None


class DetailedStatus(msgspec.Struct):
    """The latest status: `message` describes what happened; `status` is the tool's own last status."""

    date: str = ""
    time: str = ""
    status: str = ""
    message: str = ""


class Result(msgspec.Struct, omit_defaults=True):
    """Result of a run, read from status.json. Times are `H:MM:SS` as the tools write them."""

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
    """A job as defined by the HTTP contract."""

    id: Id
    action: str
    parent_id: Id | None
    status: Status
    created_on: Timestamp
    last_modified: Timestamp
    result: Result | msgspec.Raw
    """In the daemon's lists the JSON that the store has; decoding an answer gives a Result. `reported` reads both."""

    @property
    def reported(self) -> Result:
        """The result, decoded if it is JSON."""
        return msgspec.json.decode(self.result, type=Result) if isinstance(self.result, msgspec.Raw) else self.result


class JobView(msgspec.Struct):
    """A job with all that a dashboard shows: an item of the list of all jobs, and the body of job events.

    In lists and events `result` lacks its long parts (kpi, graphical, categorical).
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
    """Why it is in this state, as text: what it waits for, or how it ended."""
    owner_kind: OwnerKind
    owner_id: Id
    owner_name: str
    network: str
    """Network architecture of the model, or type of the dataset."""
    priority: int = 0
    runner: str | None = None
    devices: list[str] = []
    """Ids of the devices that it leases now or leased last."""
    queued_at: Timestamp | None = None
    started_at: Timestamp | None = None
    ended_at: Timestamp | None = None
    attempt: int = 0
    metric: str | None = None
    """Name of the main metric, if the network has one."""
    metric_value: float | None = None
    """Latest value of that metric."""
    kind: JobKind = JobKind.RUN
    devices_wanted: int = 1
    """0 for a sweep: its trials lease the devices."""
    position: int | None = None
    """Queue position among all queued jobs; only in answers, and only near the front."""
    sweep_id: Id | None = None
    """The sweep's job, if this one is a trial."""
    trial: int | None = None
    """The trial's number in its sweep."""
    trials: int | None = None
    """Number of trials so far, if it is a sweep."""
    release: str = BASE
    """The release of the tools that its specification is of."""


class HistoryEntry(msgspec.Struct):
    """One change of state, or one note, in a job's history."""

    at: Timestamp
    state: State
    reason: str


class ProcessInfo(msgspec.Struct):
    """The process of a job's last run."""

    command: list[str] = []
    environment: dict[str, str] = {}
    """Only variables set by taod; secrets are masked."""
    pid: int | None = None
    started_at: str | None = None
    exit_code: int | None = None
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    gpu_memory_bytes: int | None = None


class DataSeen(msgspec.Struct):
    """State of a dataset when a job's last run started."""

    role: str
    """`train`, `eval`, `inference`, `calibration`, or `own`: the dataset that the job belongs to."""
    dataset_id: Id
    name: str
    fingerprint: str | None = None
    """Fingerprint of file names, sizes and times, as in the dataset's summary; equal fingerprints mean equal data."""
    linked: bool = False
    changed: bool = False
    """Whether a linked folder had changed since it was linked."""


class JobUsage(msgspec.Struct):
    """Total resource usage of all processes of a run; unknown values are null."""

    job_id: Id
    cpu_percent: float | None = None
    """In percent of one core, since the previous sample; 200 is two cores."""
    rss_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    processes: int = 0


class JobResources(msgspec.Struct):
    """What all attempts of a job have used so far, of a sweep all its trials; unknown values are null."""

    energy_wh: float | None = None
    """Watt-hours of its GPUs, by their own counters, from the start to the end of each attempt."""
    energy_shared: bool = False
    """Whether the energy is the whole device's, which other runs may have used meanwhile (shared GPUs, MIG)."""
    peak_rss_bytes: int | None = None
    """Most memory of all processes of an attempt together, as sampled."""
    peak_gpu_memory_bytes: int | None = None

    @property
    def energy(self) -> str | None:
        """The energy as text; None if it is unknown."""
        if self.energy_wh is None:
            return None
        amount = f"{self.energy_wh:,.1f} Wh" if self.energy_wh >= 1 else f"{self.energy_wh:.3g} Wh"
        return f"{amount}, of the whole device, which other runs share" if self.energy_shared else amount


class JobDetail(msgspec.Struct):
    """One job in full: the view with its full result, history, specification and process."""

    job: JobView
    history: list[HistoryEntry] = []
    spec: dict[str, Any] | None = None
    process: ProcessInfo | None = None
    warnings: list[Warning] = []
    folder: str = ""
    """The job's folder on the daemon's machine."""
    children: list[Id] = []
    data: list[DataSeen] = []
    """Datasets of its last run."""
    resources: JobResources | None = None


class JobRun(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of a run request: a chain of actions; each one's parent is the nearest earlier one that it may
    follow."""

    actions: Annotated[list[Name], Meta(max_length=100)]
    job: Id | None = None
    """Parent of the first action; null: found by the action's rule."""
    runner: Name | None = None
    """The runner to use instead of the configured one; only the root's first user may set it."""


class JobPatch(msgspec.Struct, forbid_unknown_fields=True):
    """Change of a job that has not started: its queue position, its specification, whether it is held.

    `before`, `after` and `position` exclude each other; they move a queued job among its user's jobs of its priority.
    """

    priority: Priority | msgspec.UnsetType = msgspec.UNSET
    spec: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    held: bool | msgspec.UnsetType = msgspec.UNSET
    before: Id | msgspec.UnsetType = msgspec.UNSET
    """A queued job of the same priority."""
    after: Id | msgspec.UnsetType = msgspec.UNSET
    position: Literal["front", "back"] | msgspec.UnsetType = msgspec.UNSET
    devices_wanted: Annotated[int, Meta(ge=1, le=4096)] | msgspec.UnsetType = msgspec.UNSET
    """At most the number in its specification."""


class Artifact(msgspec.Struct):
    """One file in a job's folder. `path` is relative to it."""

    path: str
    size_bytes: int
    modified_on: Timestamp
