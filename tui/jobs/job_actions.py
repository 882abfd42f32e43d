"""Actions on jobs: which jobs allow them, and the questions that confirm them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from taod.types.job import JobView
from taod.types.job_requests import RULES, TRAININGS, JobRequest, accepts
from taod.types.state import State
from tui import format

RUNNING = frozenset({State.STARTING, State.RUNNING, State.STOPPING})
NAMED = 3
"""A question names at most this many jobs; for more it gives their number."""

REQUESTS: dict[str, JobRequest | None] = {
    "cancel": JobRequest.CANCEL,
    "pause": JobRequest.PAUSE,
    "resume": JobRequest.RESUME,
    "hold": JobRequest.EDIT,
    "priority": JobRequest.EDIT,
    "delete": JobRequest.DELETE,
    "again": None,
}
"""Request that a key action sends for a job; None: it creates a new job, whatever the old one's state."""


def allowed(verb: str, view: JobView) -> bool:
    """Whether the job accepts the key action in its present state."""
    request = REQUESTS[verb]
    return request is None or accepts(request, view.action, view.state)


def why_not(verb: str, views: Sequence[JobView]) -> str:
    """Why a key action does nothing to these jobs, as a sentence."""
    if not views:
        return "No job is selected."
    if len(views) == 1:
        article = "an" if views[0].action[:1] in "aeiou" else "a"
        return f"{_condition(verb)}; this is {article} {views[0].action} that is {views[0].state.value}."
    return f"{_condition(verb)}; none of the marked jobs is one."


def _condition(verb: str) -> str:
    request = REQUESTS[verb]
    condition = "there is nothing to run again" if request is None else RULES[request].condition
    return f"{condition[:1].upper()}{condition[1:]}"


def named(views: Sequence[JobView]) -> str:
    """`train 1a2b3c4d of 'digits'`, or how many they are."""
    if len(views) > NAMED:
        return f"{len(views)} jobs"
    return ", ".join(f"{view.action} {format.short(view.id)} of '{view.owner_name}'" for view in views)


def cancel_question(views: Sequence[JobView], waiting: int) -> tuple[str, str]:
    """The question and its consequence. `waiting`: number of further jobs that wait for these."""
    parts = [_end_of(views[0])] if len(views) == 1 else _ends_of(views)
    if waiting:
        parts.append("1 job that waits for it ends too" if waiting == 1 else f"{waiting} jobs that wait for it end too")
    return f"Cancel {named(views)}?", ". ".join(parts) + "."


def delete_question(views: Sequence[JobView]) -> tuple[str, str]:
    """The question and its consequence."""
    whose = "Its" if len(views) == 1 else "Their"
    lost = "log, metrics, checkpoints and results are removed from the disk"
    return f"Delete {named(views)}?", f"{whose} {lost}. This cannot be undone."


def _end_of(view: JobView) -> str:
    if view.state in RUNNING:
        if view.result.max_epoch:
            kept = "; its checkpoints are kept" if view.action in TRAININGS else ""
            return f"It is at epoch {view.result.epoch or 0} of {view.result.max_epoch}{kept}"
        return "It is running; what it has written so far is kept"
    if view.state is State.PAUSED:
        return "It is paused; its checkpoints are kept"
    return "It has not started"


def _ends_of(views: Sequence[JobView]) -> list[str]:
    run = sum(view.state in RUNNING for view in views)
    paused = sum(view.state is State.PAUSED for view in views)
    rest = len(views) - run - paused
    parts = []
    if run:
        parts.append(f"{run} of them {'runs' if run == 1 else 'run'}; what is written so far is kept")
    if paused:
        parts.append(f"{paused} {'is' if paused == 1 else 'are'} paused")
    if rest:
        parts.append(f"{rest} {'has' if rest == 1 else 'have'} not started")
    return parts
