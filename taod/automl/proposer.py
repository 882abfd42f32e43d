"""Asks for proposals in a process of its own, which lives while it is used and ends with the daemon."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from pathlib import Path

import msgspec

import taod
from taod.automl.suggest import Answer, Question

LINE = 64 * 1024**2
"""Bytes that an answer may have."""
PATIENCE_S = 120.0
"""A proposal takes a second; one that takes so long hangs."""
IDLE_S = 120.0
"""An idle process ends after this time: it may have loaded torch."""
_ANSWER = msgspec.json.Decoder(Answer)

log = logging.getLogger(__name__)


class Proposer:
    """One question at a time; where the process cannot answer, a random point stands in, with a note."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._rest: asyncio.TimerHandle | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer, from the process or, where that fails twice, at random."""
        async with self._turn:
            for _ in range(2):
                try:
                    # Not `wait_for`: in Python 3.11 that loses a cancellation which comes as the answer comes, and
                    # the daemon's end would wait for the sweep.
                    async with asyncio.timeout(PATIENCE_S):
                        return await self._ask(question)
                except (OSError, EOFError, TimeoutError, msgspec.DecodeError) as error:
                    log.warning("the proposer did not answer (%s: %s)", type(error).__name__, error)
                    await self._end()
                except RuntimeError as error:
                    log.warning("the proposer could not answer: %s", error)
                    return _at_random(question, str(error))
        return _at_random(question, "its process did not answer")

    async def close(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def _ask(self, question: Question) -> Answer:
        process = await self._alive()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(msgspec.json.encode(question) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise EOFError("it ended")
        if line.startswith(b"-"):
            raise RuntimeError(msgspec.json.decode(line[1:], type=str))
        return _ANSWER.decode(line[1:])

    async def _alive(self) -> asyncio.subprocess.Process:
        if self._rest is not None:
            self._rest.cancel()
        self._rest = asyncio.get_running_loop().call_later(IDLE_S, self._let_go)
        if self._process is None or self._process.returncode is not None:
            home = str(Path(taod.__file__).parents[1])
            paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "taod.automl.suggest",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=LINE,
                # One thread: the cores are the trainings'.
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
            )
        return self._process

    def _let_go(self) -> None:
        self._rest = None
        if self._process is not None and self._process.stdin is not None and not self._turn.locked():
            self._process.stdin.close()
            self._process = None

    async def _end(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()


def _at_random(question: Question, why: str) -> Answer:
    draw = random.Random(question.seed)
    places = {
        each.path: float(draw.randrange(len(each.choices))) if each.choices else draw.random()
        for each in question.space
    }
    return Answer({} if question.importance else places, note=f"drawn at random: {why}")
