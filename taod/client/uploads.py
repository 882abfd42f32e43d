"""Sends an archive: a small one in one request, a large one in parts, so that an interrupted upload can resume."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

from taod.client.errors import ClientError, NoDaemon
from taod.client.transport import UNBOUNDED, Transport, decode
from taod.types.dataset import DatasetSummary, UploadAnswer, UploadMode

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 64 * 1024 * 1024
"""A larger archive is sent in parts of this size."""
MAX_TRIES = 6
"""Consecutive failed requests without progress before an upload fails."""
FIRST_WAIT_S, MAX_WAIT_S = 0.25, 8.0
RESUME_INCOMPLETE, CONFLICT, RANGE_NOT_SATISFIABLE = 308, 409, 416

Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes in all) after each piece."""
PipeProgress = Callable[[int, None], None]
"""As Progress, for an unknown length."""


class Upload:
    """One upload into a dataset."""

    def __init__(self, transport: Transport, dataset_id: str, mode: UploadMode) -> None:
        self._transport, self._mode = transport, mode
        self._path = transport.user_path("dataset", dataset_id, "upload")
        self._summary_path = transport.user_path("dataset", dataset_id, "summary")

    async def send_file(self, path: Path, progress: Progress | None, *, checksum: bool) -> UploadAnswer:
        """Send a file, a large one in parts. Raises OSError if it cannot be read, ClientError, NoDaemon."""
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        if size <= PART_BYTES:
            return await self._send_form(path, size, progress, checksum)
        with await asyncio.to_thread(path.open, "rb") as file:
            archive = PartedFile(file, path.name, size, checksum=checksum)
            return await self._send_parts(archive, progress)

    async def send_pipe(self, source: BinaryIO, name: str, progress: PipeProgress | None) -> UploadAnswer:
        """Send a pipe until its end and close it. Raises ClientError, NoDaemon; over plain HTTP without waiting for
        input."""
        daemon = self._transport
        # A connection of its own: a pooled one would not be traced.
        async with Transport(daemon.url, daemon.user_id, daemon.token) as own:
            with _EarlyResponse() as early:
                async with own.stream(
                    "POST",
                    self._path,
                    query={"mode": self._mode, "filename": name},
                    headers={"Content-Type": "application/octet-stream"},
                    content=_piped(source, progress, early.received),
                    patience=UNBOUNDED,
                    trace=early.trace if daemon.url.startswith("http:") else None,
                ) as response:
                    return decode(await response.aread(), UploadAnswer)

    async def _send_form(self, path: Path, size: int, progress: Progress | None, checksum: bool) -> UploadAnswer:
        """Send the file as one multipart field."""
        boundary = f"taod-{secrets.token_hex(16)}"
        name = path.name.replace("\\", "_").replace('"', "_").replace("\r", "_").replace("\n", "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }
        digest = await asyncio.to_thread(_sha256, path) if checksum else None
        with await asyncio.to_thread(path.open, "rb") as file:
            async with self._transport.stream(
                "POST",
                self._path,
                query={"mode": self._mode, "sha256": digest},
                headers=headers,
                content=_form(file, head, tail, size, progress),
                patience=UNBOUNDED,
            ) as response:
                return decode(await response.aread(), UploadAnswer)

    async def _send_parts(self, archive: PartedFile, progress: Progress | None) -> UploadAnswer:
        before = (await self._summary()).fingerprint
        tries, wait_s = 0, FIRST_WAIT_S
        received: int | None = None
        all_sent = False
        while True:
            try:
                if received is None:
                    answer = await self._query_state(archive)
                    if answer is None and all_sent:
                        summary = await self._summary()
                        if summary.fingerprint != before:
                            return UploadAnswer("The upload is complete", summary.files, summary.bytes, summary)
                    if answer is not None and answer.received is None:
                        return answer
                    received = 0 if answer is None or answer.received is None else answer.received
                end = min(received + PART_BYTES, archive.size)
                all_sent = end == archive.size
                answer = await self.send_part(archive, received, end, progress)
                if answer.received is None:
                    return answer
                received, tries, wait_s = answer.received, 0, FIRST_WAIT_S
            except ClientError as error:
                if not isinstance(error, NoDaemon) and error.status not in (CONFLICT, RANGE_NOT_SATISFIABLE):
                    raise
                tries += 1
                if tries > MAX_TRIES:
                    raise
                received = None
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, MAX_WAIT_S)
                await self._transport.has_moved(self._transport.rediscover)

    async def _summary(self) -> DatasetSummary:
        return await self._transport.call("GET", self._summary_path, DatasetSummary)

    async def _query_state(self, archive: PartedFile) -> UploadAnswer | None:
        """The daemon's state of the upload; None if it has none of this file. A complete upload is finished."""
        headers = {"Content-Range": f"bytes */{archive.size}", "Content-Type": "application/octet-stream"}
        try:
            return await self._put(archive, headers, b"")
        except ClientError as error:
            if error.status != RANGE_NOT_SATISFIABLE:
                raise
            return None

    async def send_part(self, archive: PartedFile, start: int, end: int, progress: Progress | None) -> UploadAnswer:
        """Send bytes `start` (included) to `end` (excluded); the last part carries the digest of the whole file."""
        headers = {
            "Content-Range": f"bytes {start}-{end - 1}/{archive.size}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
        }
        digest = await asyncio.to_thread(archive.digest_to, end)
        if digest is not None and end == archive.size:
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
        return await self._put(archive, headers, archive.pieces(start, end, progress))

    async def _put(
        self, archive: PartedFile, headers: dict[str, str], content: bytes | AsyncIterator[bytes]
    ) -> UploadAnswer:
        async with self._transport.stream(
            "PUT",
            self._path,
            query={"mode": self._mode, "filename": archive.name},
            headers=headers,
            content=content,
            patience=UNBOUNDED,
            accept=frozenset({RESUME_INCOMPLETE}),
        ) as response:
            return decode(await response.aread(), UploadAnswer)


class PartedFile:
    """An open archive that is read in parts."""

    def __init__(self, file: IO[bytes], name: str, size: int, *, checksum: bool) -> None:
        self.name, self.size = name, size
        self._file = file
        self._digest = hashlib.sha256() if checksum else None
        self._digested = 0

    def digest_to(self, end: int) -> bytes | None:
        """SHA-256 of the file up to `end`, which must not decrease from call to call; None without checksum."""
        if self._digest is None:
            return None
        self._file.seek(self._digested)
        while self._digested < end:
            piece = self._read(end - self._digested)
            self._digest.update(piece)
            self._digested += len(piece)
        return self._digest.digest()

    async def pieces(self, start: int, end: int, progress: Progress | None) -> AsyncIterator[bytes]:
        """The bytes of one part. Raises OSError if the file has become shorter."""
        await asyncio.to_thread(self._file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(self._read, end - start)
            yield piece
            start += len(piece)
            if progress is not None:
                progress(start, self.size)

    def _read(self, limit: int) -> bytes:
        piece = self._file.read(min(CHUNK_BYTES, limit))
        if not piece:
            raise OSError(f"{self.name} became shorter while it was sent")
        return piece


class _EarlyResponse:
    """Detects a response before the request's body is sent, by the readability of the connection.

    httpx reads the response only after the body. Not usable with TLS, whose records need not be a response.
    """

    def __init__(self) -> None:
        self.received = asyncio.Event()
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)

    async def trace(self, step: str, values: Mapping[str, Any]) -> None:
        if step == "connection.connect_tcp.complete":
            # A duplicate: the event loop's transport has the socket's own descriptor.
            self._descriptor = os.dup(values["return_value"].get_extra_info("socket").fileno())
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        self.received.set()


async def _piped(source: BinaryIO, progress: PipeProgress | None, responded: asyncio.Event) -> AsyncIterator[bytes]:
    """The bytes of a pipe, up to its end or until the daemon has `responded`.

    Reads in the event loop, because a thread that reads an idle pipe could not be cancelled.
    """
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    sent = 0
    response = asyncio.create_task(responded.wait())
    try:
        while True:
            reading = asyncio.create_task(reader.read(CHUNK_BYTES))
            await asyncio.wait({reading, response}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() or not (piece := reading.result()):
                reading.cancel()
                return
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, None)
    finally:
        response.cancel()
        transport.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _form(
    file: IO[bytes], head: bytes, tail: bytes, size: int, progress: Progress | None
) -> AsyncIterator[bytes]:
    """The body of a form, with exactly `size` bytes of the file. Raises OSError if the file is shorter."""
    yield head
    sent = 0
    while sent < size:
        piece = await asyncio.to_thread(file.read, min(CHUNK_BYTES, size - sent))
        if not piece:
            raise OSError("the file became shorter while it was sent")
        yield piece
        sent += len(piece)
        if progress is not None:
            progress(sent, size)
    yield tail
