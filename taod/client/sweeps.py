"""Calls about sweeps: a train job that searches, and its trials."""

from __future__ import annotations

from taod.client.transport import Transport
from taod.types.job import JobDetail
from taod.types.sweep import SweepView


class SweepCalls(Transport):
    """Sweeps of the user's models."""

    async def sweep(self, job: JobDetail) -> SweepView:
        """The sweep of a job with all its trials."""
        return await self.call("GET", self._of(job, "sweep"), SweepView)

    async def sweep_csv(self, job: JobDetail) -> str:
        """Its trials as CSV, a column a parameter."""
        return (await self.send("GET", self._of(job, "sweep.csv"))).text

    async def finish_sweep(self, job: JobDetail) -> SweepView:
        """End it now: its open trials are cancelled, the best one is its model. Raises ClientError unless it runs."""
        return await self.call("POST", self._of(job, "sweep/finish"), SweepView)

    def _of(self, job: JobDetail, what: str) -> str:
        return self.user_path(job.job.owner_kind, job.job.owner_id, "job", job.job.id, what)
