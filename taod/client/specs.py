"""`client.specs`: specifications of a model's or a dataset's actions. `kind` is `model` or `dataset`."""

from __future__ import annotations

from typing import Any

from taod.client.errors import ClientError
from taod.client.transport import Namespace, decode
from taod.types.common import OwnerKind

Document = dict[str, Any]


class AsyncSpecs(Namespace):
    """Specifications and their schemas."""

    async def schema(self, kind: OwnerKind, owner_id: str, action: str) -> Document:
        """JSON Schema of an action; its `default` is a complete specification."""
        return await self._transport.call("GET", f"{self._path(kind, owner_id, action)}/schema", Document)

    async def get(self, kind: OwnerKind, owner_id: str, action: str) -> Document:
        """The saved specification. Raises ClientError 404 if none is saved."""
        return await self._transport.call("GET", self._path(kind, owner_id, action), Document)

    async def current(self, kind: OwnerKind, owner_id: str, action: str) -> Document:
        """The saved specification, or the default where none was saved."""
        try:
            return await self.get(kind, owner_id, action)
        except ClientError as error:
            if error.status != 404:
                raise
        # None is saved, or the owner or action does not exist; the schema's answer distinguishes the two.
        document: Document = (await self.schema(kind, owner_id, action))["default"]
        return document

    async def save(self, kind: OwnerKind, owner_id: str, action: str, document: Document) -> tuple[Document, str]:
        """Save a specification; returns it as stored, and the daemon's warnings (empty if there are none)."""
        return await self._write("POST", self._path(kind, owner_id, action), document)

    async def save_file(self, kind: OwnerKind, owner_id: str, action: str, content: bytes) -> tuple[Document, str]:
        """Save a specification file of the network's own tool, such as protobuf text; returns as `save`."""
        path = self._path(kind, owner_id, action)
        response = await self._transport.send("POST", path, text=(content, "text/plain"))
        return decode(response.content, Document), response.headers.get("X-Taod-Warnings", "")

    async def merge(self, kind: OwnerKind, owner_id: str, action: str, document: Document) -> tuple[Document, str]:
        """Merge into the saved specification; returns as `save`."""
        return await self._write("PUT", self._path(kind, owner_id, action), document)

    async def _write(self, method: str, path: str, document: Document) -> tuple[Document, str]:
        response = await self._transport.send(method, path, body=document)
        return decode(response.content, Document), response.headers.get("X-Taod-Warnings", "")

    def _path(self, kind: OwnerKind, owner_id: str, action: str) -> str:
        return self._transport.user_path(kind, owner_id, "specs", action)
