"""Sending an archive: small ones in one request, large ones in parts that go on where a broken line left them."""

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
"""An archive that is larger goes in parts of this size."""
PATIENCE = 6
"""How often a broken line is tried again without anything having come through."""
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
GOES_ON, BUSY, OUT_OF_PLACE = 308, 409, 416

Progress = Callable[[int, int], None]
"""Told (bytes sent, bytes in all) after each piece."""
PipeProgress = Callable[[int, None], None]
"""The same where the length is not known."""


class UploadCalls(Transport):
    """Archives on their way to a dataset."""

    async def upload(
        self,
        dataset_id: str,
        path: Path,
        progress: Progress | None = None,
        *,
        mode: UploadMode = UploadMode.REPLACE,
        checksum: bool = True,
    ) -> UploadAnswer:
        """Send an archive; returns when the daemon has unpacked it.

        A large one that broke off, now or in an earlier call, goes on where it is. With `checksum` the daemon compares
        its SHA-256 with the file's. Raises OSError when the file cannot be read, ClientError, NoDaemon.
        """
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        if size <= PART_BYTES:
            return await self._at_once(dataset_id, path, size, progress, mode, checksum)
        with await asyncio.to_thread(path.open, "rb") as file:
            sending = _Sending(file, path.name, size, mode, hashlib.sha256() if checksum else None)
            return await self._in_parts(dataset_id, sending, progress)

    async def upload_pipe(
        self,
        dataset_id: str,
        source: BinaryIO,
        name: str,
        progress: PipeProgress | None = None,
        *,
        mode: UploadMode = UploadMode.REPLACE,
    ) -> UploadAnswer:
        """Send an archive from a pipe as it arrives, without a length and a digest; it cannot be resumed.

        `name` is what the daemon calls it. Closes `source`. Raises ClientError, NoDaemon; also while the pipe is open
        and silent, where the daemon rejects what has come (over plain HTTP).
        """
        # A connection of its own: a pooled one would not be traced.
        async with Transport(self.url, self.user_id, self.token) as own:
            with _EarlyAnswer() as answer:
                async with own.stream(
                    "POST",
                    self._place(dataset_id),
                    query={"mode": mode, "filename": name},
                    headers={"Content-Type": "application/octet-stream"},
                    content=_piped(source, progress, answer.came),
                    patience=UNBOUNDED,
                    trace=answer.trace if self.url.startswith("http:") else None,
                ) as response:
                    return decode(await response.aread(), UploadAnswer)

    async def give_up_upload(self, dataset_id: str) -> DatasetSummary:
        """Drop what has come of an upload in parts."""
        return await self.call("DELETE", self._place(dataset_id), DatasetSummary)

    def _place(self, dataset_id: str) -> str:
        return self.user_path("dataset", dataset_id, "upload")

    async def _at_once(
        self, dataset_id: str, path: Path, size: int, progress: Progress | None, mode: UploadMode, checksum: bool
    ) -> UploadAnswer:
        """As one multipart field."""
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
            async with self.stream(
                "POST",
                self._place(dataset_id),
                query={"mode": mode, "sha256": digest},
                headers=headers,
                content=_form(file, head, tail, size, progress),
                patience=UNBOUNDED,
            ) as response:
                return decode(await response.aread(), UploadAnswer)

    async def _in_parts(self, dataset_id: str, sending: _Sending, progress: Progress | None) -> UploadAnswer:
        before = (await self._summary(dataset_id)).fingerprint
        tries, wait_s = 0, FIRST_WAIT_S
        has: int | None = None
        all_sent = False
        while True:
            try:
                if has is None:
                    answer = await self._ask(dataset_id, sending)
                    if answer is None and all_sent:
                        summary = await self._summary(dataset_id)
                        if summary.fingerprint != before:
                            return UploadAnswer("The upload got in", summary.files, summary.bytes, summary)
                    if answer is not None and answer.received is None:
                        return answer
                    has = 0 if answer is None or answer.received is None else answer.received
                end = min(has + PART_BYTES, sending.size)
                all_sent = end == sending.size
                answer = await self._part(dataset_id, sending, has, end, progress)
                if answer.received is None:
                    return answer
                has, tries, wait_s = answer.received, 0, FIRST_WAIT_S
            except ClientError as error:
                if not isinstance(error, NoDaemon) and error.status not in (BUSY, OUT_OF_PLACE):
                    raise
                tries += 1
                if tries > PATIENCE:
                    raise
                has = None
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                await self._look_again()

    async def _look_again(self) -> None:
        """A restarted daemon may have another port and token."""
        if self.rediscover is not None:
            try:
                info = await asyncio.to_thread(self.rediscover)
            except ClientError:
                return
            self.point_at(info.url, info.user_id, info.token)

    async def _summary(self, dataset_id: str) -> DatasetSummary:
        return await self.call("GET", self.user_path("dataset", dataset_id, "summary"), DatasetSummary)

    async def _ask(self, dataset_id: str, sending: _Sending) -> UploadAnswer | None:
        """How far the upload is; None where there is none of this file. Where all is there, it is brought in."""
        headers = {"Content-Range": f"bytes */{sending.size}", "Content-Type": "application/octet-stream"}
        try:
            return await self._put(dataset_id, sending, headers, b"")
        except ClientError as error:
            if error.status != OUT_OF_PLACE:
                raise
            return None

    async def _part(
        self, dataset_id: str, sending: _Sending, start: int, end: int, progress: Progress | None
    ) -> UploadAnswer:
        headers = {
            "Content-Range": f"bytes {start}-{end - 1}/{sending.size}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - start),
        }
        digest = await asyncio.to_thread(sending.digest_to, end)
        if digest is not None and end == sending.size:
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(digest).decode()}:"
        return await self._put(dataset_id, sending, headers, sending.pieces(start, end, progress))

    async def _put(
        self, dataset_id: str, sending: _Sending, headers: dict[str, str], content: bytes | AsyncIterator[bytes]
    ) -> UploadAnswer:
        async with self.stream(
            "PUT",
            self._place(dataset_id),
            query={"mode": sending.mode, "filename": sending.name},
            headers=headers,
            content=content,
            patience=UNBOUNDED,
            accept=frozenset({GOES_ON}),
        ) as response:
            return decode(await response.aread(), UploadAnswer)


class _Sending:
    """One archive that goes in parts."""

    def __init__(self, file: IO[bytes], name: str, size: int, mode: UploadMode, digest: hashlib._Hash | None) -> None:
        self.name, self.size, self.mode = name, size, mode
        self._file = file
        self._digest = digest
        self._digested = 0

    def digest_to(self, end: int) -> bytes | None:
        """The digest of the file up to `end`, which is nowhere before an earlier one; None where none is wanted."""
        if self._digest is None:
            return None
        self._file.seek(self._digested)
        while self._digested < end:
            piece = self._read(end - self._digested)
            self._digest.update(piece)
            self._digested += len(piece)
        return self._digest.digest()

    async def pieces(self, start: int, end: int, progress: Progress | None) -> AsyncIterator[bytes]:
        """The bytes of one part. Raises OSError where the file has become shorter."""
        await asyncio.to_thread(self._file.seek, start)
        while start < end:
            piece = await asyncio.to_thread(self._read, end - start)
            yield piece
            start += len(piece)
            if progress is not None:
                progress(start, self.size)

    def _read(self, most: int) -> bytes:
        piece = self._file.read(min(CHUNK_BYTES, most))
        if not piece:
            raise OSError(f"{self.name} became shorter while it was sent")
        return piece


class _EarlyAnswer:
    """Notices an answer that comes before the request's body is sent: the connection becomes readable.

    httpx reads the answer only after the body. Not for TLS, whose records need not be an answer.
    """

    def __init__(self) -> None:
        self.came = asyncio.Event()
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
        self.came.set()


async def _piped(source: BinaryIO, progress: PipeProgress | None, answered: asyncio.Event) -> AsyncIterator[bytes]:
    """What comes through a pipe, up to its end or until the request is `answered`.

    It is awaited, not read by a thread, which nothing could end while nothing comes.
    """
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), source
    )
    sent = 0
    answer = asyncio.create_task(answered.wait())
    try:
        while True:
            reading = asyncio.create_task(reader.read(CHUNK_BYTES))
            await asyncio.wait({reading, answer}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() or not (piece := reading.result()):
                reading.cancel()
                return
            yield piece
            sent += len(piece)
            if progress is not None:
                progress(sent, None)
    finally:
        answer.cancel()
        transport.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _form(
    file: IO[bytes], head: bytes, tail: bytes, size: int, progress: Progress | None
) -> AsyncIterator[bytes]:
    """The body of a form. Exactly `size` bytes of the file are sent, as Content-Length has promised."""
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
