"""Calls about what a job left behind: its files one by one, or all in one archive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from taod.client.errors import ClientError
from taod.client.transport import UNBOUNDED, Transport
from taod.types.job import Artifact

PIECE_BYTES = 1024 * 1024
Received = Callable[[int, int | None], None]
"""Told (bytes received, bytes in all or None where the daemon does not say)."""


class FileCalls(Transport):
    """Artifacts of jobs."""

    async def files(self, job_id: str) -> list[Artifact]:
        return await self.call("GET", self.user_path("job", job_id, "files"), list[Artifact])

    async def file(self, job_id: str, path: str, into: Path, progress: Received | None = None) -> Path:
        """One file, written to `into`; `path` is as `files` tells it.

        Raises ClientError for a path that leads elsewhere: in an address it would mean something else than a file.
        """
        if {".", "..", ""} & set(path.split("/")):
            raise ClientError(404, f"the job has no file {path!r}")
        return await self._save(f"{self.user_path('job', job_id, 'files')}/{quote(path)}", into, progress)

    async def file_part(self, job_id: str, path: str, start: int, end: int) -> bytes:
        """Bytes `start` (included) to `end` (not included) of one file, fewer where it is shorter."""
        if {".", "..", ""} & set(path.split("/")):
            raise ClientError(404, f"the job has no file {path!r}")
        location = f"{self.user_path('job', job_id, 'files')}/{quote(path)}"
        try:
            async with self.stream("GET", location, headers={"Range": f"bytes={start}-{end - 1}"}) as response:
                return await response.aread()
        except ClientError as error:
            if error.status != 416:
                raise
            return b""

    async def download(
        self, kind: str, owner_id: str, job_id: str, into: Path, progress: Received | None = None
    ) -> Path:
        """The whole job as a .tar.gz, written to `into`."""
        return await self._save(self.user_path(kind, owner_id, "job", job_id, "download"), into, progress)

    async def _save(self, location: str, into: Path, progress: Received | None) -> Path:
        """Stream an answer into a file, which appears under its name only when it is whole."""
        aside = into.with_name(f".{into.name}.part")
        try:
            async with self.stream("GET", location, patience=UNBOUNDED) as response:
                length = response.headers.get("Content-Length")
                total, received = int(length) if length else None, 0
                with aside.open("wb") as file:
                    async for piece in response.aiter_bytes(PIECE_BYTES):
                        await asyncio.to_thread(file.write, piece)
                        received += len(piece)
                        if progress is not None:
                            progress(received, total)
            aside.replace(into)
        finally:
            aside.unlink(missing_ok=True)
        return into
