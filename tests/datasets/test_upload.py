"""Receiving a body: multipart at any chunk boundary, raw, limits, a full disk, a client that leaves, flat memory."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taod.config import LimitsConfig
from taod.datasets.upload import growing_file
from taod.datasets.upload.growing_file import BATCH
from taod.datasets.upload.receiver import receive
from taod.errors import BadRequest, NoSpace, TooLarge
from tests.patience import PATIENCE_S

BOUNDARY = "----form7MA4YWxk"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
RAW = "application/octet-stream"
MIB = 1024**2


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "upload"


def part(field: str, content: bytes, filename: str | None = "data.tar.gz") -> bytes:
    name = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n'
    if filename is not None:
        head += "Content-Type: application/gzip\r\n"
    return f"{head}\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def cut(content: bytes, size: int) -> Iterable[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


async def test_a_raw_body_is_the_file(into) -> None:
    content = os.urandom(300_000)
    got = await receive(chunks(cut(content, 7000)), RAW, "a.tar", into, LimitsConfig())
    assert into.read_bytes() == content
    assert got == (300_000, "a.tar")
    assert into.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("field", ["file", "message", "anything"])
async def test_a_form_s_file_is_taken_from_any_field(field, into) -> None:
    body = form(part("note", b"words", None), part(field, b"content"), part("more", b"words", None))
    got = await receive(chunks([body]), MULTIPART, None, into, LimitsConfig())
    assert into.read_bytes() == b"content"
    assert got == (7, "data.tar.gz")


@pytest.mark.parametrize("field", ["file", "message"])
async def test_the_known_fields_need_no_filename(field, into) -> None:
    got = await receive(chunks([form(part(field, b"content", None))]), MULTIPART, "given", into, LimitsConfig())
    assert into.read_bytes() == b"content"
    assert got == (7, "given")


@pytest.mark.parametrize("size", [1, 2, 3, 17, 64, 1000])
async def test_small_chunks(size, into) -> None:
    content = f"\r\n--{BOUNDARY[:-1]}\r\n--{BOUNDARY}x\r\n-\r\r\n\n".encode() * 20
    await receive(chunks(cut(form(part("file", content)), size)), MULTIPART, None, into, LimitsConfig())
    assert into.read_bytes() == content


PIECES = st.sampled_from([b"\r", b"\n", b"-", b"--", b"\r\n--", BOUNDARY.encode()[:-1], b"\r\n", b"x", b"\0" * 50])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(PIECES, max_size=40).map(b"".join), cuts=st.lists(st.integers(0, 400), max_size=12))
def test_any_content_at_any_chunk_boundary(content, cuts, into) -> None:
    body = form(part("a", b"1", None), part("file", content))
    edges = sorted({0, len(body), *(at for at in cuts if at < len(body))})
    pieces = [body[start:end] for start, end in itertools.pairwise(edges)]
    asyncio.run(receive(chunks(pieces), MULTIPART, None, into, LimitsConfig()))
    assert into.read_bytes() == content
    into.unlink()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (form(part("note", b"x", None)), "the form carries no file (its fields: note)"),
        (form(), "the form carries no file (its fields: none)"),
        (form(part("file", b"x"), part("more", b"y")), "carries a second file, in the field 'more'"),
        (part("file", b"x"), "the upload ended before its form did"),
        (b"", "the upload ended before its form did"),
        (b"no form at all" * 10, "the multipart form is not understood"),
        (f"--{BOUNDARY}\r\nbad header\r\n".encode(), "the multipart form is not understood"),
    ],
)
async def test_a_broken_form_is_rejected(body, words, into) -> None:
    with pytest.raises(BadRequest) as raised:
        await receive(chunks([body]), MULTIPART, None, into, LimitsConfig())
    assert words in str(raised.value)
    assert not into.exists()


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/mixed; boundary=x"])
async def test_a_multipart_type_without_use_is_rejected(kind, into) -> None:
    with pytest.raises(BadRequest, match="is not multipart/form-data with a boundary"):
        await receive(chunks([b"x"]), kind, None, into, LimitsConfig())
    assert not into.exists()


@pytest.mark.parametrize("kind", [RAW, MULTIPART])
async def test_a_body_over_the_limit_is_rejected_before_it_is_all_read(kind, into) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        if kind == MULTIPART:
            yield part("file", b"")[:-2]
        while True:
            asked += 1
            yield bytes(100)

    with pytest.raises(TooLarge, match=r"over the 1000 bytes of limits\.upload_bytes"):
        await receive(endless(), kind, None, into, LimitsConfig(upload_bytes=1000))
    assert asked <= 11
    assert not into.exists()


async def test_a_full_disk_is_reported_and_leaves_nothing(into, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(growing_file.os, "writev", full)
    with pytest.raises(NoSpace):
        await receive(chunks([bytes(MIB)] * 10), RAW, None, into, LimitsConfig())
    assert not into.exists()


async def test_a_client_that_leaves_leaves_nothing(into) -> None:
    class Gone(Exception):
        pass

    async def leaving() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(MIB)
        raise Gone

    with pytest.raises(Gone):
        await receive(leaving(), RAW, None, into, LimitsConfig())
    assert not into.exists()


async def test_a_cancelled_upload_leaves_nothing(into) -> None:
    waiting = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(MIB)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(receive(stalling(), RAW, None, into, LimitsConfig()))
    await asyncio.wait_for(waiting.wait(), PATIENCE_S)
    assert into.exists()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not into.exists()


async def test_no_more_is_asked_for_than_the_disk_takes(into, monkeypatch) -> None:
    """While the write of the first bytes is held up, one batch is gathered, and no more."""
    may_write = asyncio.Event()
    stalled = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = os.writev
    asked = 0

    def held(file: int, pieces: list[memoryview]) -> int:
        asyncio.run_coroutine_threadsafe(may_write.wait(), loop).result()
        return real(file, pieces)

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(64):
            asked += 1
            if asked * MIB == MIB + BATCH:
                loop.call_later(0, stalled.set)
            yield bytes(MIB)

    monkeypatch.setattr(growing_file.os, "writev", held)
    task = asyncio.create_task(receive(body(), RAW, None, into, LimitsConfig()))
    await asyncio.wait_for(stalled.wait(), PATIENCE_S)
    for _ in range(20):
        await asyncio.sleep(0)
    assert asked * MIB == MIB + BATCH
    may_write.set()
    await asyncio.wait_for(task, PATIENCE_S)
    assert asked == 64
    assert into.stat().st_size == 64 * MIB


async def test_progress_counts_the_body(into) -> None:
    seen: list[int] = []
    await receive(chunks([bytes(MIB)] * 10), RAW, None, into, LimitsConfig(), seen.append)
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (MIB, 10 * MIB), "the first bytes are written and reported at once"
    assert len(seen) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RAW, MULTIPART])
async def test_memory_stays_flat_for_a_large_body(kind, into) -> None:
    block = os.urandom(64 * 1024)
    blocks = 200 * MIB // len(block)
    sent = hashlib.sha256()

    async def body() -> AsyncIterator[bytes]:
        if kind == MULTIPART:
            yield part("file", b"")[:-2]
        for n in range(blocks):
            piece = n.to_bytes(8, "big") + block[8:]
            sent.update(piece)
            yield piece
        if kind == MULTIPART:
            yield f"\r\n--{BOUNDARY}--\r\n".encode()

    tracemalloc.start()
    try:
        await receive(body(), kind, None, into, LimitsConfig())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * BATCH
    with into.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == sent.digest()
