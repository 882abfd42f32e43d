"""Streams an upload to disk: the one file of a multipart form, or a raw body. Imports no HTTP framework."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from taod.config import LimitsConfig
from taod.datasets.upload.digests import Digests
from taod.datasets.upload.growing_file import GrowingFile
from taod.errors import BadRequest, NoSpace, TooLarge

FILE_FIELDS = frozenset({"file", "message"})


class Received(NamedTuple):
    """An upload on disk: the file's size in bytes and its name by the client."""

    bytes: int
    filename: str | None


class _Sink(Protocol):
    """Extracts the file's bytes from a body's chunks."""

    filename: str | None

    def feed(self, chunk: bytes) -> list[memoryview]: ...

    def finish(self) -> None: ...


async def receive(
    body: AsyncIterator[bytes],
    content_type: str,
    filename: str | None,
    into: Path,
    limits: LimitsConfig,
    on_bytes: Callable[[int], None] | None = None,
) -> Received:
    """Write the file in `body` to the new file `into`, which is deleted on any failure or cancellation.

    Arguments and errors are those of `receive_into`.
    """
    file = GrowingFile(into)
    try:
        received = await receive_into(file, body, content_type, filename, limits, on_bytes)
        await file.close()
    except BaseException:
        await asyncio.shield(file.discard())
        raise
    return received


async def receive_into(
    file: GrowingFile,
    body: AsyncIterator[bytes],
    content_type: str,
    filename: str | None,
    limits: LimitsConfig,
    on_bytes: Callable[[int], None] | None = None,
    digests: Digests | None = None,
) -> Received:
    """Append the file in `body` to `file`, and wait until it is written.

    A multipart form may have one file, in any field; the fields `file` and `message` are files even without a file
    name. Any other content type is a raw file. The next chunk is read only once the buffer can hold it.

    `on_bytes` is called after each batch with the number of bytes received; `digests` get the whole body.

    Raises TooLarge, NoSpace, BadRequest for a broken form, and whatever `body` raises when the client leaves.
    """
    sink: _Sink = _FormReader(_boundary(content_type)) if is_multipart(content_type) else _Raw(filename)
    start, total = file.size, 0
    try:
        async for chunk in body:
            total += len(chunk)
            if start + total > limits.upload_bytes:
                raise TooLarge(
                    f"the upload is over the {limits.upload_bytes} bytes of limits.upload_bytes; "
                    "split it, raise that limit, or link a folder of this machine instead"
                )
            if digests is not None:
                digests.update(chunk)
            for piece in sink.feed(chunk):
                file.add(piece)
            if file.is_due:
                await file.flush()
                if on_bytes is not None:
                    on_bytes(total)
        sink.finish()
        await file.written()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace("the disk is full: the upload was not kept; make room and send it again") from error
        raise
    if on_bytes is not None:
        on_bytes(total)
    return Received(file.size - start, sink.filename or filename)


class _Raw:
    def __init__(self, filename: str | None) -> None:
        self.filename = filename

    def feed(self, chunk: bytes) -> list[memoryview]:
        return [memoryview(chunk)] if chunk else []

    def finish(self) -> None:
        pass


class _FormReader:
    """Extracts the one file of a multipart form; other fields are ignored."""

    def __init__(self, boundary: bytes) -> None:
        self.filename: str | None = None
        self._fields: list[str] = []
        self._files = 0
        self._inside = False
        self._ended = False
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._out: list[memoryview] = []
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise BadRequest(f"the multipart form is not understood: {error}") from None

    def feed(self, chunk: bytes) -> list[memoryview]:
        self._out = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise BadRequest(f"the multipart form is not understood: {error}; send it with an HTTP library") from None
        return self._out

    def finish(self) -> None:
        if not self._ended:
            raise BadRequest("the upload ended before its form did; send it again, whole")
        if not self._files:
            fields = ", ".join(self._fields) or "none"
            raise BadRequest(f"the form carries no file (its fields: {fields}); send the archive in the field 'file'")

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode(errors="replace")
        filename = options.get(b"filename")
        if len(self._fields) < 16:
            self._fields.append(field)
        self._inside = filename is not None or field in FILE_FIELDS
        if self._inside:
            self._files += 1
            if self._files > 1:
                raise BadRequest(f"the form carries a second file, in the field '{field}'; send one archive at a time")
            self.filename = filename.decode(errors="replace") if filename else None

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._inside and end > start:
            self._out.append(memoryview(data)[start:end])

    def _on_part_end(self) -> None:
        self._inside = False

    def _on_end(self) -> None:
        self._ended = True


def is_multipart(content_type: str) -> bool:
    """Whether the content type is that of a form."""
    return content_type.strip().lower().startswith("multipart/")


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest(
            f"Content-Type {content_type!r} is not multipart/form-data with a boundary; use that, or send "
            "the archive as application/octet-stream"
        )
    return boundary
