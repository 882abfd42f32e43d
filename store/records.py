"""The rows of the store as Structs: what the repositories return and take. No SQL here, and no behaviour but views."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.types import reason_text
from taod.types.common import OwnerKind
from taod.types.dataset import DatasetSummary
from taod.types.job import DataSeen, HistoryEntry, Job, JobKind, JobView, Result
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
    """A token as the store keeps it: never itself, only its SHA-256 (hex)."""

    id: str
    user_id: str
    kind: str
    """`bearer` (sent with every request) or `key` (given to the login endpoint)."""
    label: str
    created_on: str
    last_used_on: str | None = None
    """To the hour."""


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
    """The registered folder of a linked dataset; None: the root's own `datasets/<id>`."""
    summary: DatasetSummary | None = None
    parent_job: str | None = None
    """The job that made it; remembered when that is deleted."""
    parent_dataset: str | None = None
    """The dataset that it was made from; remembered likewise."""

    @property
    def has_data(self) -> bool:
        """Whether its files are there, in the root or in a linked folder."""
        return self.state in ("ready", "linked")


class ModelRecord(msgspec.Struct):
    """A model; also a pretrained one (`user_id` None, `ngc_path` set): an entry of the catalogue, or, not public, one
    that is seen by the users who registered weights for it."""

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
    """The release of the tools that its checkpoints are of; it decides parameters and command lines."""


class JobRecord(msgspec.Struct):
    id: str
    user_id: str
    owner_kind: OwnerKind
    """`model` or `dataset`."""
    owner_id: str
    owner_name: str
    """Read from the owner's row; not stored with the job."""
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
    """Device ids that it holds now or held last."""
    runner: str | None = None
    queued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    attempt: int = 0
    """How many runs were started; the current run's number. 0: never started."""
    stop_intent: str | None = None
    """`cancel` or `pause` from the request until the job has ended: survives the daemon."""
    metric: str | None = None
    metric_value: float | None = None
    progress: Result = msgspec.field(default_factory=Result)
    """The short result: without kpi, graphical and categorical."""
    spec: dict[str, Any] | None = None
    """The experiment spec as it was when the job was posted; None where the action takes none."""
    warnings: list[Warning] = []
    place: int = 0
    """Where it stands in its line of the queue: when it entered it, in nanoseconds since the epoch, unless moved."""
    retries: int = 0
    """How often it was tried again by itself since it was posted or resumed."""
    retry_at: str | None = None
    """When it is retried, while it is held for that."""
    site: str = ""
    """Where its runs are: empty for this machine's devices, else the id of the device that stands for a cluster."""
    asked_runner: str | None = None
    """The runner that was asked for by name when it was posted."""
    data: list[DataSeen] = []
    """What its last run saw of datasets."""
    sweep_id: str | None = None
    """The job of the sweep that this one is a trial of."""
    trial: int | None = None
    """Its number in that sweep, from 0."""
    trials: int | None = None
    """How many trials it has, where it is a sweep's; counted, not stored with the job."""
    release: str = BASE
    """The release of the tools that its specification is of."""

    @property
    def reason(self) -> Reason:
        """Why it is in its state."""
        return Reason(self.reason_code, self.reason_args)

    @property
    def reason_text(self) -> str:
        """The sentence of the reason."""
        return reason_text.text(self.reason)

    def view(self, result: Result | None = None) -> JobView:
        """What dashboards, lists and events show; with the whole result where one is given."""
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
        """The job as the HTTP contract has it."""
        return Job(
            id=self.id,
            action=self.action,
            parent_id=self.parent_id,
            status=self.state.public,
            created_on=self.created_on,
            last_modified=self.last_modified,
            result=result,
        )


class PendingJob(msgspec.Struct):
    """What decides about a job's turn, without the rest of it."""

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
        """Why it is in its state."""
        return Reason(self.reason_code, self.reason_args)


class HistoryRecord(msgspec.Struct, frozen=True):
    """A change of a job's state, or a note."""

    at: str
    state: State
    reason: Reason

    @property
    def reason_text(self) -> str:
        """The sentence of the reason."""
        return reason_text.text(self.reason)

    def view(self) -> HistoryEntry:
        """As clients read it."""
        return HistoryEntry(self.at, self.state, self.reason_text)


class HolderRecord(msgspec.Struct, frozen=True):
    """A job on devices, as far as the others' turn depends on it."""

    id: str
    user_id: str
    network: str
    action: str
    started_at: str | None
    """None: it is about to be started."""


class PauseRecord(msgspec.Struct, frozen=True):
    """That the whole queue is paused."""

    by: str
    """Name of the user who did it."""
    reason: str
    since: str


class NewJob(msgspec.Struct):
    """A job about to be made."""

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
    """The search of a sweep's job; the job has its state, its history and its result."""

    job_id: str
    settings: SweepSettings
    space: list[Dimension]
    notes: list[str]
    """What is not searched, and why."""
    base: dict[str, Any]
    """The specification that trials are made from."""
    devices: int
    """Devices that each trial wants."""
    seed: int
    began_at: str | None = None


class TrialRecord(msgspec.Struct):
    """One trial of a sweep."""

    sweep_id: str
    number: int
    """Counted from 0."""
    job_id: str | None
    """None once its job was deleted."""
    coordinates: dict[str, float]
    """Where it lies in the space: 0 to 1 for numbers, the place in the list for choices."""
    params: Values
    memory: dict[str, Any] = {}
    """What its proposer needs for its next proposals."""
    bracket: int = 0
    rung: int = 0
    epochs: int | None = None
    """Epochs at which this rung ends, all before it counted; None: as many as the specification says."""
    first_epochs: int = 0
    """Epochs that its checkpoint had been trained for when it began with another trial's."""
    source: int | None = None
    """The trial whose checkpoint it began with."""
    scores: dict[str, float] = {}
    """Epoch → value of the metric, as far as rungs have ended."""
    trained: int = 0
    """The last epoch that it has been trained for."""
    outcome: str = "open"
    """`open`, `done` (its rung), `failed`, `pruned` or `cancelled`."""
    reason_code: ReasonCode | None = None
    reason_args: dict[str, Any] = {}
    cleared: bool = False
    """Whether its checkpoints were deleted."""

    @property
    def reason(self) -> Reason | None:
        """Why it ended so; None where there is nothing to explain."""
        return None if self.reason_code is None else Reason(self.reason_code, self.reason_args)


class LeaseRecord(msgspec.Struct, frozen=True):
    """One slot of one device held by one job; a pair of device and slot is held once."""

    device_id: str
    slot: int
    job_id: str
    since: str


class RunRecord(msgspec.Struct):
    """One attempt: the process, in a form that a restarted daemon can find again."""

    job_id: str
    attempt: int
    runner: str
    command: list[str]
    environment: dict[str, str]
    """Only what taod set; secrets masked."""
    identity: bytes | None = None
    """`runners.protocol.RunIdentity` as JSON, once the run is known to live; opaque to the store."""
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a list wants; every field narrows."""

    user_id: str | None = None
    owner_kind: OwnerKind | None = None
    owner_id: str | None = None
    states: frozenset[State] | None = None
    action: str | None = None
    network: str | None = None
    text: str | None = None
    """Case-insensitive part of id, action, network or owner's name."""
    trials: bool | None = None
    """Only trials of sweeps, or only other jobs."""


class ResourceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which datasets or models a list wants; every field narrows."""

    name: str | None = None
    """Case-insensitive part of the name."""
    type: str | None = None
    """A dataset's type, a model's dataset_type."""
    arch: str | None = None
    read_only: bool | None = None
