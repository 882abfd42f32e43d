"""Asks for proposals in a process of its own, which lives while it is used and ends with the daemon."""

from __future__ import annotations

import logging
import random

import msgspec

from taod.automl.suggest import Answer, Question
from taod.helper_process import HelperProcess, Rejected

PATIENCE_S = 120.0
"""A proposal takes a second; one that takes so long hangs."""
_ANSWER = msgspec.json.Decoder(Answer)

log = logging.getLogger(__name__)


class Proposer:
    """One question at a time; where the process cannot answer, a random point stands in, with a note."""

    def __init__(self) -> None:
        # One thread: the cores are the trainings'.
        self._helper = HelperProcess("taod.automl.suggest", PATIENCE_S, {"OMP_NUM_THREADS": "1"})

    async def ask(self, question: Question) -> Answer:
        """The answer, from the process or, where that fails twice, at random."""
        for _ in range(2):
            try:
                return _ANSWER.decode(await self._helper.ask(msgspec.json.encode(question)))
            except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                log.warning("the proposer did not answer (%s: %s)", type(error).__name__, error)
            except Rejected as error:
                log.warning("the proposer could not answer: %s", error)
                return _at_random(question, str(error))
        return _at_random(question, "its process did not answer")

    async def close(self) -> None:
        """End the process."""
        await self._helper.close()


def _at_random(question: Question, why: str) -> Answer:
    draw = random.Random(question.seed)
    places = {
        each.path: float(draw.randrange(len(each.choices))) if each.choices else draw.random()
        for each in question.space
    }
    return Answer({} if question.importance else places, note=f"drawn at random: {why}")
