"""Why a job is in its state, as data: a code with arguments. `reason_text.py` renders it as text."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from taod.types.state import State
from taod.types.warning import Warning


class ReasonCode(StrEnum):
    """Codes of reasons. Programs recognise a reason by its code, never by its text. Arguments are in braces."""

    RECORDED = "recorded"
    """Kept as text by an earlier version. {text}"""

    # Before the queue
    POSTED = "posted"
    PARENT = "parent"
    """Waits for its parent. {job, action, state}; `state` only if the parent is paused or held."""
    DATA_UPLOADING = "data_uploading"
    """{role, dataset}"""
    DATA_MISSING = "data_missing"
    """{role, dataset}"""
    DATA_CONVERTING = "data_converting"
    """{role, dataset, job, action, held}"""
    DATA_UNKNOWN = "data_unknown"
    """{error}"""
    RELEASED = "released"

    # In the queue
    QUEUED = "queued"
    TURN = "turn"
    """Too far back in the queue for a precise reason."""
    QUEUE_PAUSED = "queue_paused"
    """{by, message}"""
    LIMIT_RUNNING = "limit_running"
    """{running}"""
    LIMIT_USER = "limit_user"
    """{running}"""
    DEVICES = "devices"
    """{wanted, alone, devices, leased, holders, kept_for, unavailable, overtaken_with}; a holder is {job, action}, or
    empty for another user's job; an unavailable device is {device, fault}, as below."""
    DEVICE_UNFIT = "device_unfit"
    """{device, fault}; `fault` is a reason of devices as a document."""
    CLUSTER = "cluster"
    """{cluster, slots}"""
    RESUMED = "resumed"
    RETRY = "retry"
    """{retry, retries}"""
    RESTARTED = "restarted"
    """The daemon was restarted before the run was started."""
    NOT_STARTED = "not_started"
    """{at}"""
    TRIAL = "trial"
    """{trial, sweep}"""
    TRIAL_PROMOTED = "trial_promoted"
    """{epochs}"""
    SWEEP_RESUMED = "sweep_resumed"

    # Held
    HELD = "held"
    """By the user."""
    RETRY_LATER = "retry_later"
    """{retry, retries, pause_s, failure}; `failure` is a reason as a document."""
    SWEEP_HELD = "sweep_held"

    # On devices
    LEASED = "leased"
    """{devices}"""
    LEASED_CLUSTER = "leased_cluster"
    """{cluster}"""
    LEASED_NOTHING = "leased_nothing"
    STARTING = "starting"
    """{runner}"""
    RUNNING = "running"
    """{runner}"""
    SWEEP_STARTING = "sweep_starting"
    SWEEP_RUNNING = "sweep_running"
    STOPPING = "stopping"
    """{intent}"""
    ENDED = "ended"

    # Stopped or done
    DONE = "done"
    """{message}"""
    PAUSED = "paused"
    """{epoch}"""
    SWEEP_PAUSED = "sweep_paused"
    """{ended, planned, metric, value, trial}"""
    CANCELLED = "cancelled"
    """{by}"""
    PARENT_CANCELLED = "parent_cancelled"
    """{job, action}"""
    SWEEP_DONE = "sweep_done"
    """{trial, trials, metric, value, why, checkpoint}; `why` is a reason as a document."""

    # Failed
    NO_DEVICES = "no_devices"
    TOO_MANY_DEVICES = "too_many_devices"
    """{wanted, available, kind, instances}"""
    PARENT_FAILED = "parent_failed"
    """{job, action}"""
    PARENT_DELETED = "parent_deleted"
    START_FAILED = "start_failed"
    """{error}"""
    FAULT = "fault"
    """{error}; an error in taod itself."""
    PREPARE_FAILED = "prepare_failed"
    """{error}"""
    ENDED_BEFORE_START = "ended_before_start"
    RUN_LOST = "run_lost"
    """{error}"""
    RUN_UNRECORDED = "run_unrecorded"
    REPORTED = "reported"
    """By the tool itself. {message}"""
    NO_SUCCESS = "no_success"
    """Exit code 0 without a reported success. {status, message, explanation, log}"""
    EXIT_UNKNOWN = "exit_unknown"
    """{detail, explanation, log}"""
    EXIT = "exit"
    """{exit_code, detail, memory, after_success, explanation, log}"""
    TIME_LIMIT = "time_limit"
    """{limit_s, explanation, log}"""
    STALLED = "stalled"
    """{limit_s, stopped, explanation, log}"""
    DEVICE_LOST = "device_lost"
    """{devices, explanation, log}; a device is {name, id}."""
    SWEEP_FAILED = "sweep_failed"
    """{trials, count, cause}; `cause` is a reason as a document, absent if no trial was done."""
    SWEEP_EMPTY = "sweep_empty"
    """Stopped early, before any trial had a value."""

    # Of trials
    JOB_DELETED = "job_deleted"
    NO_METRIC = "no_metric"
    """{metric, reported}"""
    NOT_FINITE = "not_finite"
    """{metric, epoch}"""
    PRUNED = "pruned"
    """By its sweep. {why}; a reason as a document."""
    WORSE_THAN_MEDIAN = "worse_than_median"
    """{others, epoch}"""
    SWEEP_ENDED_EARLY = "sweep_ended_early"

    # Of the end of a sweep
    ALL_TRIED = "all_tried"
    FIRST_FAILED = "first_failed"
    """{count}"""
    EPOCHS_SPENT = "epochs_spent"
    """{epochs}"""
    HOURS_SPENT = "hours_spent"
    """{hours}"""
    NO_IMPROVEMENT = "no_improvement"
    """{trials}"""
    STOPPED_EARLY = "stopped_early"

    # Of devices
    DEVICE_SILENT = "device_silent"
    """Its driver no longer responds for it."""
    DEVICE_FOREIGN = "device_foreign"
    """{processes, more}; a process is {pid, name}, with an empty name if it cannot be read."""
    DEVICE_MEMORY = "device_memory"
    """{free_gib, total_gib, wanted_gib}"""

    # Notes in a history
    WARNING = "warning"
    """{warning}; a warning as a document."""
    CHANGED = "changed"
    """By the user. {field, before, after}; of a move {field: position, place, job, action}."""
    REPORTS_AGAIN = "reports_again"
    SURVIVORS = "survivors"
    """Processes that outlived their run. {processes}"""
    MEMORY_UNLIMITED = "memory_unlimited"
    """{fault}"""
    SAMPLER = "sampler"
    """{text}"""


class Actor(StrEnum):
    """Who cancelled a job."""

    USER = "user"
    SWEEP = "sweep"
    """The sweep of a trial; a resume of the sweep resumes it."""
    PRUNING_SWEEP = "pruning_sweep"
    """The sweep of a trial, which is not resumed; the reason has `why`, a reason as a document."""
    MODEL_DELETION = "model_deletion"
    DATASET_DELETION = "dataset_deletion"
    DAEMON = "daemon"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a job is in its state, how a trial ended, or the content of a history note."""

    code: ReasonCode
    arguments: dict[str, Any] = {}
    """Values for the text, by name; plain JSON values."""

    def document(self) -> dict[str, Any]:
        """The reason as a JSON object, for use as an argument of another reason."""
        return {"code": str(self.code), "arguments": self.arguments}


def from_document(document: dict[str, Any]) -> Reason:
    """The inverse of `Reason.document`."""
    return msgspec.convert(document, Reason)


OF_THE_TOOL = frozenset({ReasonCode.DONE, ReasonCode.REPORTED})
"""Reasons with the last message that the tool itself reported."""
STOPPED_PARENT = (State.PAUSED, State.HELD)
"""States of a parent that its children's reasons name."""
POSTED = Reason(ReasonCode.POSTED)
TURN = Reason(ReasonCode.TURN)
CANCELLED_BY_USER = Reason(ReasonCode.CANCELLED, {"by": str(Actor.USER)})
CANCELLED_BY_SWEEP = Reason(ReasonCode.CANCELLED, {"by": str(Actor.SWEEP)})


def waits_for_parent(job_id: str, action: str, state: State | None = None) -> Reason:
    """The reason of a job whose parent, in state `state`, has not ended."""
    stopped = {"state": str(state)} if state in STOPPED_PARENT else {}
    return Reason(ReasonCode.PARENT, {"job": job_id, "action": action, **stopped})


def noted(warning: Warning) -> Reason:
    """The note of a warning in a history."""
    return Reason(ReasonCode.WARNING, {"warning": msgspec.to_builtins(warning)})


def fault_of(error: Exception) -> Reason:
    """The reason of a job that taod could not carry on."""
    return Reason(ReasonCode.FAULT, {"error": f"{type(error).__name__}: {error}"})


def cancelled(by: Actor, why: Reason | None = None) -> Reason:
    """The reason of a job that `by` cancelled."""
    return Reason(ReasonCode.CANCELLED, {"by": str(by)} | ({} if why is None else {"why": why.document()}))
