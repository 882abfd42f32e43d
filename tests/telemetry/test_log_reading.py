"""Logs: last lines, ranges, following; the cost depends only on what is read."""

from __future__ import annotations

import asyncio
import re
import threading
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taod.telemetry import log as logs
from tests.patience import PATIENCE_S

GIGABYTE = 1024**3


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@pytest.mark.parametrize(
    ("text", "lines", "expected"),
    [
        (b"", 3, b""),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\nc\n", 3, b"a\nb\nc\n"),
        (b"a\nb\nc\n", 9, b"a\nb\nc\n"),
        (b"a\n\n\n", 2, b"\n\n"),
        (b"a\n", 0, b""),
        (b"\n", 1, b"\n"),
    ],
)
def test_the_last_lines(tmp_path: Path, text: bytes, lines: int, expected: bytes) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(text)
    assert logs.tail(path, lines) == expected


@settings(max_examples=50, deadline=None)
@given(text=st.lists(st.sampled_from([b"\n", b"a", b"x" * 40]), max_size=60).map(b"".join), lines=st.integers(1, 12))
def test_the_last_lines_with_any_block_size(tmp_path_factory: pytest.TempPathFactory, text: bytes, lines: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs, "BLOCK", 7)
        found = logs.tail(path, lines)
    assert found == b"".join(text.splitlines(keepends=True)[-lines:])


def test_a_line_over_the_limit_is_cut_and_partial_older_lines_are_omitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_TAIL", 10)
    path = tmp_path / "log.txt"
    path.write_bytes(b"an old line\nnew one\n")
    assert logs.tail(path, 5) == b"new one\n"
    path.write_bytes(b"0123456789abcdef")
    assert logs.tail(path, 5) == b"6789abcdef"


def test_a_missing_log_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    assert (logs.tail(path, 3), logs.read_range(path, 0, 9), logs.size(path)) == (b"", b"", 0)


def test_ranges(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"0123456789")
    assert logs.size(path) == 10
    assert logs.read_range(path, 2, 5) == b"234"
    assert logs.read_range(path, 7, None) == b"789"
    assert logs.read_range(path, 7, 99) == b"789"
    assert logs.read_range(path, 99, 100) == logs.read_range(path, 5, 2) == b""
    assert logs.read_range(path, 2, None, most=3) == b"234"


def test_only_the_end_of_a_gigabyte_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with path.open("wb") as file:
        file.truncate(GIGABYTE)
        file.seek(GIGABYTE)
        file.write(b"\nalmost last\nlast\n")
    before = bytes_read()
    assert logs.tail(path, 2) == b"almost last\nlast\n"
    assert logs.read_range(path, GIGABYTE, None) == b"\nalmost last\nlast\n"
    assert bytes_read() - before < 4 * logs.BLOCK


def bytes_read() -> int:
    """Bytes that this process has read from files."""
    return int(re.findall(r"rchar: (\d+)", Path("/proc/self/io").read_text())[0])


@pytest.mark.parametrize(
    ("since", "expected"),
    [(0, b"old\nnew\nlast\n"), (4, b"new\nlast\n"), (13, b""), (14, b"old\nnew\nlast\n")],
)
def test_a_tail_begins_at_an_attempts_first_byte(tmp_path: Path, since: int, expected: bytes) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"old\nnew\nlast\n")
    assert logs.tail(path, 9, since) == expected


async def collect(path: Path, offset: int, until: asyncio.Event) -> bytes:
    found = b""
    async with aclosing(logs.follow(path, offset, until)) as blocks:
        async for block in blocks:
            found += block
    return found


async def test_following_an_ended_log_yields_all_of_it_and_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 300_000)
    until = asyncio.Event()
    until.set()
    assert await asyncio.wait_for(collect(path, 0, until), PATIENCE_S) == b"x" * 300_000
    assert await asyncio.wait_for(collect(path, 299_998, until), PATIENCE_S) == b"xx"
    assert await asyncio.wait_for(collect(tmp_path / "none.txt", 0, until), PATIENCE_S) == b""


async def test_following_continues_until_the_run_ends(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    until = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), aclosing(logs.follow(path, 0, until)) as blocks:
        coming = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0)
        append(path, b"first\n")
        assert await coming == b"first\n"
        append(path, b"second\n")
        assert await anext(blocks) == b"second\n"
        append(path, b"last\n")
        until.set()
        assert [block async for block in blocks] == [b"last\n"]


async def test_a_replaced_log_is_followed_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"the old one\n")
    until = asyncio.Event()
    async with asyncio.timeout(PATIENCE_S), aclosing(logs.follow(path, 0, until)) as blocks:
        assert await anext(blocks) == b"the old one\n"
        path.write_bytes(b"new\n")
        assert await anext(blocks) == b"new\n"


async def test_a_flood_is_followed_completely_and_its_threads_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    until = asyncio.Event()
    before = threading.active_count()
    reading = asyncio.create_task(collect(path, 0, until))
    code = f"i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done > {path}"
    writer = await asyncio.create_subprocess_exec("sh", "-c", code)
    await asyncio.wait_for(writer.wait(), PATIENCE_S)
    until.set()
    found = await asyncio.wait_for(reading, PATIENCE_S)
    assert found == b"".join(b"line %d\n" % number for number in range(20_000))
    assert threading.active_count() <= before
