"""kill -9 of a real daemon anywhere in an upload: the old data or the new, never a mix, and the record is right.

`TAOD_KILLS=200` kills so often instead of three times.
"""

from __future__ import annotations

import asyncio
import io
import os
import random
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from taod.client.find import find
from taod.datasets.validation.summary import summarise
from taod.paths import Root
from taod.types.dataset import DatasetCreate, DatasetSummary
from tests.e2e.journey import Daemon
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TAOD_KILLS", "3"))
FILES = 600
BYTES = 4000


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    started = Daemon(tmp_path / "root").start()
    yield started
    if not started.running:
        started.start()
    assert started.stop() == 0


def version(number: int, kind: str) -> bytes:
    """An archive whose every file says which version it is of."""
    tree = {"classes.txt": b"cat\n"}
    tree |= {f"images_train/cat/{n}.png": number.to_bytes(8, "big") * (BYTES // 8) for n in range(FILES)}
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in tree.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=f"w:{kind}") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def versions(folder: Path) -> set[int]:
    return {int.from_bytes(path.read_bytes()[:8], "big") for path in folder.rglob("*.png")}


async def test_old_or_new_wherever_the_daemon_is_killed(daemon: Daemon, tmp_path: Path) -> None:
    draw = random.Random(int.from_bytes(os.urandom(4), "big"))
    root = Root(daemon.root)
    async with daemon.client() as client:
        dataset_id = (await client.datasets.create(DatasetCreate("image_classification", "classification_pyt"))).id
    began = asyncio.get_running_loop().time()
    await send(daemon, dataset_id, version(1, "gz"))
    whole_s = asyncio.get_running_loop().time() - began
    now, cut, got_in = 1, 0, 0
    for number in range(2, KILLS + 2):
        content = version(number, draw.choice(["", "gz", "zip"]))
        upload = asyncio.create_task(send(daemon, dataset_id, content))
        await asyncio.wait([upload], timeout=draw.uniform(0, 1.3 * whole_s))
        daemon.kill()
        answered = not (await asyncio.gather(upload, return_exceptions=True))[0]
        daemon.start()
        found = versions(root.dataset(dataset_id))
        assert found in ({now}, {number}), f"{found} after {number} was sent over {now}"
        assert not answered or found == {number}, "what was answered is there"
        cut += found == {now}
        got_in += found == {number}
        (now,) = found
        assert len(list(root.dataset(dataset_id).rglob("*.png"))) == FILES
        async with daemon.client() as client:
            summary = await client.datasets.summary(dataset_id)
        assert_of(summary, root.dataset(dataset_id))
        assert not [path for path in root.incoming.iterdir() if path.name.startswith(("note-", "part-", "old-"))]
    print(f"{KILLS} kills: {cut} left the old data, {got_in} the new")


async def test_an_upload_in_parts_continues_after_every_kill(daemon: Daemon) -> None:
    draw = random.Random(1)
    root = Root(daemon.root)
    async with daemon.client() as client:
        dataset_id = (await client.datasets.create(DatasetCreate("image_classification", "classification_pyt"))).id
    content = version(7, "")
    for _ in range(min(KILLS, 2)):
        has = await state(daemon, dataset_id, len(content))
        end = min(has + len(content) // 6, len(content) - 1)
        upload = asyncio.create_task(send(daemon, dataset_id, content, has, end))
        await asyncio.wait([upload], timeout=draw.uniform(0, 0.03))
        daemon.kill()
        await asyncio.gather(upload, return_exceptions=True)
        daemon.start()
        assert not root.dataset(dataset_id).exists()
    has = await state(daemon, dataset_id, len(content))
    await send(daemon, dataset_id, content, has, len(content))
    assert versions(root.dataset(dataset_id)) == {7}


def assert_of(summary: DatasetSummary, folder: Path) -> None:
    """The record is of the files that are there."""
    fresh = summarise(folder, "image_classification", "classification_pyt")
    assert (summary.state, summary.files, summary.fingerprint) == ("ready", fresh.files, fresh.fingerprint)


async def state(daemon: Daemon, dataset_id: str, total: int) -> int:
    """How many bytes the daemon has."""
    answer = await ask(daemon, dataset_id, b"", f"bytes */{total}")
    if answer.status_code == 416:
        return 0
    return answer.json()["received"]


async def send(daemon: Daemon, dataset_id: str, content: bytes, start: int = 0, end: int | None = None) -> None:
    """The archive, or one part of it. Raises NoDaemon, ClientError."""
    header = None if end is None else f"bytes {start}-{end - 1}/{len(content)}"
    answer = await ask(daemon, dataset_id, content[start:end], header)
    assert answer.status_code in (201, 308), answer.text


async def ask(daemon: Daemon, dataset_id: str, content: bytes, content_range: str | None) -> httpx.Response:
    async def pieces():
        for at in range(0, len(content), 64 * 1024):
            yield content[at : at + 64 * 1024]

    info = find(daemon.root, None, None)
    headers = {"Authorization": f"Bearer {info.token}", "Content-Type": "application/octet-stream"}
    headers |= {} if content_range is None else {"Content-Range": content_range}
    url = f"{info.url}/api/v1/user/{info.user_id}/dataset/{dataset_id}/upload"
    async with httpx.AsyncClient(timeout=PATIENCE_S, trust_env=False) as client:
        return await client.put(url, content=pieces(), headers=headers | {"Content-Length": str(len(content))})
