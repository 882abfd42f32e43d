"""Endpoints of sweeps: a train job with its trials, as JSON and as CSV."""

from __future__ import annotations

from litestar import Controller, Response, get, post

from taod.api.dependencies import PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import BAD_REQUEST, CONFLICT
from taod.types.common import MODEL
from taod.types.sweep import SweepView


class SweepController(Controller):
    """The search of one train job of a model."""

    path = "/api/v1/user/{user_id:str}/model/{owner_id:str}/job/{job_id:str}"
    tags = ("MODEL",)

    @get("/sweep", summary="Sweep of a Job, with its trials")
    async def get_sweep(self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText) -> SweepView:
        return await services.sweeps.view(services.jobs.owned(user.id, MODEL, owner_id, job_id))

    @post(
        "/sweep/finish",
        summary="End a sweep early, with its best trial",
        status_code=200,
        responses=BAD_REQUEST | CONFLICT,
    )
    async def finish_sweep(
        self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText
    ) -> SweepView:
        """Cancel its open trials and make the best one the sweep's model; it ends as `Done`, asynchronously."""
        await services.sweeps.finish(services.jobs.owned(user.id, MODEL, owner_id, job_id))
        return await services.sweeps.view(services.jobs.owned(user.id, MODEL, owner_id, job_id))

    @get("/sweep.csv", summary="Trials of a sweep as CSV", media_type="text/csv")
    async def get_sweep_csv(
        self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText
    ) -> Response[str]:
        text = await services.sweeps.table(services.jobs.owned(user.id, MODEL, owner_id, job_id))
        headers = {"Content-Disposition": f'attachment; filename="sweep-{job_id[:8]}.csv"'}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
