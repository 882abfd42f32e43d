"""States of a job: the rich ones kept inside, the four public ones, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The four statuses that the HTTP contract knows."""

    PENDING = "Pending"
    RUNNING = "Running"
    DONE = "Done"
    ERROR = "Error"


class State(StrEnum):
    """What a job is really doing."""

    WAITING = "waiting"
    """For its parent or its data; not in the queue yet."""
    QUEUED = "queued"
    """For a device."""
    HELD = "held"
    """Kept out of the queue by the user."""
    LEASED = "leased"
    """Devices are its own; nothing has been started."""
    STARTING = "starting"
    """The runner has been asked to start it; no proof yet that it lives."""
    RUNNING = "running"
    STOPPING = "stopping"
    """Asked to end: by a cancel or by a pause."""
    PAUSED = "paused"
    """Stopped with its checkpoints kept; a resume continues from them."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def public(self) -> Status:
        """The status that the HTTP contract shows for this state."""
        return _PUBLIC[self]

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to the job unless a user asks for it."""
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
"""From each state, the states that may follow. A failed, cancelled or paused train is queued again by a resume,
a sweep's trial that is done by its promotion to more epochs."""


class ImpossibleTransition(Exception):
    """A job was asked to go from one state to one that cannot follow it."""

    def __init__(self, job_id: str, old: State, new: State) -> None:
        super().__init__(f"job {job_id}: {old} cannot be followed by {new}")
        self.job_id, self.old, self.new = job_id, old, new


def check_transition(job_id: str, old: State, new: State) -> None:
    """Raise ImpossibleTransition unless `new` may follow `old`."""
    if new not in TRANSITIONS[old]:
        raise ImpossibleTransition(job_id, old, new)
