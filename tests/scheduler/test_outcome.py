"""State and reason of ended runs, as a table."""

from __future__ import annotations

import pytest

from runners.protocol import RunEnd
from taod.scheduler.supervision.exit_classification import ExitFacts, judge
from taod.types.reason import Actor, cancelled
from taod.types.reason_text import text
from taod.types.state import State


@pytest.mark.parametrize(
    ("code", "status", "message", "intent", "state", "words"),
    [
        (0, "SUCCESS", "Training finished", None, State.DONE, "Training finished"),
        (0, "SUCCESS", "", None, State.DONE, "Done"),
        (0, "RUNNING", "Epoch 3", None, State.FAILED, "ended without reporting success: it exited with 0, but its last"
         " status was RUNNING (Epoch 3)"),
        (0, "RUNNING", "Train finished successfully.", None, State.DONE, "Train finished successfully."),
        (1, "RUNNING", "Train finished successfully.", None, State.FAILED, "exit code 1"),
        (0, None, "", None, State.FAILED, "ended without reporting success: it exited with 0, and reported"
         " no status at all"),
        (0, "FAILURE", "CUDA out of memory", None, State.FAILED, "CUDA out of memory"),
        (1, "FAILURE", "bad spec", None, State.FAILED, "bad spec"),
        (1, "RUNNING", "Epoch 3", None, State.FAILED, "exit code 1"),
        (1, "SUCCESS", "fine", None, State.FAILED, "exit code 1: after it had reported success"),
        (137, "RUNNING", "", None, State.FAILED, "exit code 137: killed, out of memory?"),
        (139, None, "", None, State.FAILED, "exit code 139: segmentation fault"),
        (144, None, "", None, State.FAILED, "exit code 144: ended by signal 16"),
        (127, None, "", None, State.FAILED, "exit code 127: the program was not found"),
        (None, "SUCCESS", "fine", None, State.FAILED, "ended, and its exit code is not known: its supervisor was"
         " killed or the machine stopped"),
        (143, "RUNNING", "", "cancel", State.CANCELLED, "Cancelled by user"),
        (0, "SUCCESS", "done", "cancel", State.CANCELLED, "Cancelled by user"),
        (None, None, "", "cancel", State.CANCELLED, "Cancelled by user"),
        (143, "RUNNING", "", "pause", State.PAUSED, "Paused at epoch 4"),
        (137, "FAILURE", "interrupted", "pause", State.PAUSED, "Paused at epoch 4"),
        (0, "SUCCESS", "done", "pause", State.DONE, "done"),
    ],
)  # fmt: skip
def test_state_and_words(
    code: int | None, status: str | None, message: str, intent: str | None, state: State, words: str
) -> None:
    outcome = judge(ExitFacts(stop_intent=intent, ended=RunEnd(code), status=status, message=message, epoch=4))
    assert (outcome.state, text(outcome.reason)) == (state, words)


def test_an_unexplained_failure_shows_the_end_of_the_log() -> None:
    facts = ExitFacts(stop_intent=None, ended=RunEnd(2), status=None, log="one\nusage: dino\n")
    assert text(judge(facts).reason) == "exit code 2\none\nusage: dino"


def test_the_runners_detail_about_the_end_is_reported() -> None:
    facts = ExitFacts(stop_intent=None, ended=RunEnd(137, "the container ran out of memory"), status=None)
    assert text(judge(facts).reason) == "exit code 137: the container ran out of memory"


def test_the_reason_of_a_pause_before_the_first_epoch() -> None:
    facts = ExitFacts(stop_intent="pause", ended=RunEnd(143), status=None)
    assert text(judge(facts).reason) == "Paused before its first epoch"


def test_the_cancelling_user_is_named() -> None:
    facts = ExitFacts(stop_intent="cancel", ended=RunEnd(143), status=None, cancelled=cancelled(Actor.MODEL_DELETION))
    assert text(judge(facts).reason) == "Cancelled by the deletion of its model"


@pytest.mark.parametrize(
    ("code", "status", "state"),
    [(0, None, State.DONE), (0, "SUCCESS", State.DONE), (0, "FAILURE", State.FAILED), (1, None, State.FAILED)],
)
def test_a_program_that_reports_nothing_is_judged_by_its_exit_code(code: int, status: str | None, state: State) -> None:
    facts = ExitFacts(stop_intent=None, ended=RunEnd(code), status=status, action="trtexec")
    assert judge(facts).state is state
