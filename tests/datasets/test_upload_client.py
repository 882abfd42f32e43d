"""The client over a real daemon: uploads in parts, a daemon that is killed meanwhile, digests, many at once."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from taod.cli.main import command
from taod.client import AsyncClient, uploads
from taod.client.errors import ClientError
from taod.client.find import find
from taod.paths import Root
from taod.types.dataset import DatasetCreate, UploadMode, UploadProgress
from taod.types.event import EventType
from tests.e2e.journey import Daemon
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow

PART = 300_000
KIND = DatasetCreate("image_classification", "classification_pyt")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    started = Daemon(tmp_path_factory.mktemp("uploads") / "root").start()
    yield started
    if not started.running:
        started.start()
    assert started.stop() == 0


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PART_BYTES", PART)
    monkeypatch.setattr(uploads, "CHUNK_BYTES", PART // 5)


def archive(path: Path, count: int = 20, name: str = "cat", mark: int = 0) -> Path:
    with tarfile.open(path, "w") as packed:
        tree = {"classes.txt": f"{name}\n".encode()}
        tree |= {f"images_train/{name}/{n}.png": bytes([mark]) + os.urandom(100_000) for n in range(count)}
        for inner, content in tree.items():
            info = tarfile.TarInfo(inner)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def opened(daemon: Daemon) -> AsyncClient:
    """A client that finds the daemon again."""
    return AsyncClient.from_info(find(daemon.root), rediscover=lambda: find(daemon.root))


async def test_an_upload_outlives_the_daemon_that_it_began_with(daemon: Daemon, tmp_path: Path) -> None:
    file = archive(tmp_path / "data.tar")
    whole = file.stat().st_size
    killed_at: list[int] = []
    sent: list[int] = []

    def report(now: int, total: int) -> None:
        sent.append(now)
        if now > whole // 2 and not killed_at:
            killed_at.append(now)
            daemon.kill()
            daemon.start()

    async with opened(daemon) as client:
        made = await client.datasets.create(KIND)
        answer = await client.datasets.upload(made.id, file, report)
    assert killed_at
    assert answer.files == 21
    again = sent[sent.index(killed_at[0]) + 1]
    assert again > whole // 4, "it continued, and did not start over"
    assert len(list(Root(daemon.root).dataset(made.id).rglob("*.png"))) == 20


async def test_a_later_call_continues_and_another_file_does_not(daemon: Daemon, tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(now: int, total: int) -> None:
        if now > total // 2:
            raise Enough

    file = archive(tmp_path / "data.tar")
    seen: list[int] = []
    async with opened(daemon) as client:
        made = await client.datasets.create(KIND)
        with pytest.raises(Enough):
            await client.datasets.upload(made.id, file, stop)
        waiting = (await client.datasets.summary(made.id)).upload
        assert waiting is not None and waiting.received >= PART
        other = archive(tmp_path / "other.tar", mark=1)
        assert other.stat().st_size == file.stat().st_size
        await client.datasets.upload(made.id, file, lambda now, total: seen.append(now))
        assert seen[0] > waiting.received
        # Another file of the same size, under the same name: the digest differs.
        with pytest.raises(Enough):
            await client.datasets.upload(made.id, file, stop)
        file.write_bytes(other.read_bytes())
        with pytest.raises(ClientError, match="its SHA-256 is"):
            await client.datasets.upload(made.id, file)
        assert (await client.datasets.summary(made.id)).upload is None
        seen.clear()
        with pytest.raises(Enough):
            await client.datasets.upload(made.id, file, stop)
        await client.datasets.upload(made.id, other, lambda now, total: seen.append(now))
        assert seen[0] == PART // 5, "a file of another name starts over"


async def test_files_are_added_and_events_report_the_progress(daemon: Daemon, tmp_path: Path) -> None:
    async with opened(daemon) as client, opened(daemon) as listener:
        made = await client.datasets.create(KIND)
        listening = asyncio.Event()
        heard: list[UploadProgress] = []

        async def listen() -> None:
            async with aclosing(listener.events.stream(on_connection=lambda up, why: listening.set())) as events:
                async for kind, event in events:
                    if kind is EventType.UPLOAD:
                        heard.append(event)
                        if event.stage == "done":
                            return

        hearing = asyncio.create_task(listen())
        await asyncio.wait_for(listening.wait(), PATIENCE_S)
        await client.datasets.upload(made.id, archive(tmp_path / "data.tar"))
        await asyncio.wait_for(hearing, PATIENCE_S)
        assert {"receiving", "waiting", "unpacking", "checking", "done"} >= {event.stage for event in heard}
        assert {"receiving", "checking", "done"} <= {event.stage for event in heard}
        assert max(event.received for event in heard) == (tmp_path / "data.tar").stat().st_size
        assert {event.dataset_id for event in heard} == {made.id}
        more = archive(tmp_path / "more.tar", count=25)
        answer = await client.datasets.upload(made.id, more, mode=UploadMode.ADD)
        assert answer.summary is not None and answer.summary.images == 25
        answer = await client.datasets.upload(made.id, archive(tmp_path / "data.tar"))
        assert answer.summary is not None and answer.summary.images == 20


async def test_many_at_once(daemon: Daemon, tmp_path: Path) -> None:
    """More than there are threads in a pool; half of them in parts."""
    files = [archive(tmp_path / f"{n}.tar", count=2 if n % 2 else 5, mark=n) for n in range(24)]
    async with opened(daemon) as client:
        made = [(await client.datasets.create(KIND)).id for _ in files]
        answers = await asyncio.gather(*map(client.datasets.upload, made, files))
    assert [answer.files for answer in answers] == [3 if n % 2 else 6 for n in range(24)]
    for n, dataset_id in enumerate(made):
        imgs = list(Root(daemon.root).dataset(dataset_id).rglob("*.png"))
        assert {path.read_bytes()[0] for path in imgs} == {n}


def test_the_command_continues_adds_and_starts_over(daemon: Daemon, tmp_path: Path) -> None:
    runner = CliRunner(env={"TAOD_ROOT": str(daemon.root), "COLUMNS": "200"})

    def taod(*words: str, code: int = 0) -> str:
        result = runner.invoke(command(), list(words), prog_name="taod")
        assert result.exit_code == code, result.output
        return result.output

    file = archive(tmp_path / "data.tar")
    id = taod("dataset", "create", "image_classification", "classification_pyt", "name=cats", "--quiet").strip()
    assert "20 images" in taod("dataset", "upload", "cats", str(file))

    async def half() -> None:
        async with opened(daemon) as client:
            parted = uploads.PartedFile(file.open("rb"), file.name, file.stat().st_size, checksum=False)
            await uploads.Upload(client, id, UploadMode.REPLACE).send_part(parted, 0, PART, None)

    asyncio.run(half())
    assert "waiting: 300" in taod("dataset", "show", "cats")
    assert "20 images" in taod("dataset", "upload", "cats", str(file), "--restart")
    more = archive(tmp_path / "more.tar", count=22)
    assert "22 images" in taod("dataset", "upload", "cats", str(more), "--add", "--no-checksum")
    assert "waiting" not in taod("dataset", "show", "cats")


async def test_what_is_wrong_is_answered_although_most_of_it_was_not_read(daemon: Daemon, tmp_path: Path) -> None:
    """The error comes early while the client still sends: it must get the text, not a broken connection."""
    file = tmp_path / "bad.tar"
    with tarfile.open(file, "w") as packed:
        packed.addfile(tarfile.TarInfo("../outside"))
        for n in range(40):
            info = tarfile.TarInfo(f"{n}.png")
            info.size = 1_000_000
            packed.addfile(info, io.BytesIO(bytes(1_000_000)))
    async with opened(daemon) as client:
        made = await client.datasets.create(KIND)
        for part in (PART, 1 << 40):
            uploads.PART_BYTES = part
            with pytest.raises(ClientError, match=r"archive entry '\.\./outside' climbs out") as raised:
                await client.datasets.upload(made.id, file)
            assert raised.value.status == 400
        assert (await client.datasets.summary(made.id)).state == "empty"
    info = find(daemon.root)
    place = urlsplit(info.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = (
        f"PUT /api/v1/user/{info.user_id}/dataset/{made.id}/upload HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: Bearer {info.token}\r\nContent-Length: {2**38}\r\nExpect: 100-continue\r\n\r\n"
    )
    writer.write(head.encode())
    # Not `100 Continue`: no byte of the body is asked for.
    assert (await asyncio.wait_for(reader.readline(), PATIENCE_S)).split()[1] in (b"413", b"507")
    writer.close()
    assert not list(Root(daemon.root).incoming.iterdir())
