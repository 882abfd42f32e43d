"""`client.datasets`: datasets, their uploads, checks and samples."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, TypeAlias

from taod.client.transport import Namespace, Page
from taod.client.uploads import PipeProgress, Progress, Upload
from taod.types.common import Sort
from taod.types.dataset import (
    Dataset,
    DatasetCheck,
    DatasetCreate,
    DatasetFromJob,
    DatasetLink,
    DatasetPatch,
    DatasetPut,
    DatasetReport,
    DatasetSample,
    DatasetSummary,
    UploadAnswer,
    UploadMode,
)

Samples: TypeAlias = list[DatasetSample]


class AsyncDatasets(Namespace):
    """Datasets of the user."""

    async def list(
        self,
        *,
        name: str | None = None,
        type: str | None = None,
        sort: Sort | None = None,
        skip: int | None = None,
        size: int | None = None,
    ) -> Page[Dataset]:
        query = {"name": name, "type": type, "sort": sort, "skip": skip, "size": size}
        return await self._transport.page(self._path(), Dataset, query)

    async def get(self, dataset_id: str) -> Dataset:
        return await self._transport.call("GET", self._path(dataset_id), Dataset)

    async def create(self, body: DatasetCreate) -> Dataset:
        return await self._transport.call("POST", self._path(), Dataset, body=body)

    async def create_from_job(self, job_id: str, body: DatasetFromJob) -> Dataset:
        """Create a dataset from the artifacts of a data services job."""
        return await self._transport.call(
            "POST", self._transport.user_path("job", job_id, "dataset"), Dataset, body=body
        )

    async def replace(self, dataset_id: str, body: DatasetPut) -> Dataset:
        """Set all writable fields; absent ones get their defaults."""
        return await self._transport.call("PUT", self._path(dataset_id), Dataset, body=body)

    async def update(self, dataset_id: str, body: DatasetPatch) -> Dataset:
        return await self._transport.call("PATCH", self._path(dataset_id), Dataset, body=body)

    async def delete(self, dataset_id: str) -> Dataset:
        return await self._transport.call("DELETE", self._path(dataset_id), Dataset)

    async def summary(self, dataset_id: str) -> DatasetSummary:
        return await self._transport.call("GET", self._path(dataset_id, "summary"), DatasetSummary)

    async def link(self, dataset_id: str, path: str) -> DatasetSummary:
        """Use a folder of the daemon's machine in place."""
        return await self._transport.call(
            "POST", self._path(dataset_id, "link"), DatasetSummary, body=DatasetLink(path)
        )

    async def upload(
        self,
        dataset_id: str,
        path: Path,
        progress: Progress | None = None,
        *,
        mode: UploadMode = UploadMode.REPLACE,
        checksum: bool = True,
    ) -> UploadAnswer:
        """Send an archive. Returns when the daemon has extracted it.

        An archive over `uploads.PART_BYTES` is sent in parts; an interrupted upload, also of an earlier call, is
        resumed. With `checksum` the daemon verifies the SHA-256 of the file. Raises OSError if the file cannot be
        read, ClientError, NoDaemon.
        """
        return await Upload(self._transport, dataset_id, mode).send_file(path, progress, checksum=checksum)

    async def upload_pipe(
        self,
        dataset_id: str,
        source: BinaryIO,
        name: str,
        progress: PipeProgress | None = None,
        *,
        mode: UploadMode = UploadMode.REPLACE,
    ) -> UploadAnswer:
        """Send an archive from a pipe as it arrives, without length and digest; it cannot be resumed.

        `name` is its file name for the daemon. Closes `source`. Raises ClientError, NoDaemon; over plain HTTP also
        while the pipe is open and silent.
        """
        return await Upload(self._transport, dataset_id, mode).send_pipe(source, name, progress)

    async def cancel_upload(self, dataset_id: str) -> DatasetSummary:
        """Delete the received parts of an incomplete upload."""
        return await self._transport.call("DELETE", self._path(dataset_id, "upload"), DatasetSummary)

    async def report(self, dataset_id: str) -> DatasetReport:
        """The report of the full check."""
        return await self._transport.call("GET", self._path(dataset_id, "report"), DatasetReport)

    async def check(self, dataset_id: str, *, deep: bool = False) -> DatasetReport:
        """Start the full check, which runs in the background."""
        return await self._transport.call(
            "POST", self._path(dataset_id, "check"), DatasetReport, body=DatasetCheck(deep)
        )

    async def cancel_check(self, dataset_id: str) -> DatasetReport:
        return await self._transport.call("DELETE", self._path(dataset_id, "check"), DatasetReport)

    async def samples(self, dataset_id: str) -> Samples:
        """Some images, chosen at random once."""
        return await self._transport.call("GET", self._path(dataset_id, "samples"), Samples)

    async def thumbnail(self, dataset_id: str, number: int, *, boxes: bool = True) -> bytes:
        """The thumbnail of a sample as JPEG."""
        response = await self._transport.send(
            "GET", self._path(dataset_id, "samples", str(number)), query={"boxes": boxes}
        )
        return response.content

    def _path(self, *parts: str) -> str:
        return self._transport.user_path("dataset", *parts)
