"""Limits of a job from taod.toml, and which ends lead to a retry, as tables."""

from __future__ import annotations

import pytest

from runners.protocol import RunEnd
from taod.config import SupervisionConfig, SupervisionRule
from taod.errors import ConfigError
from taod.scheduler.supervision.exit_classification import AbortReason, ExitFacts, judge
from taod.scheduler.supervision.run_limits import check, limits, parse_exits
from taod.types.reason import Reason, ReasonCode
from taod.types.reason_text import text
from taod.types.state import State
from taod.types.warning_text import duration

CONFIG = SupervisionConfig(
    wall_s=100,
    retries=1,
    retry_exits=["SIGKILL", 75],
    backoff_s=10,
    rule=[
        SupervisionRule(action="train", wall_s=0, stall="kill", retries=3, retry_exits=["oom", "unknown"]),
        SupervisionRule(network="dino", wall_s=7),
    ],
)


@pytest.mark.parametrize(
    ("network", "action", "wall_s", "retries", "kill"),
    [("dino", "train", 0, 3, True), ("dino", "export", 7, 1, False), ("ssd", "export", 100, 1, False)],
)
def test_the_first_matching_rule_that_sets_a_field_wins(
    network: str, action: str, wall_s: float, retries: int, kill: bool
) -> None:
    found = limits(CONFIG, network, action)
    assert (found.wall_s, found.retries, found.kill_stalled) == (wall_s, retries, kill)


@pytest.mark.parametrize(
    ("action", "exit_code", "cause", "retries", "again"),
    [
        ("export", 137, "", 0, True),
        ("export", 75, "", 0, True),
        ("export", 1, "", 0, False),
        ("export", 137, "", 1, False),
        ("export", None, "", 0, False),
        ("train", None, "", 2, True),
        ("train", 1, "oom", 0, True),
        ("train", 137, "", 0, False),
        ("train", 1, "oom", 3, False),
    ],
)
def test_which_ends_lead_to_a_retry(action: str, exit_code: int | None, cause: str, retries: int, again: bool) -> None:
    found = limits(CONFIG, "ssd", action)
    assert found.allows_retry(exit_code=exit_code, cause=cause, retries=retries) is again


def test_each_backoff_doubles_up_to_an_hour() -> None:
    found = limits(CONFIG, "ssd", "export")
    assert [found.pause_s(retries) for retries in (0, 1, 2, 20)] == [10, 20, 40, 3600]


def test_exits_are_codes_signals_and_causes() -> None:
    assert parse_exits([1, "SIGSEGV", "oom"]) == ({1, 139}, {"oom"})
    for wrong, said in (("SIGKIL", "did you mean 'SIGKILL'"), (0, "use 1 to 255"), ("ooom", "did you mean 'oom'")):
        with pytest.raises(ConfigError, match=said):
            check(SupervisionConfig(rule=[SupervisionRule(retry_exits=[wrong])]))


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("Epoch 3\nRuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "the GPU's memory was not enough"),
        ("torch.cuda.OutOfMemoryError: tried", "the GPU's memory was not enough"),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate", "the machine's memory was not enough"),
        ("Traceback\nMemoryError", "the machine's memory was not enough"),
    ],
)
def test_out_of_memory_is_read_from_the_log(log: str, words: str) -> None:
    outcome = judge(ExitFacts(stop_intent=None, ended=RunEnd(1), status="RUNNING", log=log))
    assert (outcome.state, outcome.cause) == (State.FAILED, "oom")
    assert text(outcome.reason).splitlines()[0] == f"exit code 1: {words}"


def test_other_mentions_of_memory_do_not_count_as_out_of_memory() -> None:
    outcome = judge(ExitFacts(stop_intent=None, ended=RunEnd(1), status=None, log="memory: 3 GiB free\nValueError"))
    assert outcome.cause == ""


def test_a_run_ended_by_taod_has_its_reason_unless_it_succeeded() -> None:
    abort = AbortReason("wall", Reason(ReasonCode.TIME_LIMIT, {"limit_s": 7200.0}))
    facts = ExitFacts(stop_intent=None, ended=RunEnd(143), status="RUNNING", abort=abort)
    assert judge(facts).reason == abort.reason and judge(facts).cause == "wall"
    done = ExitFacts(stop_intent=None, ended=RunEnd(0), status="SUCCESS", message="fine", abort=abort)
    assert judge(done).state is State.DONE
    cancelled = ExitFacts(stop_intent="cancel", ended=RunEnd(143), status=None, abort=abort)
    assert judge(cancelled).state is State.CANCELLED


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "0.5 s"), (90, "90 s"), (1800, "30 min"), (7200, "2 h"), (3661, "1:01:01")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
