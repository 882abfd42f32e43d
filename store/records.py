"""The rows of the store as Structs, which repositories take and return. No SQL, no behaviour except views."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.types import reason_text
from taod.types.common import OwnerKind
from taod.types.dataset import DatasetSummary
from taod.types.job import DataSeen, HistoryEntry, Job, JobKind, JobView, Result
from taod.types.notification import DeliveryState, NotifyEvent
from taod.types.reason import Reason, ReasonCode
from taod.types.release import BASE
from taod.types.state import State
from taod.types.sweep import Dimension, SweepSettings, Values
from taod.types.warning import Warning


class UserRecord(msgspec.Struct, frozen=True):
    id: str
    name: str
    created_on: str


class TokenRecord(msgspec.Struct, frozen=True):
    """The metadata of a token; the store has only its SHA-256."""

    id: str
    user_id: str
    kind: str
    """`bearer` (sent with every request) or `key` (given to the login endpoint)."""
    label: str
    created_on: str
    last_used_on: str | None = None
    """Rounded to the hour."""


WITH_DATA = ("ready", "linked")
"""States of a dataset that has files, in the root or in a linked folder."""


class DatasetRecord(msgspec.Struct):
    id: str
    user_id: str
    name: str
    description: str
    logo: str
    version: str
    type: str
    format: str
    created_on: str
    last_modified: str
    state: str = "empty"
    """`empty`, `uploading`, `ready` or `linked`."""
    path: str | None = None
    """Folder of a linked dataset; None: `datasets/<id>` in the root."""
    summary: DatasetSummary | None = None
    parent_job: str | None = None
    """The job that created it; kept when that job is deleted."""
    parent_dataset: str | None = None
    """The dataset that it was derived from; kept when that dataset is deleted."""

    @property
    def has_data(self) -> bool:
        """Whether it has files, in the root or in a linked folder."""
        return self.state in WITH_DATA


class ModelRecord(msgspec.Struct):
    """A model, or a pretrained model (`user_id` None, `ngc_path` set). A pretrained model is public if it is in the
    catalogue; otherwise the users who registered weights for it can see it."""

    id: str
    user_id: str | None
    network_arch: str
    name: str
    description: str
    logo: str
    version: str
    created_on: str
    last_modified: str
    dataset_type: str
    encryption_key: str = "tlt_encode"
    public: bool = False
    read_only: bool = False
    ngc_path: str = ""
    additional_id_info: str | None = None
    ptm: list[str] = []
    train_datasets: list[str] = []
    eval_dataset: str | None = None
    inference_dataset: str | None = None
    calibration_dataset: str | None = None
    metric: str = "kpi"
    automl_enabled: bool = False
    automl_algorithm: str | None = None
    automl_max_recommendations: int = 20
    automl_delete_intermediate_ckpt: bool = False
    automl_R: int = 27
    automl_nu: int = 3
    epoch_multiplier: int = 1
    automl_add_hyperparameters: str = "[]"
    automl_remove_hyperparameters: str = "[]"
    release: str = BASE
    """The tools' release of its checkpoints; parameters and command lines depend on it."""


class JobRecord(msgspec.Struct):
    id: str
    user_id: str
    owner_kind: OwnerKind
    """`model` or `dataset`."""
    owner_id: str
    owner_name: str
    """Joined from the owner's row."""
    network: str
    """The model's network_arch or the dataset's type."""
    action: str
    parent_id: str | None
    state: State
    reason_code: ReasonCode
    created_on: str
    last_modified: str
    reason_args: dict[str, Any] = {}
    priority: int = 0
    kind: JobKind = JobKind.RUN
    devices_wanted: int = 1
    devices: list[str] = []
    """Device ids of the current or last run."""
    runner: str | None = None
    queued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    attempt: int = 0
    """Number of runs started, and the number of the current run. 0: never started."""
    stop_intent: str | None = None
    """`cancel` or `pause`, from the request until the job has ended; a restarted daemon continues the stop."""
    metric: str | None = None
    metric_value: float | None = None
    progress: Result = msgspec.field(default_factory=Result)
    """The short result: without kpi, graphical and categorical."""
    warnings: list[Warning] = []
    place: int = 0
    """Position in its line of the queue: the time of queueing in nanoseconds since the epoch, unless moved."""
    retries: int = 0
    """Number of automatic retries since it was posted or resumed."""
    retry_at: str | None = None
    """Time of the next retry, while it is held for one."""
    site: str = ""
    """Where it runs: empty for devices of this machine, else the device id of a cluster."""
    asked_runner: str | None = None
    """The runner that the request named."""
    data: list[DataSeen] = []
    """The states of the datasets that its last run read."""
    sweep_id: str | None = None
    """The sweep's job, if this is a trial."""
    trial: int | None = None
    """Number of the trial in its sweep, from 0."""
    trials: int | None = None
    """Number of trials, if this is a sweep; computed."""
    release: str = BASE
    """The tools' release of its specification."""

    @property
    def reason(self) -> Reason:
        """Why the job is in its state."""
        return Reason(self.reason_code, self.reason_args)

    @property
    def reason_text(self) -> str:
        """The reason as a sentence."""
        return reason_text.text(self.reason)

    def view(self, result: Result | None = None) -> JobView:
        """The job for dashboards, lists and events; with the short result unless a full one is given."""
        return JobView(
            id=self.id,
            action=self.action,
            parent_id=self.parent_id,
            status=self.state.public,
            created_on=self.created_on,
            last_modified=self.last_modified,
            result=self.progress if result is None else result,
            state=self.state,
            reason=self.reason_text,
            owner_kind=self.owner_kind,
            owner_id=self.owner_id,
            owner_name=self.owner_name,
            network=self.network,
            priority=self.priority,
            runner=self.runner,
            devices=self.devices,
            queued_at=self.queued_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            attempt=self.attempt,
            metric=self.metric,
            metric_value=self.metric_value,
            kind=self.kind,
            devices_wanted=self.devices_wanted,
            sweep_id=self.sweep_id,
            trial=self.trial,
            trials=self.trials,
            release=self.release,
        )

    def public(self, result: Result) -> Job:
        """The job in the form of the HTTP contract."""
        return Job(
            id=self.id,
            action=self.action,
            parent_id=self.parent_id,
            status=self.state.public,
            created_on=self.created_on,
            last_modified=self.last_modified,
            result=result,
        )


class SpecifiedJob(JobRecord):
    """A job with its specification, which may take milliseconds to read."""

    spec: dict[str, Any] | None = None
    """The experiment spec at the time of the request; None if the action takes none."""


class PendingJob(msgspec.Struct):
    """The fields of a job that scheduling decisions depend on."""

    id: str
    user_id: str
    owner_kind: OwnerKind
    owner_id: str
    network: str
    action: str
    parent_id: str | None
    state: State
    reason_code: ReasonCode
    created_on: str
    priority: int
    devices_wanted: int
    queued_at: str | None
    site: str = ""
    place: int = 0
    reason_args: dict[str, Any] = {}
    kind: JobKind = JobKind.RUN

    @property
    def reason(self) -> Reason:
        """Why the job is in its state."""
        return Reason(self.reason_code, self.reason_args)


class HistoryRecord(msgspec.Struct, frozen=True):
    """A change of a job's state, or a note."""

    at: str
    state: State
    reason: Reason

    @property
    def reason_text(self) -> str:
        """The reason as a sentence."""
        return reason_text.text(self.reason)

    def view(self) -> HistoryEntry:
        """The entry for clients."""
        return HistoryEntry(self.at, self.state, self.reason_text)


class HolderRecord(msgspec.Struct, frozen=True):
    """The fields of a job on devices that decisions about other jobs depend on."""

    id: str
    user_id: str
    network: str
    action: str
    started_at: str | None
    """None: not started yet."""


class PauseRecord(msgspec.Struct, frozen=True):
    """The pause of the queue."""

    by: str
    """Name of the user who paused it."""
    reason: str
    since: str


class NewJob(msgspec.Struct):
    """A job to insert."""

    id: str
    user_id: str
    owner_kind: OwnerKind
    owner_id: str
    network: str
    action: str
    parent_id: str | None
    state: State
    """WAITING or QUEUED."""
    reason: Reason
    kind: JobKind = JobKind.RUN
    devices_wanted: int = 1
    priority: int = 0
    metric: str | None = None
    spec: dict[str, Any] | None = None
    warnings: list[Warning] = []
    site: str = ""
    asked_runner: str | None = None
    sweep_id: str | None = None
    trial: int | None = None
    release: str = BASE


class SweepRecord(msgspec.Struct):
    """The search of a sweep; state, history and result are in the sweep's job."""

    job_id: str
    settings: SweepSettings
    space: list[Dimension]
    notes: list[str]
    """Parameters that are not searched, with the reason."""
    base: dict[str, Any]
    """The specification that trials are based on."""
    devices: int
    """Devices per trial."""
    seed: int
    began_at: str | None = None
    best: float | None = None
    """The best score of a trial so far; a notification reports each better one."""


class TrialRecord(msgspec.Struct):
    """One trial of a sweep."""

    sweep_id: str
    number: int
    """Counted from 0."""
    job_id: str | None
    """None if its job was deleted."""
    coordinates: dict[str, float]
    """Position in the search space: 0 to 1 for numbers, the index in the list for choices."""
    params: Values
    memory: dict[str, Any] = {}
    """State of its proposer for the next proposals."""
    bracket: int = 0
    rung: int = 0
    epochs: int | None = None
    """Total epochs at the end of this rung; None: as in the specification."""
    first_epochs: int = 0
    """Epochs of the checkpoint that it started from, if that was another trial's."""
    source: int | None = None
    """The trial whose checkpoint it started from."""
    scores: dict[str, float] = {}
    """Epoch → metric value, of the rungs that have ended."""
    trained: int = 0
    """The last epoch trained."""
    outcome: str = "open"
    """`open`, `done` (with its rung), `failed`, `pruned` or `cancelled`."""
    reason_code: ReasonCode | None = None
    reason_args: dict[str, Any] = {}
    cleared: bool = False
    """Whether its checkpoints were deleted."""

    @property
    def reason(self) -> Reason | None:
        """Why it has this outcome; None if there is nothing to explain."""
        return None if self.reason_code is None else Reason(self.reason_code, self.reason_args)


class LeaseRecord(msgspec.Struct, frozen=True):
    """One slot of one device, held by one job; (device, slot) is unique."""

    device_id: str
    slot: int
    job_id: str
    since: str


class RunRecord(msgspec.Struct):
    """One attempt of a job, with what a restarted daemon needs to find its process."""

    job_id: str
    attempt: int
    runner: str
    command: list[str]
    environment: dict[str, str]
    """Only the variables that taod set; secrets are masked."""
    identity: bytes | None = None
    """`runners.protocol.RunIdentity` as JSON, once the run is known to be alive; opaque to the store."""
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None
    energy_start: dict[str, float] = {}
    """GPU → its counter of energy at the start, in joules."""
    energy_wh: float | None = None
    """Of its GPUs since the start."""
    energy_shared: bool = False
    """Whether other runs may have used these GPUs meanwhile."""
    peak_rss_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None


class NotificationRecord(msgspec.Struct, frozen=True):
    """What targets are notified of."""

    id: str
    event: NotifyEvent
    user_id: str | None
    """The user of its job; None: it concerns all users."""
    job_id: str | None
    subject: str
    body: str
    created_on: str
    key: str | None = None
    """No other notification has it: an event that is seen again causes no second one."""


class Delivery(msgspec.Struct, frozen=True):
    """A notification for one target."""

    id: str
    target: str
    state: DeliveryState
    attempts: int
    notification: NotificationRecord


class TargetSummary(msgspec.Struct, frozen=True):
    """How the deliveries to a target went."""

    undelivered: int
    failed: int
    """Given up since the last delivered one."""
    error: str
    """Of the last attempt; empty if that succeeded."""
    delivered_on: str | None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs to list; all conditions must hold."""

    user_id: str | None = None
    owner_kind: OwnerKind | None = None
    owner_id: str | None = None
    states: frozenset[State] | None = None
    action: str | None = None
    network: str | None = None
    text: str | None = None
    """Case-insensitive substring of id, action, network or owner's name."""
    trials: bool | None = None
    """True: only trials of sweeps; False: only other jobs."""
    dataset: str | None = None
    """Id of a dataset that the job's last run read."""


class ResourceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The datasets or models to list; all conditions must hold."""

    name: str | None = None
    """Case-insensitive substring of the name."""
    type: str | None = None
    """`type` of a dataset, `dataset_type` of a model."""
    arch: str | None = None
    read_only: bool | None = None
