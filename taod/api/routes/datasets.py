"""Endpoints of datasets, and of datasets from the results of jobs."""

from __future__ import annotations

from litestar import Controller, Response, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec

from store.records import ResourceFilter, UserRecord
from taod.api import query
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.openapi.openapi_responses import BAD_REQUEST, CONFLICT, UNSATISFIABLE, WARNING_HEADER
from taod.api.request_parsing import read_body
from taod.api.responses import read, read_stored, warned
from taod.datasets.upload import content_range, digests
from taod.datasets.upload.ingest import UploadOptions
from taod.services import Services
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetFromJob,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetSummary,
    DatasetType,
    UploadAnswer,
    UploadMode,
)

_UPLOAD = {
    "upload": True,
    "query": ("filename", "mode", "sha256"),
    "headers": ("Content-Range", "Content-Digest", "Repr-Digest"),
}
_UPLOAD_RESPONSES = (
    CONFLICT
    | UNSATISFIABLE
    | {308: ResponseSpec(UploadAnswer, description="This part was received; `Range` says which bytes the daemon has")}
)


class DatasetController(Controller):
    """Datasets of one user."""

    path = "/api/v1/user/{user_id:str}/dataset"
    tags = ("DATASET",)

    @get(summary="List Datasets", opt={"query": ("skip", "size", "sort", "name", "type")})
    async def list_datasets(self, request: Call, services: TheServices, user: TheUser) -> Response[list[Dataset]]:
        """The user's datasets, each with its jobs; the whole list's length is in `X-Total-Count`."""
        wanted = ResourceFilter(name=query.text(request, "name"), type=query.choice(request, "type", DatasetType))
        sort = query.choice(request, "sort", Sort) or Sort.DATE_DESCENDING
        return await read_stored(services, user.id, services.datasets.page, user.id, wanted, sort, query.page(request))

    @post(summary="Create new Dataset", opt={"body": DatasetCreate})
    async def create_dataset(self, request: Call, services: TheServices, user: TheUser) -> Dataset:
        """Create a dataset without data; its type and format define the files that it takes."""
        return services.datasets.create(user.id, await read_body(request, DatasetCreate, answer=Dataset))

    @get("/{dataset_id:str}", summary="Retrieve Dataset", response_headers=WARNING_HEADER)
    async def get_dataset(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Response[Dataset]:
        """One dataset with its jobs; a header warns if its linked folder has changed."""
        warnings = await services.datasets.warnings(user.id, dataset_id)
        answer = await read_stored(services, user.id, services.datasets.get, user.id, dataset_id)
        answer.headers.update(warned(warnings))
        return answer

    @put("/{dataset_id:str}", summary="Update Dataset", opt={"body": DatasetPut})
    async def put_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> Response[Dataset]:
        """Replace the writable fields, absent ones by defaults; type and format cannot be changed."""
        services.dataset_records.get(user.id, dataset_id)
        services.datasets.update(user.id, dataset_id, await read_body(request, DatasetPut, answer=Dataset))
        return await read_stored(services, user.id, services.datasets.get, user.id, dataset_id)

    @patch("/{dataset_id:str}", summary="Partial update Dataset", opt={"body": DatasetPatch})
    async def patch_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> Response[Dataset]:
        """Set the given fields; type and format cannot be changed."""
        services.dataset_records.get(user.id, dataset_id)
        services.datasets.update(user.id, dataset_id, await read_body(request, DatasetPatch, answer=Dataset))
        return await read_stored(services, user.id, services.datasets.get, user.id, dataset_id)

    @delete("/{dataset_id:str}", summary="Delete Dataset", status_code=200, responses=BAD_REQUEST | CONFLICT)
    async def delete_dataset(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Response[Dataset]:
        """Cancel the dataset's jobs and delete it with its files; rejected while a model uses it."""
        dataset = await read_stored(services, user.id, services.datasets.get, user.id, dataset_id)
        await services.datasets.delete(user.id, dataset_id)
        return dataset

    @post(
        "/{dataset_id:str}/upload",
        summary="Upload Dataset",
        request_max_body_size=None,
        opt=_UPLOAD,
        responses=_UPLOAD_RESPONSES,
    )
    async def upload_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> Response[UploadAnswer]:
        """Receive an archive and check it; when complete it replaces the data, or is added to it."""
        return await _uploaded(request, services, user, dataset_id)

    @put(
        "/{dataset_id:str}/upload",
        summary="Upload Dataset, whole or in parts",
        request_max_body_size=None,
        status_code=201,
        opt=_UPLOAD,
        responses=_UPLOAD_RESPONSES,
    )
    async def put_upload(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> Response[UploadAnswer]:
        """Receive an archive, or with `Content-Range` a part of it that continues the earlier ones."""
        return await _uploaded(request, services, user, dataset_id)

    @delete("/{dataset_id:str}/upload", summary="Cancel an upload in parts", status_code=200, responses=CONFLICT)
    async def delete_upload(self, services: TheServices, user: TheUser, dataset_id: PathText) -> DatasetSummary:
        """Delete the received parts of an upload; the data of the dataset stays."""
        return await services.datasets.give_up_upload(user.id, dataset_id)

    @post(
        "/{dataset_id:str}/link",
        summary="Use a local folder as the Dataset",
        opt={"body": DatasetLink},
        responses=CONFLICT,
    )
    async def link_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> DatasetSummary:
        """Use a folder of this machine in place, without changing it; it must be inside `storage.link_roots`."""
        services.dataset_records.get(user.id, dataset_id)
        return await services.datasets.link(user.id, dataset_id, await read_body(request, DatasetLink))

    @get("/{dataset_id:str}/summary", summary="Summary of the Dataset's files")
    async def get_summary(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Response[DatasetSummary]:
        """Splits, images and classes of the files, and the progress of an upload."""
        await services.datasets.warnings(user.id, dataset_id)
        return await read(services, user.id, services.datasets.summary, user.id, dataset_id)


class DerivedController(Controller):
    """Datasets of one user's jobs."""

    path = "/api/v1/user/{user_id:str}/job/{job_id:str}/dataset"
    tags = ("JOB",)

    @post(summary="Create a Dataset from a Job's results", opt={"body": DatasetFromJob})
    async def make_dataset(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> Dataset:
        """Create a dataset from the results of a data services job; it records that job."""
        services.jobs.record(user.id, job_id)
        return await services.derived.create(user.id, job_id, await read_body(request, DatasetFromJob))


async def _uploaded(request: Call, services: Services, user: UserRecord, dataset_id: str) -> Response[UploadAnswer]:
    """The complete archive: 201; a part of it, or a query of its progress: 308, with `Range`."""
    services.dataset_records.get(user.id, dataset_id)
    headers = request.headers
    length = headers.get("content-length", "")
    options = UploadOptions(
        content_type=headers.get("content-type", ""),
        filename=query.text(request, "filename"),
        mode=query.choice(request, "mode", UploadMode) or UploadMode.REPLACE,
        body_bytes=int(length) if length.isdigit() else None,
        content_digest=digests.parse("Content-Digest", headers.get("content-digest")),
        sha256=digests.one(
            digests.parse("Repr-Digest", headers.get("repr-digest")),
            digests.parse_hex("sha256", query.text(request, "sha256")),
        ),
    )
    part = content_range.parse(headers.get("content-range"))
    async with services.transfers.turn(f"uploads of {user.id}"):
        answer = await services.datasets.upload(user.id, dataset_id, request.stream(), options, part)
    if answer.received is None:
        return Response(answer, status_code=201)
    return Response(answer, status_code=308, headers=content_range.range_header(answer.received))
