"""Following files that appear late, lie in subfolders or are replaced, and the watch that it uses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from taod import watch as watching
from taod.telemetry import follow as following
from taod.telemetry.follow import FileTail, follow
from taod.watch import FolderWatch
from tests.patience import PATIENCE_S

NAME = "status.json"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


@asynccontextmanager
async def followed(folder: Path) -> AsyncIterator[tuple[FileTail, AsyncGenerator[bytes, None]]]:
    tail = FileTail(folder, NAME)
    async with asyncio.timeout(PATIENCE_S), aclosing(follow(tail)) as blocks:
        yield tail, blocks
    tail.close()


async def test_existing_content_comes_before_appended_content(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"old\n")
    async with followed(tmp_path) as (tail, blocks):
        assert await anext(blocks) == b"old\n"
        for number in range(5):
            append(tmp_path / NAME, b"%d\n" % number)
            assert await anext(blocks) == b"%d\n" % number
        assert (tail.path, tail.offset, tail.generation) == (NAME, 14, 0)


async def test_a_file_in_a_folder_created_later_is_found(tmp_path: Path) -> None:
    async with followed(tmp_path) as (tail, blocks):
        coming = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0)
        (tmp_path / "train" / "more").mkdir(parents=True)
        append(tmp_path / "train" / "more" / NAME, b"deep\n")
        assert await coming == b"deep\n"
        assert tail.path == f"train/more/{NAME}"


def test_the_top_folder_comes_before_the_newest_subfolder(tmp_path: Path) -> None:
    for number, folder in enumerate(("b", "a")):
        (tmp_path / folder).mkdir()
        append(tmp_path / folder / NAME, folder.encode())
        os.utime(tmp_path / folder / NAME, (number, number))
    tail = FileTail(tmp_path, NAME)
    assert tail.read() == b"a"
    append(tmp_path / NAME, b"top")
    assert (tail.read(), tail.path, tail.generation) == (b"top", NAME, 1)
    tail.close()


def test_a_read_is_limited_to_the_requested_size(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"0123456789")
    tail = FileTail(tmp_path, NAME)
    assert [tail.read(4), tail.read(4), tail.read(4), tail.read(4)] == [b"0123", b"4567", b"89", b""]
    assert tail.size() == 10
    tail.close()


@pytest.mark.parametrize("replacement", [b"n\n", b"another, that is longer than the old one was\n"])
@pytest.mark.parametrize("by_rename", [True, False])
def test_a_replaced_file_is_read_from_its_start(tmp_path: Path, replacement: bytes, by_rename: bool) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"the old one\n")
    tail = FileTail(tmp_path, NAME)
    assert tail.read() == b"the old one\n"
    if by_rename:
        (tmp_path / "aside").write_bytes(replacement)
        (tmp_path / "aside").replace(path)
    else:
        path.write_bytes(replacement)
    assert (tail.read(), tail.generation, tail.offset) == (replacement, 1, len(replacement))
    tail.close()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / "below").mkdir()
    os.mkfifo(tmp_path / "below" / NAME)
    tail = FileTail(tmp_path, NAME)
    assert (tail.read(), tail.size(), tail.path) == (b"", 0, None)


async def test_each_write_wakes_the_reader(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    async with followed(tmp_path) as (_, blocks):
        coming = asyncio.ensure_future(anext(blocks))
        for _ in range(15):
            append(tmp_path / "train" / NAME, b"line\n")
            assert await coming == b"line\n"
            coming = asyncio.ensure_future(anext(blocks))
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def test_changes_of_other_files_do_not_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HEARTBEAT_MS", 600_000)
    (tmp_path / NAME).write_bytes(b"first\n")
    async with followed(tmp_path) as (tail, blocks):
        assert await anext(blocks) == b"first\n"
        coming = asyncio.ensure_future(anext(blocks))
        reads, read = [], tail.read
        monkeypatch.setattr(tail, "read", lambda *most: reads.append(most) or read(*most))
        code = f"i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done > {tmp_path}/other.txt"
        writer = await asyncio.create_subprocess_exec("sh", "-c", code)
        await writer.wait()
        assert len(reads) <= 1, "one read found the end of the file; the other file's changes cause none"
        append(tmp_path / NAME, b"second\n")
        assert await coming == b"second\n"


async def test_threads_of_a_watch_end_with_it(tmp_path: Path) -> None:
    before = threading.active_count()
    for _ in range(3):
        async with FolderWatch(tmp_path):
            assert threading.active_count() > before
        assert threading.active_count() <= before


async def test_a_cancelled_follower_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()

    async def read_on() -> None:
        async with followed(tmp_path) as (_, blocks):
            async for _ in blocks:
                pass

    task = asyncio.create_task(read_on())
    (tmp_path / NAME).write_bytes(b"x")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert threading.active_count() <= before


async def test_a_follower_waits_for_a_missing_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_MS", 10)
    async with followed(tmp_path / "later") as (_, blocks):
        coming = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0)
        (tmp_path / "later").mkdir()
        append(tmp_path / "later" / NAME, b"there\n")
        assert await coming == b"there\n"


def test_a_search_gives_up_in_a_large_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "FOLDERS_SEARCHED", 5)
    for number in range(20):
        (tmp_path / str(number) / "sub").mkdir(parents=True)
    assert len(list(following._folders(tmp_path))) == 5


async def test_changes_without_kernel_events_are_found_during_a_flood_of_events(tmp_path: Path) -> None:
    """As on a network share: the file is a link to another folder, and the watched folder changes all the time."""
    folder, target = tmp_path / "results", tmp_path / "target"
    folder.mkdir()
    target.write_bytes(b"first\n")
    (folder / NAME).symlink_to(target)
    async with followed(folder) as (_, blocks):
        assert await anext(blocks) == b"first\n"
        coming = asyncio.ensure_future(anext(blocks))
        flood = await asyncio.create_subprocess_exec("sh", "-c", f"while sleep 0.02; do echo x >>{folder}/other; done")
        append(target, b"second\n")
        try:
            assert await coming == b"second\n"
        finally:
            flood.kill()
            await flood.wait()


async def test_polling_replaces_a_watch_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """What the extension raises when no thread can be started."""

    def broken(*given: object) -> None:
        raise Panic

    monkeypatch.setattr(watching, "RustNotify", broken)
    monkeypatch.setattr(watching, "POLL_MS", 10)
    async with followed(tmp_path) as (_, blocks):
        coming = asyncio.ensure_future(anext(blocks))
        await asyncio.sleep(0)
        append(tmp_path / NAME, b"there\n")
        assert await coming == b"there\n"
