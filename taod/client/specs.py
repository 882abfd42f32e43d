"""Calls about specifications of a model's or a dataset's actions. `kind` is `model` or `dataset`."""

from __future__ import annotations

from typing import Any

from taod.client.transport import Transport, decode

Document = dict[str, Any]


class SpecCalls(Transport):
    """Specifications and their schemas."""

    async def schema(self, kind: str, owner_id: str, action: str) -> Document:
        """JSON Schema of an action; `default` in it is a whole specification."""
        return await self.call("GET", self.user_path(kind, owner_id, "specs", action, "schema"), Document)

    async def spec(self, kind: str, owner_id: str, action: str) -> Document:
        """The saved specification; ClientError 404 where none was saved."""
        return await self.call("GET", self.user_path(kind, owner_id, "specs", action), Document)

    async def save_spec(self, kind: str, owner_id: str, action: str, document: Document) -> tuple[Document, str]:
        """Save a specification; returns it as stored, and the daemon's warnings (empty where it has none)."""
        return await self._write("POST", kind, owner_id, action, document)

    async def save_spec_file(self, kind: str, owner_id: str, action: str, content: bytes) -> tuple[Document, str]:
        """Save the specification in a file of the network's own tool, such as protobuf text; returns as `save_spec`."""
        path = self.user_path(kind, owner_id, "specs", action)
        response = await self.send("POST", path, text=(content, "text/plain"))
        return decode(response.content, Document), response.headers.get("X-Taod-Warnings", "")

    async def merge_spec(self, kind: str, owner_id: str, action: str, document: Document) -> tuple[Document, str]:
        """Merge into the saved specification; returns as `save_spec` does."""
        return await self._write("PUT", kind, owner_id, action, document)

    async def _write(
        self, method: str, kind: str, owner_id: str, action: str, document: Document
    ) -> tuple[Document, str]:
        response = await self.send(method, self.user_path(kind, owner_id, "specs", action), body=document)
        return decode(response.content, Document), response.headers.get("X-Taod-Warnings", "")
