"""What must have become of each job of a storm, by what was asked of it, its parent and its history. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from taod.types.job import HistoryEntry, JobDetail, JobView
from taod.types.state import TRANSITIONS, State

CANCELLED_BY = "Cancelled by user"


@dataclass
class Asked:
    """What was asked of one job, as far as the daemon lived to answer."""

    cancelled: bool = False
    """The daemon said that it is cancelled, or will be."""
    perhaps: bool = False
    """A cancel, or what becomes one, that the daemon may have carried out or not: it died before it answered."""
    stops: list[str] = field(default_factory=list)

    def answered(self, view: JobView) -> None:
        """A cancel or a pause was: what was a pause may have become a cancel (of a job that was not running yet)."""
        self.stops.append(view.reason)
        self.cancelled = view.state is State.CANCELLED or view.reason == "Being cancelled"


def judge(detail: JobDetail, parents: Mapping[str, JobDetail], asked: Asked, starts: int) -> Iterator[str]:
    """Faults, in words. `starts`: how often its tool began."""
    job = detail.job
    said = f"{job.action} of {job.owner_name} {job.id}: {job.state} ({job.reason}) after {starts} starts, {asked}"
    parent = parents.get(job.parent_id or "")
    if job.state not in _ends(job, parent, asked):
        yield f"{said}, its parent is {parent.job.state if parent else None}"
    if job.state is State.FAILED and job.owner_name == "fail" and job.parent_id is None and job.reason != "boom":
        yield f"{said}: it says something else than its tool"
    if job.owner_name == "wide" and job.action == "train" and job.state is State.DONE and len(set(job.devices)) != 2:
        yield f"{said} on {job.devices}"
    least, most = _lives(detail.history)
    if not least <= starts <= most:
        yield f"{said}: its history tells of {least} to {most} starts"
    if most > 1 + sum(entry.reason == "Resumed" for entry in detail.history):
        yield f"{said}: it lived {most} times without having been resumed"
    for before, after in pairwise([entry.state for entry in detail.history]):
        if before is not after and after not in TRANSITIONS[before]:
            yield f"{said}: {after} after {before}"


def _ends(job: JobView, parent: JobDetail | None, asked: Asked) -> set[State]:
    """The states in which it may have ended: one, but where the daemon died before it had answered."""
    if asked.cancelled:
        return {State.CANCELLED}
    if parent is not None and parent.job.state is not State.DONE:
        own = parent.job.state
    else:
        own = State.FAILED if job.owner_name == "fail" else State.DONE
    return {own, State.CANCELLED} if asked.perhaps else {own}


def _lives(history: list[HistoryEntry]) -> tuple[int, int]:
    """How often its tool began, by its history, at least and at most.

    A run that was asked to end may have been reached by its signal before the tool had come to its first line.
    """
    least = most = 0
    for before, after in pairwise([entry.state for entry in history]):
        if before is State.STARTING and after in (State.RUNNING, State.STOPPING):
            most += 1
            least += 1
        if after is State.STOPPING and before in (State.STARTING, State.RUNNING):
            least -= 1
    return least, most
