"""Endpoints of a job's files: the log, single files, and all files in one archive."""

from __future__ import annotations

import asyncio
import mimetypes
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, ClassVar
from urllib.parse import quote

from litestar import Controller, Response, get
from litestar.params import FromPath
from litestar.response import Stream

from store.records import JobRecord
from taod import plain_file
from taod.api import query, ranges
from taod.api.dependencies import Call, PathText, TheServices, TheUser
from taod.api.responses import read
from taod.api.streams import any_of, file_blocks, written_by
from taod.errors import NotFound
from taod.services.jobs.job_files import has_artifacts, list_artifacts, open_artifact, pack
from taod.telemetry import log as logs
from taod.types.common import DATASET, MODEL, OwnerKind
from taod.types.job import Artifact
from taod.types.state import State

LOG_SIZE = "X-Taod-Log-Size"
TEXT = "text/plain"
_MAX_LINES = 1_000_000


class FilesController(Controller):
    """Log and files of jobs; a subclass for each kind of owner."""

    kind: ClassVar[OwnerKind | None] = None

    @get(
        "/log",
        summary="Log of a Job",
        opt={"query": ("tail", "follow", "plain"), "headers": ("Range",)},
        media_type="text/plain",
    )
    async def get_log(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> Stream:
        """The output of the run: all, a range, the last lines, or everything until the job ends."""
        job = self._job(request, services, user, job_id)
        path = services.jobs.folder(job).log
        tail = query.number(request, "tail")
        size = plain_file.size(path)
        plain = query.flag(request, "plain") is True
        await services.jobs.mask_log(job)
        if query.flag(request, "follow"):
            return await _followed(request, services, job, path, tail, plain)
        if size is None:
            raise NotFound(f"job {job.id} has no log yet: it is {job.state} ({job.reason_text})")
        headers = {LOG_SIZE: str(size), "Accept-Ranges": "bytes", "Cache-Control": "no-store"}
        if tail is not None:
            block = await asyncio.to_thread(logs.tail, path, min(tail, _MAX_LINES))
            return _one_block(await asyncio.to_thread(logs.plain, block) if plain else block, headers)
        try:
            source = await asyncio.to_thread(plain_file.beneath, path.parent, path.name)
        except OSError as error:
            raise NotFound(f"the log of job {job.id} cannot be read: {error.strerror}") from error
        if plain:
            return Stream(_plain(file_blocks(source, 0, size)), media_type=TEXT, headers={LOG_SIZE: str(size)})
        return _part_of_file(request, source, size, TEXT, headers)

    @get("/files", summary="Files of a Job")
    async def get_files(
        self, request: Call, services: TheServices, user: TheUser, job_id: PathText
    ) -> Response[list[Artifact]]:
        """The files in the job's folder, by path."""
        folder = services.jobs.folder(self._job(request, services, user, job_id))
        return await read(services, user.id, list_artifacts, folder)

    @get("/files/{path:path}", summary="One file of a Job", opt={"headers": ("Range",), "content": "*/*"})
    async def get_file(
        self, request: Call, services: TheServices, user: TheUser, job_id: PathText, path: FromPath[Path]
    ) -> Stream:
        """One file, or a range of it."""
        job = self._job(request, services, user, job_id)
        await services.jobs.mask_log(job)
        folder = services.jobs.folder(job)
        source = await asyncio.to_thread(open_artifact, folder, str(path))
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        if kind.startswith("text/") or kind in ("application/json", "application/yaml"):
            kind = TEXT
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.name)}",
            "X-Content-Type-Options": "nosniff",
        }
        return _part_of_file(request, source, os.fstat(source.fileno()).st_size, kind, headers)

    @get("/download", summary="Download Job Artifacts", media_type="application/octet-stream")
    async def download(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> Stream:
        """All files of the job as one `.tar.gz`, in one folder named by the job's id."""
        job = self._job(request, services, user, job_id)
        folder = services.jobs.folder(job)
        if not await asyncio.to_thread(has_artifacts, folder):
            raise NotFound(f"job {job.id} has nothing to download yet: it is {job.state} ({job.reason_text})")
        await services.jobs.mask_log(job)

        async def packed() -> AsyncIterator[bytes]:
            async with (
                services.transfers.turn(f"downloads of {user.id}"),
                aclosing(written_by(lambda into: pack(folder, job.id, into))) as blocks,
            ):
                async for block in blocks:
                    yield block

        return Stream(
            packed(),
            media_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{job.id}.tar.gz"'},
        )

    def _job(self, request: Call, services: TheServices, user: TheUser, job_id: PathText) -> JobRecord:
        if self.kind is None:
            return services.jobs.record(user.id, job_id)
        return services.jobs.owned(user.id, self.kind, request.path_params["owner_id"], job_id)


class AllFilesController(FilesController):
    path = "/api/v1/user/{user_id:str}/job/{job_id:str}"
    tags = ("JOB",)


class DatasetFilesController(FilesController):
    kind = DATASET
    path = "/api/v1/user/{user_id:str}/dataset/{owner_id:str}/job/{job_id:str}"
    tags = ("DATASET",)


class ModelFilesController(FilesController):
    kind = MODEL
    path = "/api/v1/user/{user_id:str}/model/{owner_id:str}/job/{job_id:str}"
    tags = ("MODEL",)


async def _plain(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Render a log's blocks as a terminal would, line by line."""
    reader = logs.Plain()
    async for block in blocks:
        if shown := await asyncio.to_thread(reader.feed, block):
            yield shown
    yield await asyncio.to_thread(reader.finish)


async def _followed(
    request: Call, services: TheServices, job: JobRecord, path: Path, tail: int | None, plain: bool
) -> Stream:
    """Stream the log from its tail, the range's start or the first byte, until the job ends."""
    stream = services.streams.reserve(request.scope["user"].id)
    ended_already = job.state.ended or job.state is State.PAUSED
    found = plain_file.size(path)
    if found is None and ended_already:
        raise NotFound(f"job {job.id} has no log: it is {job.state} ({job.reason_text})")
    size = found or 0
    start = 0
    if tail is not None and size:
        start = size - len(await asyncio.to_thread(logs.tail, path, min(tail, _MAX_LINES)))
    elif (header := request.headers.get("range")) and size:
        start = _start(header, size)

    if found is None:
        # A new file is noticed at once only in an existing folder.
        path.parent.mkdir(parents=True, exist_ok=True)

    async def flow() -> AsyncIterator[bytes]:
        async with (
            stream,
            services.jobs.ending(job) as ended,
            any_of(ended, services.closing) as until,
            aclosing(
                logs.follow(path, max(start, 0), until, services.watches, lambda: services.jobs.mask_log(job))
            ) as blocks,
        ):
            async for block in blocks:
                yield block

    return Stream(
        _plain(flow()) if plain else flow(), media_type=TEXT, headers={LOG_SIZE: str(size), "Cache-Control": "no-store"}
    )


def _start(header: str, size: int) -> int:
    """Offset from which the log is followed; the end for a range that starts there."""
    try:
        part = ranges.parse(header, size)
    except ranges.Unsatisfiable:
        return size
    return 0 if part is None else part.start


def _one_block(block: bytes, headers: dict[str, str]) -> Stream:
    return Stream([block], media_type=TEXT, headers=headers | {"Content-Length": str(len(block))})


def _part_of_file(request: Call, source: BinaryIO, size: int, kind: str, headers: dict[str, str]) -> Stream:
    """An open file, or the requested range of it; closes it. Raises Unsatisfiable."""
    try:
        part = ranges.parse(request.headers.get("range"), size)
    except ranges.Unsatisfiable:
        source.close()
        raise
    start, length, status = (0, size, 200) if part is None else (part.start, part.length, 206)
    if part is not None:
        headers = headers | {"Content-Range": f"bytes {part.start}-{part.end - 1}/{size}"}
    headers = headers | {"Content-Length": str(length)}
    return Stream(file_blocks(source, start, length), status_code=status, media_type=kind, headers=headers)
