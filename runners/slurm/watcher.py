"""The watch over all runs that are on the cluster: one question for all of them at a gentle interval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runners.slurm.commands import Commands, NoCluster
from runners.slurm.state import Seen

log = logging.getLogger(__name__)


class Watcher:
    """Asks while somebody waits, and tells each who waits how its job is."""

    def __init__(self, commands: Commands, interval_s: float) -> None:
        self._commands = commands
        self._interval_s = interval_s
        self._heard: dict[str, Callable[[Seen | None], None]] = {}
        self._task: asyncio.Task[None] | None = None

    def watch(self, handle: str, heard: Callable[[Seen | None], None]) -> None:
        """`heard` is called with what the cluster says of the job: None where it does not list it."""
        self._heard[handle] = heard
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask(), name="slurm watcher")

    def leave(self, handle: str) -> None:
        self._heard.pop(handle, None)
        if not self._heard and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _ask(self) -> None:
        answered = True
        while True:
            await asyncio.sleep(self._interval_s)
            # Those that came while it was asked may be too young to be in the answer.
            asked = list(self._heard.items())
            try:
                seen = {one.number: one for one in await self._commands.mine()}
            except NoCluster as error:
                if answered:
                    log.warning("the cluster does not answer: %s", error)
                answered = False
                continue
            answered = True
            for handle, heard in asked:
                heard(seen.get(handle))
