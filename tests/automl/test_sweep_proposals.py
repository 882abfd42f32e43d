"""Proposals: the same question has the same answer, models beat chance, and a proposer that dies is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import sys

import pytest

from taod.automl.proposer import Proposer
from taod.automl.suggest import ObservedTrial, Question, answer
from taod.helper_process import HelperProcess
from taod.types.sweep import Dimension

pytestmark = pytest.mark.slow(seconds=1)

SPACE = [
    Dimension(path="a", kind="float", low=0, high=1),
    Dimension(path="b", kind="float", low=0, high=1),
    Dimension(path="c", kind="choice", choices=["x", "y", "z"]),
    Dimension(path="d", kind="ordered", choices=[1, 2, 4]),
]


def worth(at: dict[str, float]) -> float:
    return (at["a"] - 0.3) ** 2 + (at["b"] - 0.7) ** 2 + 0.1 * at["c"] + 0.1 * at["d"]


def searched(sampler: str, seed: int, count: int) -> list[ObservedTrial]:
    seen: list[ObservedTrial] = []
    for number in range(count):
        proposed = answer(question(sampler, seen, seed * 100 + number))
        failed = number == 5
        value = None if failed else worth(proposed.coordinates)
        seen.append(ObservedTrial(number, proposed.coordinates, value, failed, proposed.memory))
    return seen


def question(sampler: str, seen: list[ObservedTrial], seed: int, **more: bool) -> Question:
    return Question(sampler=sampler, space=SPACE, minimise=True, seen=seen, seed=seed, **more)


@pytest.mark.parametrize(
    "sampler", ["random", "tpe", "cmaes", pytest.param("gp", marks=[pytest.mark.engine, pytest.mark.slow])]
)
def test_a_proposal_depends_only_on_the_question(sampler: str) -> None:
    if sampler == "gp":
        pytest.importorskip("torch")
    before = searched("cmaes" if sampler == "cmaes" else "random", 1, 9)
    seen = [*before, ObservedTrial(9, {"a": 0.1, "b": 0.2, "c": 1.0, "d": 2.0})]
    first = answer(question(sampler, seen, 7))
    assert answer(question(sampler, seen, 7)) == first
    assert answer(question(sampler, seen, 8)) != first
    for each in SPACE:
        assert 0 <= first.coordinates[each.path] <= (len(each.choices) - 1 if each.choices else 1)
    assert first.coordinates["c"] in (0, 1, 2) and first.coordinates["d"] in (0, 1, 2)


def test_tpe_beats_random_search() -> None:
    def median(sampler: str) -> float:
        return statistics.median(
            min(one.value for one in searched(sampler, seed, 30) if one.value is not None) for seed in range(7)
        )

    assert median("tpe") < median("random")


def test_importances_of_parameters() -> None:
    seen = searched("random", 3, 25)
    found = answer(question("random", seen, 1, importance=True)).importances
    assert sum(found.values()) == pytest.approx(1.0)
    assert set(found) == {"a", "b", "c", "d"}
    assert answer(question("random", seen[:1], 1, importance=True)).importances == {}


async def test_the_process_answers_like_the_function_and_is_replaced_when_it_dies() -> None:
    proposer = Proposer()
    asked = question("tpe", searched("random", 2, 6), 3)
    assert await proposer.ask(asked) == answer(asked)
    assert proposer._helper.process is not None
    first = proposer._helper.process.pid
    os.kill(first, signal.SIGKILL)
    await proposer._helper.process.wait()
    assert await proposer.ask(asked) == answer(asked)
    assert proposer._helper.process.pid != first
    await proposer.close()
    assert proposer._helper.process is None


async def test_unanswerable_questions_get_a_random_proposal_with_a_note() -> None:
    proposer = Proposer()
    wrong = question("tpe", [ObservedTrial(0, {"a": 5.0, "b": 0.5, "c": 0.0, "d": 0.0}, 1.0)], 3)
    proposed = await proposer.ask(wrong)
    assert proposed.note.startswith("drawn at random: ")
    assert set(proposed.coordinates) == {"a", "b", "c", "d"}
    await proposer.close()


def test_a_daemon_starts_without_optuna() -> None:
    code = "import sys, taod.daemon; print([m for m in ('optuna', 'torch', 'numpy', 'cmaes') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert said.stdout == "[]\n"


async def test_a_cancellation_during_an_answer_is_not_lost() -> None:
    class Ready(HelperProcess):
        async def _ask(self, question: bytes) -> tuple[bytes, bytes]:
            await come.wait()
            return b"+", question

    for turns in range(10):  # in one of them the answer has arrived but was not yet read
        come = asyncio.Event()
        asking = asyncio.create_task(Ready("none", 60.0).ask(b"question"))
        await asyncio.sleep(0)
        come.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        if asking.cancel():
            with pytest.raises(asyncio.CancelledError):
                await asking
