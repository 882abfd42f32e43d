"""Endpoints of a dataset's content: the report of its full check, and samples of its images."""

from __future__ import annotations

from litestar import Controller, Response, delete, get, post

from taod.api import query
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.request_parsing import read_body
from taod.api.responses import read
from taod.errors import NotFound
from taod.types.dataset import DatasetCheck, DatasetReport, DatasetSample


class ReviewController(Controller):
    """Reviews of one user's datasets."""

    path = "/api/v1/user/{user_id:str}/dataset/{dataset_id:str}"
    tags = ("DATASET",)

    @get("/report", summary="Report of the Dataset's full check")
    async def get_report(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Response[DatasetReport]:
        """Counts, and the first problems by file and line; during the check, its progress."""
        return await read(services, user.id, services.checks.report, user.id, dataset_id)

    @post("/check", summary="Check the Dataset's files", opt={"body": DatasetCheck})
    async def begin_check(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> DatasetReport:
        """Start the full check in the background; a running one is restarted."""
        services.dataset_records.get(user.id, dataset_id)
        body = await read_body(request, DatasetCheck)
        return services.checks.begin(user.id, dataset_id, deep=body.deep)

    @delete("/check", summary="Cancel the check of the Dataset's files", status_code=200)
    async def cancel_check(self, services: TheServices, user: TheUser, dataset_id: PathText) -> DatasetReport:
        """Cancel a running check."""
        return await services.checks.cancel(user.id, dataset_id)

    @get("/samples", summary="Some images of the Dataset")
    async def get_samples(self, services: TheServices, user: TheUser, dataset_id: PathText) -> list[DatasetSample]:
        """Up to 24 images, chosen at random and then kept, with the classes and the number of boxes of each."""
        return await services.samples.page(user.id, dataset_id)

    @get(
        "/samples/{number:str}",
        summary="Thumbnail of a sample",
        media_type="image/jpeg",
        opt={"query": ("boxes",)},
    )
    async def get_sample(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText, number: PathText
    ) -> Response[bytes]:
        """A JPEG of at most 256 pixels a side, with boxes or masks drawn unless `boxes=false`."""
        services.dataset_records.get(user.id, dataset_id)
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise NotFound(f"there is no sample {number[:40]!r}; GET …/samples lists them")
        boxes = query.flag(request, "boxes") is not False
        thumbnail = await services.samples.thumbnail(user.id, dataset_id, int(number), boxes=boxes)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return Response(thumbnail, media_type="image/jpeg", headers=headers)
