"""Calls about datasets: the resource itself, its files on their way in, what was understood of them."""

from __future__ import annotations

from taod.client.transport import Page
from taod.client.uploads import UploadCalls
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetSummary,
)


class DatasetCalls(UploadCalls):
    """Datasets of the user."""

    async def datasets(
        self,
        *,
        name: str | None = None,
        type: str | None = None,
        sort: Sort | None = None,
        skip: int | None = None,
        size: int | None = None,
    ) -> Page[Dataset]:
        query = {"name": name, "type": type, "sort": sort, "skip": skip, "size": size}
        return await self.page(self.user_path("dataset"), Dataset, query)

    async def dataset(self, dataset_id: str) -> Dataset:
        return await self.call("GET", self.user_path("dataset", dataset_id), Dataset)

    async def create_dataset(self, body: DatasetCreate) -> Dataset:
        return await self.call("POST", self.user_path("dataset"), Dataset, body=body)

    async def replace_dataset(self, dataset_id: str, body: DatasetPut) -> Dataset:
        return await self.call("PUT", self.user_path("dataset", dataset_id), Dataset, body=body)

    async def update_dataset(self, dataset_id: str, body: DatasetPatch) -> Dataset:
        return await self.call("PATCH", self.user_path("dataset", dataset_id), Dataset, body=body)

    async def delete_dataset(self, dataset_id: str) -> Dataset:
        return await self.call("DELETE", self.user_path("dataset", dataset_id), Dataset)

    async def dataset_summary(self, dataset_id: str) -> DatasetSummary:
        return await self.call("GET", self.user_path("dataset", dataset_id, "summary"), DatasetSummary)

    async def link_dataset(self, dataset_id: str, path: str) -> DatasetSummary:
        """Use a folder of the daemon's machine in place."""
        location = self.user_path("dataset", dataset_id, "link")
        return await self.call("POST", location, DatasetSummary, body=DatasetLink(path))
