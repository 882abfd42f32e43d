"""Calls about jobs: asking for runs, lists over all of them, and what may be done to one."""

from __future__ import annotations

from collections.abc import Sequence

from taod.client.transport import Page, Transport
from taod.types.job import Job, JobDetail, JobPatch, JobRun, JobView
from taod.types.state import State, Status


class JobCalls(Transport):
    """Jobs of the user, whoever owns them."""

    async def run(self, kind: str, owner_id: str, runs: JobRun | Sequence[JobRun]) -> list[str]:
        """Ask for runs; `kind` is `model` or `dataset`. Returns the ids of the jobs, one for each action."""
        body = [runs] if isinstance(runs, JobRun) else list(runs)
        return await self.call("POST", self.user_path(kind, owner_id, "job"), list[str], body=body)

    async def jobs(
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
        """All jobs, newest first unless `sort` says otherwise; every argument narrows."""
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
        return await self.page(self.user_path("job"), JobView, query)

    async def job_counts(self, *, trials: bool | None = None) -> dict[State, int]:
        """How many jobs are in each state; a state without any may be left out. `trials`: only those of sweeps, or
        only other jobs."""
        return await self.call("GET", self.user_path("job", "counts"), dict[State, int], query={"trials": trials})

    async def job(self, job_id: str) -> JobDetail:
        return await self.call("GET", self.user_path("job", job_id), JobDetail)

    async def owned_jobs(self, kind: str, owner_id: str) -> list[Job]:
        """A model's or a dataset's jobs as the public contract has them."""
        return await self.call("GET", self.user_path(kind, owner_id, "job"), list[Job])

    async def owned_job(self, kind: str, owner_id: str, job_id: str) -> Job:
        """One of them, with its result whole."""
        return await self.call("GET", self.user_path(kind, owner_id, "job", job_id), Job)

    async def cancel(self, job_id: str) -> JobView:
        return await self.call("POST", self.user_path("job", job_id, "cancel"), JobView)

    async def pause(self, job_id: str) -> JobView:
        return await self.call("POST", self.user_path("job", job_id, "pause"), JobView)

    async def resume(self, job_id: str) -> JobView:
        return await self.call("POST", self.user_path("job", job_id, "resume"), JobView)

    async def patch_job(self, job_id: str, body: JobPatch) -> JobView:
        """Change a job that has not started."""
        return await self.call("PATCH", self.user_path("job", job_id), JobView, body=body)

    async def delete_job(self, job_id: str) -> JobView:
        """Remove an ended job with its files; returns it as it was."""
        return await self.call("DELETE", self.user_path("job", job_id), JobView)
