"""`client.sweeps`: sweeps, which are train jobs that search for the best parameters, and their trials."""

from __future__ import annotations

from taod.client.transport import Namespace
from taod.types.job import JobDetail
from taod.types.sweep import SweepView


class AsyncSweeps(Namespace):
    """Sweeps of the user's models."""

    async def get(self, job: JobDetail) -> SweepView:
        """The sweep of a job with all its trials."""
        return await self._transport.call("GET", self._path(job, "sweep"), SweepView)

    async def csv(self, job: JobDetail) -> str:
        """The trials of a sweep as CSV, one column per parameter."""
        return (await self._transport.send("GET", self._path(job, "sweep.csv"))).text

    async def finish(self, job: JobDetail) -> SweepView:
        """End a sweep: cancels open trials, and the best one becomes its model. Raises ClientError unless it runs."""
        return await self._transport.call("POST", self._path(job, "sweep/finish"), SweepView)

    def _path(self, job: JobDetail, resource: str) -> str:
        return f"{self._transport.user_path(job.job.owner_kind, job.job.owner_id, 'job', job.job.id)}/{resource}"
