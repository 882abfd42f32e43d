"""Watches all runs on the cluster with one query for all of them at an interval."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from runners.slurm.commands import Commands, NoCluster
from runners.slurm.state import ClusterJob
from taod.backoff import Backoff

Listener = Callable[[ClusterJob | None], None]

log = logging.getLogger(__name__)


class Watcher:
    """Polls while there are listeners, and reports each job's state to its listener."""

    def __init__(self, commands: Commands, interval_s: float) -> None:
        self._commands = commands
        self._interval_s = interval_s
        self._listeners: dict[Listener, str] = {}
        """Listener → name of its job; several listeners may share a job."""
        self._task: asyncio.Task[None] | None = None

    def watch(self, name: str, listener: Listener) -> None:
        """Call `listener` after each query with the job of this name, or with None if the cluster does not list it.

        Jobs are identified by name: a controller that lost its state reuses numbers.
        """
        self._listeners[listener] = name
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._ask(), name="slurm watcher")

    def leave(self, listener: Listener) -> None:
        self._listeners.pop(listener, None)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _ask(self) -> None:
        answered, backoff = True, Backoff()
        while True:
            await asyncio.sleep(self._interval_s)
            # Jobs of listeners added during the query may be missing from the answer.
            asked = list(self._listeners.items())
            try:
                seen = {one.name: one for one in await self._commands.own_jobs()}
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
            for listener, name in asked:
                try:
                    listener(seen.get(name))
                except Exception:
                    log.exception("the state of job %s on the cluster could not be handled", name)
