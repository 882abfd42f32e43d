"""Expected end of each job of a storm, from its requests, its parent and its history. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from taod.types.job import HistoryEntry, JobDetail, JobView
from taod.types.state import TRANSITIONS, State

CANCELLED_BY = "Cancelled by user"


@dataclass
class Asked:
    """Requests about one job, as far as the daemon answered them."""

    cancelled: bool = False
    """The daemon answered that the job is cancelled or being cancelled."""
    perhaps: bool = False
    """A cancel, or a pause that becomes one, was sent but not answered: the daemon died."""
    stops: list[str] = field(default_factory=list)

    def answered(self, view: JobView) -> None:
        """A cancel or pause was answered. The pause of a job that was not running is a cancel."""
        self.stops.append(view.reason)
        self.cancelled = view.state is State.CANCELLED or view.reason == "Being cancelled"


def judge(detail: JobDetail, parents: Mapping[str, JobDetail], asked: Asked, starts: int) -> Iterator[str]:
    """Faults as texts. `starts`: number of starts of its tool."""
    job = detail.job
    said = f"{job.action} of {job.owner_name} {job.id}: {job.state} ({job.reason}) after {starts} starts, {asked}"
    parent = parents.get(job.parent_id or "")
    if job.state not in _ends(job, parent, asked):
        yield f"{said}, its parent is {parent.job.state if parent else None}"
    if job.state is State.FAILED and job.owner_name == "fail" and job.parent_id is None and job.reason != "boom":
        yield f"{said}: its reason differs from its tool's message"
    if job.owner_name == "wide" and job.action == "train" and job.state is State.DONE and len(set(job.devices)) != 2:
        yield f"{said} on {job.devices}"
    least, most = _lives(detail.history)
    if not least <= starts <= most:
        yield f"{said}: its history has {least} to {most} starts"
    if most > 1 + sum(entry.reason == "Resumed" for entry in detail.history):
        yield f"{said}: it ran {most} times without having been resumed"
    for before, after in pairwise([entry.state for entry in detail.history]):
        if before is not after and after not in TRANSITIONS[before]:
            yield f"{said}: {after} after {before}"


def _ends(job: JobView, parent: JobDetail | None, asked: Asked) -> set[State]:
    """Possible final states: one, or two if the daemon died before it answered."""
    if asked.cancelled:
        return {State.CANCELLED}
    if parent is not None and parent.job.state is not State.DONE:
        own = parent.job.state
    else:
        own = State.FAILED if job.owner_name == "fail" else State.DONE
    return {own, State.CANCELLED} if asked.perhaps else {own}


def _lives(history: list[HistoryEntry]) -> tuple[int, int]:
    """Least and greatest number of starts of its tool, from its history.

    The stop signal may reach a run before its tool executes its first line.
    """
    least = most = 0
    for before, after in pairwise([entry.state for entry in history]):
        if before is State.STARTING and after in (State.RUNNING, State.STOPPING):
            most += 1
            least += 1
        if after is State.STOPPING and before in (State.STARTING, State.RUNNING):
            least -= 1
    return least, most
