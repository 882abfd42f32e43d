"""The table of accepted requests agrees with the table of transitions."""

from __future__ import annotations

import pytest

from taod.types.job_requests import RULES, JobRequest, accepts
from taod.types.state import TRANSITIONS, State

RESULTS = {
    JobRequest.CANCEL: {State.CANCELLED, State.STOPPING},
    JobRequest.PAUSE: {State.STOPPING},
    JobRequest.RESUME: {State.QUEUED},
    JobRequest.FINISH: {State.STOPPING},
}
"""States that a request may lead to."""


@pytest.mark.parametrize("request_", RESULTS, ids=str)
def test_an_accepted_request_leads_to_a_possible_state(request_: JobRequest) -> None:
    for state in RULES[request_].states - {State.STOPPING}:
        assert TRANSITIONS[state] & RESULTS[request_], state


@pytest.mark.parametrize("state", State)
def test_a_job_is_either_cancelled_or_deleted(state: State) -> None:
    assert accepts(JobRequest.CANCEL, "train", state) is not accepts(JobRequest.DELETE, "train", state)


def test_only_trainings_are_paused_and_resumed() -> None:
    assert accepts(JobRequest.PAUSE, "retrain", State.STARTING)
    assert accepts(JobRequest.RESUME, "train", State.FAILED)
    assert not accepts(JobRequest.PAUSE, "evaluate", State.RUNNING)
    assert not accepts(JobRequest.RESUME, "export", State.FAILED)
    assert not accepts(JobRequest.RESUME, "train", State.DONE)
