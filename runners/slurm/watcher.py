"""The watch over all runs that are on the cluster: one question for all of them at a gentle interval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runners.slurm.commands import Commands, NoCluster
from runners.slurm.state import Seen
from taod.backoff import Backoff

Hear = Callable[[Seen | None], None]

log = logging.getLogger(__name__)


class Watcher:
    """Polls while there are listeners, and reports each job's state to its listener."""

    def __init__(self, commands: Commands, interval_s: float) -> None:
        self._commands = commands
        self._interval_s = interval_s
        self._heard: dict[Hear, str] = {}
        """Who listens, and to what is said of which job; several may listen to one."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, name: str, heard: Hear) -> None:
        """`heard` is called with what the cluster says of the job of that name: None where it does not list it.

        By name: a controller that lost its state numbers its jobs from the start again.
        """
        self._heard[heard] = name
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask(), name="slurm watcher")

    def leave(self, heard: Hear) -> None:
        self._heard.pop(heard, None)
        if not self._heard and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _ask(self) -> None:
        answered, backoff = True, Backoff()
        while True:
            await asyncio.sleep(self._interval_s)
            # Those that came while it was asked may be too young to be in the answer.
            asked = list(self._heard.items())
            try:
                seen = {one.name: one for one in await self._commands.mine()}
            except NoCluster as error:
                if answered:
                    log.warning("the cluster does not answer: %s", error)
                answered = False
                continue
            except Exception as error:
                backoff.report(log, error, "the answer of the cluster cannot be read; it is asked again")
                continue
            answered = True
            backoff.reset()
            for heard, name in asked:
                try:
                    heard(seen.get(name))
                except Exception:
                    log.exception("how job %s is on the cluster was not taken", name)
