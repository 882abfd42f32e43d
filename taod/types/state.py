"""States of a job: the internal states, the four public statuses, and the allowed transitions."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The four statuses of the HTTP contract."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    ERROR = "Error"


class State(StrEnum):
    """Internal state of a job."""

    WAITING = "waiting"
    """Waits for its parent or its data; not in the queue yet."""
    QUEUED = "queued"
    """Waits in the queue for a device."""
    HELD = "held"
    """Kept out of the queue by the user."""
    LEASED = "leased"
    """It has leases; nothing has been started."""
    STARTING = "starting"
    """The runner starts it; the process is not confirmed yet."""
    RUNNING = "running"
    STOPPING = "stopping"
    """A cancel or a pause is ending its run."""
    PAUSED = "paused"
    """Stopped with its checkpoints kept; a resume continues from them."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def public(self) -> Status:
        """The status of this state in the HTTP contract."""
        return _PUBLIC[self]

    @property
    def ended(self) -> bool:
        """Whether the job changes only by a user's request from now on."""
        return self in ENDED

    @property
    def on_device(self) -> bool:
        """Whether the job holds leases."""
        return self in ON_DEVICE


_PUBLIC = {
    State.WAITING: Status.PENDING,
    State.QUEUED: Status.PENDING,
    State.HELD: Status.PENDING,
    State.LEASED: Status.PENDING,
    State.STARTING: Status.PENDING,
    State.PAUSED: Status.PENDING,
    State.RUNNING: Status.RUNNING,
    State.STOPPING: Status.RUNNING,
    State.DONE: Status.DONE,
    State.FAILED: Status.ERROR,
    State.CANCELLED: Status.ERROR,
}

ENDED = frozenset({State.DONE, State.FAILED, State.CANCELLED})
ON_DEVICE = frozenset({State.LEASED, State.STARTING, State.RUNNING, State.STOPPING})
ACTIVE = frozenset(State) - ENDED - {State.PAUSED}

TRANSITIONS: dict[State, frozenset[State]] = {
    State.WAITING: frozenset({State.QUEUED, State.HELD, State.CANCELLED, State.FAILED}),
    State.QUEUED: frozenset({State.LEASED, State.WAITING, State.HELD, State.CANCELLED, State.FAILED}),
    State.HELD: frozenset({State.QUEUED, State.WAITING, State.CANCELLED, State.FAILED}),
    State.LEASED: frozenset({State.STARTING, State.QUEUED, State.CANCELLED, State.FAILED}),
    State.STARTING: frozenset({State.RUNNING, State.QUEUED, State.STOPPING, State.CANCELLED, State.FAILED, State.DONE}),
    State.RUNNING: frozenset({State.STOPPING, State.DONE, State.FAILED, State.CANCELLED, State.QUEUED}),
    State.STOPPING: frozenset({State.PAUSED, State.CANCELLED, State.FAILED, State.DONE}),
    State.PAUSED: frozenset({State.QUEUED, State.WAITING, State.CANCELLED}),
    State.DONE: frozenset({State.QUEUED}),
    State.FAILED: frozenset({State.QUEUED, State.WAITING}),
    State.CANCELLED: frozenset({State.QUEUED, State.WAITING}),
}
"""From each state, the states that may follow. A resume queues a failed, cancelled or paused train again; a promotion
to more epochs queues a sweep's done trial again."""


class ImpossibleTransition(Exception):
    """A state cannot follow a job's present state."""

    def __init__(self, job_id: str, old: State, new: State) -> None:
        super().__init__(f"job {job_id}: {old} cannot be followed by {new}")
        self.job_id, self.old, self.new = job_id, old, new


def check_transition(job_id: str, old: State, new: State) -> None:
    """Raise ImpossibleTransition unless `new` may follow `old`."""
    if new not in TRANSITIONS[old]:
        raise ImpossibleTransition(job_id, old, new)
