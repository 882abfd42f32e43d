"""Endpoints of jobs: of one model or dataset, as in the published API, and of all jobs of a user."""

from __future__ import annotations

from typing import Any, ClassVar

from litestar import Controller, Response, delete, get, patch, post
from litestar.openapi.datastructures import ResponseSpec

from store.records import JobFilter, JobRecord, UserRecord
from taod.api import query
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import BAD_REQUEST, CONFLICT, WARNING_HEADER
from taod.api.request_parsing import SPEC_BYTES, read_body, read_json, shown, to_struct
from taod.api.responses import read, read_stored, warned
from taod.errors import BadRequest
from taod.types.common import DATASET, MODEL, JobSort, OwnerKind
from taod.types.job import Job, JobDetail, JobPatch, JobRun, JobView
from taod.types.leaderboard import Leaderboard
from taod.types.plan import PlannedJob
from taod.types.state import State, Status


class OwnedJobsController(Controller):
    """Jobs of one owner."""

    kind: ClassVar[OwnerKind]

    @get(summary="List Jobs", opt={"query": ("skip", "size", "job_sort")})
    async def list_jobs(
        self, request: Call, services: TheServices, user: TheUser, owner_id: PathText
    ) -> Response[list[Job]]:
        """The owner's jobs; of another user's public model they come without their messages."""
        sort = query.choice(request, "sort", JobSort) or JobSort.DATE_DESCENDING
        page = query.page(request)
        return await read_stored(services, user.id, services.jobs.of_owner, user.id, self.kind, owner_id, sort, page)

    @post(
        summary="Run Jobs",
        opt={
            "body": list[JobRun],
            "query": ("dry_run",),
        },
        responses={200: ResponseSpec(list[PlannedJob], description="The jobs that would be created")},
        response_headers=WARNING_HEADER,
    )
    async def run_jobs(
        self, request: Call, services: TheServices, user: TheUser, owner_id: PathText
    ) -> Response[list[str]]:
        """Create one job for each action, all or none; the actions of an entry form a chain."""
        runs = to_runs(await read_json(request))
        if query.flag(request, "dry_run"):
            plan = await read(services, user.id, services.dry_run.plan, user.id, self.kind, owner_id, runs)
            plan.status_code = 200
            return plan
        warnings = await services.lineage.before(user.id, self.kind, owner_id)
        created = await services.submission.post(user.id, self.kind, owner_id, runs, warnings)
        return Response(created, status_code=201, headers=warned(services.jobs.warnings(created)))

    @get("/{job_id:str}", summary="Retrieve Job")
    async def get_job(self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText) -> Job:
        """One job with its complete result."""
        return services.jobs.read(user.id, self.kind, owner_id, job_id)

    @delete("/{job_id:str}", summary="Delete Job", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def delete_job(self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText) -> Job:
        """Delete a job that has ended, with its files."""
        job = services.jobs.owned(user.id, self.kind, owner_id, job_id)
        answer = services.jobs.public(job)
        await services.jobs.delete(job)
        return answer

    @post("/{job_id:str}/cancel", summary="Cancel Job", status_code=200, responses=CONFLICT)
    async def cancel_job(self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText) -> Job:
        """Cancel a job and the jobs that wait for it; it ends as `Error`, asynchronously."""
        job = services.jobs.owned(user.id, self.kind, owner_id, job_id)
        return services.jobs.public(await services.jobs.cancel(job))


class DatasetJobsController(OwnedJobsController):
    kind = DATASET
    path = "/api/v1/user/{user_id:str}/dataset/{owner_id:str}/job"
    tags = ("DATASET",)


class ModelJobsController(OwnedJobsController):
    kind = MODEL
    path = "/api/v1/user/{user_id:str}/model/{owner_id:str}/job"
    tags = ("MODEL",)

    @post("/{job_id:str}", summary="Cancel Model Job or pause training", status_code=200, responses=CONFLICT)
    async def cancel_or_pause_job(
        self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText
    ) -> Job:
        """Pause a running training so that it can be resumed from its last checkpoint; cancel anything else."""
        job = services.jobs.owned(user.id, self.kind, owner_id, job_id)
        return services.jobs.public(await services.jobs.cancel_or_pause(job))

    @post("/{job_id:str}/resume", summary="Resume Model Job", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def resume_job(self, services: TheServices, user: TheUser, owner_id: PathText, job_id: PathText) -> Job:
        """Resume a paused, cancelled or failed training from its last checkpoint, under the same id."""
        job = services.jobs.owned(user.id, self.kind, owner_id, job_id)
        return services.jobs.public(services.jobs.resume(job))


class AllJobsController(Controller):
    """Jobs of one user, over all models and datasets."""

    path = "/api/v1/user/{user_id:str}/job"
    tags = ("JOB",)

    @get(
        summary="List all Jobs",
        opt={"query": ("skip", "size", "job_sort", "status", "state", "action", "network", "text", "trials")},
    )
    async def list_all(self, request: Call, services: TheServices, user: TheUser) -> Response[list[JobView]]:
        """Jobs over all of the user's models and datasets; results come without kpi, graphical and categorical."""
        sort = query.choice(request, "sort", JobSort) or JobSort.DATE_DESCENDING
        wanted, page = _filter(request, user), query.page(request)
        return await read_stored(services, user.id, services.jobs.page, wanted, sort, page)

    @get(
        "/counts",
        summary="Number of Jobs in each state",
        opt={"query": ("status", "state", "action", "network", "text", "trials")},
    )
    async def counts(self, request: Call, services: TheServices, user: TheUser) -> dict[str, int]:
        """The number of jobs in each state, also of states without jobs."""
        return services.jobs.counts(_filter(request, user))

    @get(
        "/leaderboard",
        summary="Jobs ranked by a metric",
        opt={"query": ("metric", "network", "dataset", "action", "trials", "skip", "size")},
        responses=BAD_REQUEST,
    )
    async def leaderboard(self, request: Call, services: TheServices, user: TheUser) -> Response[Leaderboard]:
        """Jobs by their best value of a metric. Without `metric`: the main one of the newest job that reports it."""
        dataset = query.text(request, "dataset")
        wanted = JobFilter(
            user_id=user.id,
            action=query.text(request, "action"),
            network=query.text(request, "network"),
            trials=query.flag(request, "trials"),
            dataset=dataset and dataset.lower(),
        )
        metric, page = query.text(request, "metric"), query.page(request)
        return await read(services, user.id, services.jobs.leaderboard, wanted, metric, page)

    @get("/{job_id:str}", summary="Everything about a Job")
    async def detail(self, services: TheServices, user: TheUser, job_id: PathText) -> Response[JobDetail]:
        """One job: result, history, specification, process, warnings, children."""
        return await read(services, user.id, services.jobs.detail, services.jobs.record(user.id, job_id))

    @patch("/{job_id:str}", summary="Change a Job that has not started", opt={"body": JobPatch}, responses=CONFLICT)
    async def change(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> JobView:
        """Change priority or specification of a job that has not started, or hold and release it."""
        services.jobs.record(user.id, job_id)
        body = await read_body(request, JobPatch, answer=JobView, limit=SPEC_BYTES)
        return (await services.jobs.patch(services.jobs.record(user.id, job_id), body)).view()

    @delete("/{job_id:str}", summary="Delete a Job", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def remove(self, services: TheServices, user: TheUser, job_id: PathText) -> JobView:
        """Delete a job that has ended, with its files."""
        job: JobRecord = services.jobs.record(user.id, job_id)
        await services.jobs.delete(job)
        return job.view()

    @post("/{job_id:str}/cancel", summary="Cancel a Job", status_code=200, responses=CONFLICT)
    async def cancel(self, services: TheServices, user: TheUser, job_id: PathText) -> JobView:
        """Cancel a job and the jobs that wait for it; it ends as `Error`, asynchronously."""
        return (await services.jobs.cancel(services.jobs.record(user.id, job_id))).view()

    @post("/{job_id:str}/pause", summary="Pause a training", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def pause(self, services: TheServices, user: TheUser, job_id: PathText) -> JobView:
        """Stop a running training so that it can be resumed from its last checkpoint."""
        return (await services.jobs.pause(services.jobs.record(user.id, job_id))).view()

    @post("/{job_id:str}/resume", summary="Resume a training", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def resume(self, services: TheServices, user: TheUser, job_id: PathText) -> JobView:
        """Resume a paused, cancelled or failed training from its last checkpoint, under the same id."""
        return services.jobs.resume(services.jobs.record(user.id, job_id)).view()


def to_runs(document: Any) -> list[JobRun]:
    """The body of a run request: an array of entries, or one entry. Raises BadRequest naming the entry's field."""
    if isinstance(document, dict):
        return [to_struct(document, JobRun)]
    if not isinstance(document, list) or not document:
        raise BadRequest(f'the body is {shown(document)}: expected {{"job": …, "actions": […]}}, or an array of these')
    return [to_struct(entry, JobRun, at=f"[{index}].") for index, entry in enumerate(document)]


def _filter(request: Call, user: UserRecord) -> JobFilter:
    statuses = query.several(request, "status", Status)
    states = query.several(request, "state", State)
    if statuses is not None:
        of_status = {state for state in State if state.public in statuses}
        states = of_status if states is None else states & of_status
    return JobFilter(
        user_id=user.id,
        states=None if states is None else frozenset(states),
        action=query.text(request, "action"),
        network=query.text(request, "network"),
        text=query.text(request, "text"),
        trials=query.flag(request, "trials"),
    )
