"""The requests that a job accepts, by action and state: one table for the daemon, the dashboard and the command line.

Requests come from the job's own user; deleting a model, ending a sweep and stopping the daemon cancel by the same rule.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from taod.types.state import ENDED, State

TRAININGS = frozenset({"train", "distill", "retrain"})
"""Actions that write checkpoints and resume from them."""
NOT_STARTED = frozenset({State.WAITING, State.QUEUED, State.HELD})


class JobRequest(StrEnum):
    """What can be requested of an existing job."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    """End a sweep early, with its best trial as the result."""
    EDIT = "edit"
    """Change specification, priority, devices or queue position; hold and release."""
    DELETE = "delete"


class Rule(msgspec.Struct, frozen=True):
    """When a request is accepted."""

    states: frozenset[State]
    condition: str
    """The rule as a sentence without its period."""
    actions: frozenset[str] | None = None
    """None: every action."""


RULES: dict[JobRequest, Rule] = {
    JobRequest.CANCEL: Rule(frozenset(State) - ENDED, "only a job that has not ended can be cancelled"),
    JobRequest.PAUSE: Rule(
        frozenset({State.STARTING, State.RUNNING}), "only a running train, distill or retrain can be paused", TRAININGS
    ),
    JobRequest.RESUME: Rule(
        frozenset({State.PAUSED, State.CANCELLED, State.FAILED}),
        "only a paused, cancelled or failed train, distill or retrain can be resumed",
        TRAININGS,
    ),
    JobRequest.FINISH: Rule(frozenset({State.RUNNING}), "only a running sweep can be stopped early"),
    JobRequest.EDIT: Rule(NOT_STARTED, "only a job that has not started can be changed"),
    JobRequest.DELETE: Rule(ENDED, "only a job that has ended can be deleted: cancel it first"),
}


def accepts(request: JobRequest, action: str, state: State) -> bool:
    """Whether a job of this action in this state accepts the request."""
    rule = RULES[request]
    return state in rule.states and (rule.actions is None or action in rule.actions)
