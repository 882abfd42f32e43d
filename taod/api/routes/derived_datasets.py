"""Endpoint that creates a dataset from the results of a job."""

from __future__ import annotations

from litestar import Controller, post

from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.request_parsing import read_body
from taod.types.dataset import Dataset, DatasetFromJob


class DerivedController(Controller):
    """Datasets of one user's jobs."""

    path = "/api/v1/user/{user_id:str}/job/{job_id:str}/dataset"
    tags = ("JOB",)

    @post(summary="Create a Dataset from a Job's results", opt={"body": DatasetFromJob})
    async def make_dataset(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> Dataset:
        """Create a dataset from the results of a data services job; it records that job."""
        services.jobs.record(user.id, job_id)
        return await services.derived.make(user.id, job_id, await read_body(request, DatasetFromJob))
