"""Asks a helper process for proposals; the process starts when needed and ends with the daemon."""

from __future__ import annotations

import logging
import random

import msgspec

from taod.automl.suggest import Answer, Question
from taod.helper_process import HelperProcess, Rejected

PATIENCE_S = 120.0
"""A proposal takes about a second; after this time the process counts as hanging."""
_ANSWER = msgspec.json.Decoder(Answer)

log = logging.getLogger(__name__)


class Proposer:
    """Answers one question at a time; if the process fails, with a random point and a note."""

    def __init__(self) -> None:
        # One thread, because trainings need the cores.
        self._helper = HelperProcess("taod.automl.suggest", PATIENCE_S, {"OMP_NUM_THREADS": "1"})

    async def ask(self, question: Question) -> Answer:
        """The answer of the process, or a random one after two failures."""
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
    coordinates = {
        each.path: float(draw.randrange(len(each.choices))) if each.choices else draw.random()
        for each in question.space
    }
    return Answer({} if question.importance else coordinates, note=f"drawn at random: {why}")
