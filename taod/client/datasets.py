"""Calls about data sets: the resource itself, its files on their way in, what was understood of them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from taod.client.transport import UNBOUNDED, Page, Transport, decode
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCreate,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetSummary,
    UploadAnswer,
)

CHUNK_BYTES = 1024 * 1024
Progress = Callable[[int, int], None]
"""Told (bytes sent, bytes in all) after each piece."""


class DatasetCalls(Transport):
    """Data sets of the user."""

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

    async def upload(self, dataset_id: str, path: Path, progress: Progress | None = None) -> UploadAnswer:
        """Send an archive as one multipart field, a piece at a time; returns when the daemon has unpacked it.

        Raises OSError when the file cannot be read.
        """
        boundary = f"taod-{secrets.token_hex(16)}"
        name = path.name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        async with self.stream(
            "POST",
            self.user_path("dataset", dataset_id, "upload"),
            headers=headers,
            content=_pieces(path, head, tail, size, progress),
            patience=UNBOUNDED,
        ) as response:
            return decode(await response.aread(), UploadAnswer)


async def _pieces(path: Path, head: bytes, tail: bytes, size: int, progress: Progress | None) -> AsyncIterator[bytes]:
    """The body of an upload. Exactly `size` bytes of the file are sent, as Content-Length has promised."""
    yield head
    sent = 0
    with path.open("rb") as file:
        while sent < size:
            piece = await asyncio.to_thread(file.read, min(CHUNK_BYTES, size - sent))
            if not piece:
                raise OSError(f"{path} became shorter while it was sent")
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, size)
    yield tail
