"""Calls about the parameters that the catalogue has, and dry runs of jobs."""

from __future__ import annotations

from collections.abc import Sequence

from taod.client.transport import Transport
from taod.types.job import JobRun
from taod.types.network import ParameterInfo
from taod.types.plan import PlannedJob


class CatalogueCalls(Transport):
    """Parameters of networks, and plans of jobs."""

    async def parameters(
        self,
        network: str,
        action: str | None = None,
        *,
        popular: bool | None = None,
        required: bool | None = None,
        automl: bool | None = None,
        hidden: bool | None = None,
        text: str | None = None,
    ) -> list[ParameterInfo]:
        """The parameters of a network's specifications; every argument narrows but `hidden`, which widens."""
        query = {
            "action": action,
            "popular": popular,
            "required": required,
            "automl": automl,
            "hidden": hidden,
            "text": text,
        }
        return await self.call("GET", f"/api/v1/networks/{network}/parameters", list[ParameterInfo], query=query)

    async def plan(self, kind: str, owner_id: str, runs: JobRun | Sequence[JobRun]) -> list[PlannedJob]:
        """What `run` with the same arguments would make; `kind` is `model` or `dataset`. Nothing is made."""
        body = [runs] if isinstance(runs, JobRun) else list(runs)
        path = self.user_path(kind, owner_id, "job")
        return await self.call("POST", path, list[PlannedJob], query={"dry_run": True}, body=body)
