"""`client.jobs`: run, list, watch and change jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import TypeAlias

from taod.client.events import AsyncEvents, EventBody
from taod.client.transport import Namespace, Page
from taod.types.common import OwnerKind
from taod.types.event import EventType, StatusUpdate
from taod.types.job import Job, JobDetail, JobPatch, JobRun, JobView
from taod.types.leaderboard import Leaderboard
from taod.types.plan import PlannedJob
from taod.types.state import State, Status

Ids: TypeAlias = list[str]
Jobs: TypeAlias = list[Job]
Plan: TypeAlias = list[PlannedJob]


class AsyncJobs(Namespace):
    """Jobs of the user's models and datasets. `kind` is `model` or `dataset`."""

    async def run(self, kind: OwnerKind, owner_id: str, runs: JobRun | Sequence[JobRun]) -> Ids:
        """Create one job per action. Returns their ids."""
        body = [runs] if isinstance(runs, JobRun) else [*runs]
        return await self._transport.call("POST", self._transport.user_path(kind, owner_id, "job"), Ids, body=body)

    async def plan(self, kind: OwnerKind, owner_id: str, runs: JobRun | Sequence[JobRun]) -> Plan:
        """The jobs that `run` would create with these arguments."""
        body = [runs] if isinstance(runs, JobRun) else [*runs]
        path = self._transport.user_path(kind, owner_id, "job")
        return await self._transport.call("POST", path, Plan, query={"dry_run": True}, body=body)

    async def list(
        self,
        *,
        status: Status | None = None,
        state: State | Sequence[State] | None = None,
        action: str | None = None,
        network: str | None = None,
        text: str | None = None,
        trials: bool | None = None,
        sort: str | None = None,
        skip: int | None = None,
        size: int | None = None,
    ) -> Page[JobView]:
        """One page of jobs, newest first unless `sort` is given; other arguments are filters."""
        query = {
            "status": status,
            "state": state,
            "action": action,
            "network": network,
            "text": text,
            "trials": trials,
            "sort": sort,
            "skip": skip,
            "size": size,
        }
        return await self._transport.page(self._path(), JobView, query)

    async def counts(self, *, trials: bool | None = None) -> dict[State, int]:
        """State → number of jobs; states without jobs may be absent. `trials`: only trials of sweeps, or only other
        jobs."""
        return await self._transport.call("GET", self._path("counts"), dict[State, int], query={"trials": trials})

    async def leaderboard(
        self,
        *,
        metric: str | None = None,
        network: str | None = None,
        dataset: str | None = None,
        action: str | None = None,
        trials: bool | None = None,
        skip: int | None = None,
        size: int | None = None,
    ) -> Leaderboard:
        """Jobs by their best value of `metric`; without it, of the main metric of the newest job that reports its own.
        Other arguments are filters; `dataset`: id of a dataset that the jobs read."""
        query = {
            "metric": metric,
            "network": network,
            "dataset": dataset,
            "action": action,
            "trials": trials,
            "skip": skip,
            "size": size,
        }
        return await self._transport.call("GET", self._path("leaderboard"), Leaderboard, query=query)

    async def get(self, job_id: str) -> JobDetail:
        return await self._transport.call("GET", self._path(job_id), JobDetail)

    async def list_owned(self, kind: OwnerKind, owner_id: str) -> Jobs:
        """The jobs of a model or dataset, in the form of the published API."""
        return await self._transport.call("GET", self._transport.user_path(kind, owner_id, "job"), Jobs)

    async def get_owned(self, kind: OwnerKind, owner_id: str, job_id: str) -> Job:
        """One job of a model or dataset with its complete result, in the form of the published API."""
        return await self._transport.call("GET", self._transport.user_path(kind, owner_id, "job", job_id), Job)

    async def watch(self, job_id: str) -> AsyncGenerator[JobView | StatusUpdate, None]:
        """Yields the job (at first, after each reconnection and each change) and each line of its status.json.

        It never ends: leave the loop in the state that you wait for, and close the generator. Raises ClientError if
        the job does not exist.
        """
        queue: asyncio.Queue[tuple[EventType, EventBody]] = asyncio.Queue()

        def on_connection(connected: bool, _reason: str) -> None:
            if connected:
                queue.put_nowait((EventType.RESET, {}))

        async def receive() -> None:
            async for event in AsyncEvents(self._transport).stream(on_connection=on_connection):
                queue.put_nowait(event)

        receiving = asyncio.create_task(receive())
        try:
            while True:
                getting = asyncio.create_task(queue.get())
                await asyncio.wait((getting, receiving), return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    receiving.result()
                    return
                event_type, body = getting.result()
                if event_type is EventType.RESET:
                    yield (await self.get(job_id)).job
                elif (isinstance(body, JobView) and body.id == job_id) or (
                    isinstance(body, StatusUpdate) and body.job_id == job_id
                ):
                    yield body
        finally:
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)

    async def cancel(self, job_id: str) -> JobView:
        return await self._transport.call("POST", self._path(job_id, "cancel"), JobView)

    async def pause(self, job_id: str) -> JobView:
        return await self._transport.call("POST", self._path(job_id, "pause"), JobView)

    async def resume(self, job_id: str) -> JobView:
        return await self._transport.call("POST", self._path(job_id, "resume"), JobView)

    async def update(self, job_id: str, body: JobPatch) -> JobView:
        """Change a job that has not started."""
        return await self._transport.call("PATCH", self._path(job_id), JobView, body=body)

    async def delete(self, job_id: str) -> JobView:
        """Delete an ended job with its files. Returns its last state."""
        return await self._transport.call("DELETE", self._path(job_id), JobView)

    def _path(self, *parts: str) -> str:
        return self._transport.user_path("job", *parts)
