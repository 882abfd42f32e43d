"""`client.files`: the artifacts of a job, single or all in one archive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from taod.client.errors import ClientError
from taod.client.transport import UNBOUNDED, Namespace
from taod.types.common import OwnerKind
from taod.types.job import Artifact

PIECE_BYTES = 1024 * 1024
Artifacts: TypeAlias = list[Artifact]
Received = Callable[[int, int | None], None]
"""Called with (bytes received, total bytes or None if the daemon sends no length)."""


class AsyncFiles(Namespace):
    """Artifacts of jobs."""

    async def list(self, job_id: str) -> Artifacts:
        return await self._transport.call("GET", self._transport.user_path("job", job_id, "files"), Artifacts)

    async def download(self, job_id: str, path: str, into: Path, progress: Received | None = None) -> Path:
        """Write one file to `into`; `path` is as in `list`. Raises ClientError 404 for a path with `..` in it."""
        return await self._save(self._path(job_id, path), into, progress)

    async def read(self, job_id: str, path: str, start: int, end: int) -> bytes:
        """Bytes `start` (included) to `end` (excluded) of one file, fewer if it is shorter."""
        return await self._transport.read_range(self._path(job_id, path), start, end, absent=frozenset({416}))

    async def download_all(
        self, kind: OwnerKind, owner_id: str, job_id: str, into: Path, progress: Received | None = None
    ) -> Path:
        """Write all files of a job to `into` as .tar.gz; `kind` of its owner is `model` or `dataset`."""
        return await self._save(self._transport.user_path(kind, owner_id, "job", job_id, "download"), into, progress)

    def _path(self, job_id: str, path: str) -> str:
        """The URL path of a file. Raises ClientError for a path that would address another resource."""
        if {".", "..", ""} & {*path.split("/")}:
            raise ClientError(404, f"the job has no file {path!r}")
        return f"{self._transport.user_path('job', job_id, 'files')}/{quote(path)}"

    async def _save(self, location: str, into: Path, progress: Received | None) -> Path:
        """Stream a response into a file, which appears under its name when it is complete."""
        partial = into.with_name(f".{into.name}.part")
        try:
            async with self._transport.stream("GET", location, patience=UNBOUNDED) as response:
                length = response.headers.get("Content-Length")
                total, received = int(length) if length else None, 0
                with partial.open("wb") as file:
                    async for piece in response.aiter_bytes(PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
                        received += len(piece)
                        if progress is not None:
                            progress(received, total)
            partial.replace(into)
        finally:
            partial.unlink(missing_ok=True)
        return into
