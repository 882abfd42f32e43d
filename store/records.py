"""The rows of the store as Structs: what the repositories return and take. No SQL here, and no behaviour but views."""

from __future__ import annotations

from typing import Any

import msgspec

from taod.types.dataset import DatasetSummary
from taod.types.job import Job, JobView, Result
from taod.types.state import State


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
    """The registered folder of a linked data set; None: the root's own `datasets/<id>`."""
    summary: DatasetSummary | None = None


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


class JobRecord(msgspec.Struct):
    id: str
    user_id: str
    owner_kind: str
    """`model` or `dataset`."""
    owner_id: str
    owner_name: str
    """Read from the owner's row; not stored with the job."""
    network: str
    """The model's network_arch or the dataset's type."""
    action: str
    parent_id: str | None
    state: State
    reason: str
    created_on: str
    last_modified: str
    priority: int = 0
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
    warnings: list[str] = []

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
            reason=self.reason,
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
    owner_kind: str
    owner_id: str
    network: str
    action: str
    parent_id: str | None
    state: State
    reason: str
    created_on: str
    priority: int
    devices_wanted: int
    queued_at: str | None


class NewJob(msgspec.Struct):
    """A job about to be made."""

    id: str
    user_id: str
    owner_kind: str
    owner_id: str
    network: str
    action: str
    parent_id: str | None
    state: State
    """WAITING or QUEUED."""
    reason: str
    devices_wanted: int = 1
    priority: int = 0
    metric: str | None = None
    spec: dict[str, Any] | None = None
    warnings: list[str] = []


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
    """`runners.protocol.RunIdentity` as JSON, once the run is known to live; the store does not look into it."""
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: int | None = None


class JobFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a list wants; every field narrows."""

    user_id: str | None = None
    owner_kind: str | None = None
    owner_id: str | None = None
    states: frozenset[State] | None = None
    action: str | None = None
    network: str | None = None
    text: str | None = None
    """Case-insensitive part of id, action, network or owner's name."""


class ResourceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which data sets or models a list wants; every field narrows."""

    name: str | None = None
    """Case-insensitive part of the name."""
    type: str | None = None
    """A dataset's type, a model's dataset_type."""
    arch: str | None = None
    read_only: bool | None = None
