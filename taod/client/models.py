"""`client.models`, `client.ptms`: models and pretrained models."""

from __future__ import annotations

from typing import TypeAlias

from taod.client.transport import Namespace, Page
from taod.types.common import Sort
from taod.types.model import Model, ModelCreate, ModelPatch, Ptm, PtmCreate
from taod.types.release_change import ReleaseChange, ReleaseMove

Ptms: TypeAlias = list[Ptm]


class AsyncModels(Namespace):
    """Models that the user can read: own and public ones."""

    async def list(
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
        return await self._transport.page(self._path(), Model, query)

    async def get(self, model_id: str) -> Model:
        return await self._transport.call("GET", self._path(model_id), Model)

    async def create(self, body: ModelCreate) -> Model:
        return await self._transport.call("POST", self._path(), Model, body=body)

    async def replace(self, model_id: str, body: ModelCreate) -> Model:
        """Set all writable fields; absent ones get their defaults."""
        return await self._transport.call("PUT", self._path(model_id), Model, body=body)

    async def update(self, model_id: str, body: ModelPatch) -> Model:
        return await self._transport.call("PATCH", self._path(model_id), Model, body=body)

    async def preview_release(self, model_id: str, release: str | None = None) -> ReleaseChange:
        """The changes of the model's specifications by a move to a release, without storing them."""
        return await self._transport.call("GET", self._path(model_id, "release"), ReleaseChange, query={"to": release})

    async def move_release(
        self, model_id: str, release: str, *, convert: bool = True, abandon_checkpoints: bool = False
    ) -> ReleaseChange:
        """Move the model to a release; without `convert` its saved specifications are deleted.

        A model with checkpoints needs `abandon_checkpoints`, since another release cannot use them.
        """
        body = ReleaseMove(release, convert, abandon_checkpoints)
        return await self._transport.call("POST", self._path(model_id, "release"), ReleaseChange, body=body)

    async def delete(self, model_id: str) -> Model:
        return await self._transport.call("DELETE", self._path(model_id), Model)

    def _path(self, *parts: str) -> str:
        return self._transport.user_path("model", *parts)


class AsyncPtms(Namespace):
    """Pretrained models: the catalogue's and the user's own."""

    async def list(self, network_arch: str | None = None) -> Ptms:
        path = self._transport.user_path("ptm")
        return await self._transport.call("GET", path, Ptms, query={"network_arch": network_arch})

    async def register(self, body: PtmCreate) -> Ptm:
        """Use weights that are on the daemon's machine."""
        return await self._transport.call("POST", self._transport.user_path("ptm"), Ptm, body=body)
