"""Endpoints of data sets."""

from __future__ import annotations

from litestar import Controller, Response, delete, get, patch, post, put

from store.records import ResourceFilter
from taod.api import query
from taod.api.body import read_body
from taod.api.dependencies import Call, PathText, TheServices, TheUser, listed
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetSummary,
    DatasetType,
    UploadAnswer,
)


class DatasetController(Controller):
    """Data sets of one user."""

    path = "/api/v1/user/{user_id:str}/dataset"
    tags = ("DATASET",)

    @get(summary="List Datasets", opt={"query": ("skip", "size", "sort", "name", "type")})
    async def list_datasets(self, request: Call, services: TheServices, user: TheUser) -> Response[list[Dataset]]:
        """The user's data sets, each with its jobs; the whole list's length is in `X-Total-Count`."""
        wanted = ResourceFilter(name=query.text(request, "name"), type=query.choice(request, "type", DatasetType))
        sort = query.choice(request, "sort", Sort) or Sort.DATE_DESCENDING
        return listed(services.datasets.page(user.id, wanted, sort, query.page(request)))

    @post(summary="Create new Dataset", opt={"body": DatasetCreate})
    async def create_dataset(self, request: Call, services: TheServices, user: TheUser) -> Dataset:
        """Make a data set without data yet; its type and format say which files it takes."""
        return services.datasets.create(user.id, await read_body(request, DatasetCreate, answer=Dataset))

    @get("/{dataset_id:str}", summary="Retrieve Dataset")
    async def get_dataset(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Dataset:
        """One data set with its jobs."""
        return services.datasets.get(user.id, dataset_id)

    @put("/{dataset_id:str}", summary="Update Dataset", opt={"body": DatasetPut})
    async def put_dataset(self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText) -> Dataset:
        """Replace the writable fields, absent ones by defaults; type and format may only repeat what they are."""
        services.datasets.record(user.id, dataset_id)
        return services.datasets.update(user.id, dataset_id, await read_body(request, DatasetPut, answer=Dataset))

    @patch("/{dataset_id:str}", summary="Partial update Dataset", opt={"body": DatasetPatch})
    async def patch_dataset(self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText) -> Dataset:
        """Set the given fields; type and format may only repeat what they are."""
        services.datasets.record(user.id, dataset_id)
        return services.datasets.update(user.id, dataset_id, await read_body(request, DatasetPatch, answer=Dataset))

    @delete("/{dataset_id:str}", summary="Delete Dataset", status_code=200)
    async def delete_dataset(self, services: TheServices, user: TheUser, dataset_id: PathText) -> Dataset:
        """Cancel the data set's jobs and delete it with its files; refused while a model uses it."""
        return await services.datasets.delete(user.id, dataset_id)

    @post(
        "/{dataset_id:str}/upload",
        summary="Upload Dataset",
        request_max_body_size=None,
        opt={"upload": True, "query": ("filename",)},
    )
    async def upload_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> UploadAnswer:
        """Take an archive in and check it; it replaces what was there once it is whole."""
        return await services.datasets.upload(
            user.id,
            dataset_id,
            request.stream(),
            request.headers.get("content-type", ""),
            query.text(request, "filename"),
        )

    @post("/{dataset_id:str}/link", summary="Use a local folder as the Dataset", opt={"body": DatasetLink})
    async def link_dataset(
        self, request: Call, services: TheServices, user: TheUser, dataset_id: PathText
    ) -> DatasetSummary:
        """Use a folder of this machine in place, without changing it; it must lie inside `storage.link_roots`."""
        services.datasets.record(user.id, dataset_id)
        return await services.datasets.link(user.id, dataset_id, await read_body(request, DatasetLink))

    @get("/{dataset_id:str}/summary", summary="What was understood of the Dataset's files")
    async def get_summary(self, services: TheServices, user: TheUser, dataset_id: PathText) -> DatasetSummary:
        """What was understood of the files: splits, pictures and classes."""
        return services.datasets.summary(user.id, dataset_id)
