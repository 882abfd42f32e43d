"""Calls about models and pretrained weights."""

from __future__ import annotations

from taod.client.transport import Page, Transport
from taod.types.common import Sort
from taod.types.model import Model, ModelCreate, ModelPatch, Ptm, PtmCreate


class ModelCalls(Transport):
    """Models that the user sees, and the catalogue of pretrained ones."""

    async def models(
        self,
        *,
        name: str | None = None,
        arch: str | None = None,
        read_only: bool | None = None,
        sort: Sort | None = None,
        skip: int | None = None,
        size: int | None = None,
    ) -> Page[Model]:
        query = {"name": name, "arch": arch, "read_only": read_only, "sort": sort, "skip": skip, "size": size}
        return await self.page(self.user_path("model"), Model, query)

    async def model(self, model_id: str) -> Model:
        return await self.call("GET", self.user_path("model", model_id), Model)

    async def create_model(self, body: ModelCreate) -> Model:
        return await self.call("POST", self.user_path("model"), Model, body=body)

    async def replace_model(self, model_id: str, body: ModelCreate) -> Model:
        return await self.call("PUT", self.user_path("model", model_id), Model, body=body)

    async def update_model(self, model_id: str, body: ModelPatch) -> Model:
        return await self.call("PATCH", self.user_path("model", model_id), Model, body=body)

    async def delete_model(self, model_id: str) -> Model:
        return await self.call("DELETE", self.user_path("model", model_id), Model)

    async def ptms(self, network_arch: str | None = None) -> list[Ptm]:
        return await self.call("GET", self.user_path("ptm"), list[Ptm], query={"network_arch": network_arch})

    async def register_ptm(self, body: PtmCreate) -> Ptm:
        return await self.call("POST", self.user_path("ptm"), Ptm, body=body)
