"""A disk that is really full: a small tmpfs, and what is left on it after each way of filling it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from store.records import DatasetRecord
from taod.config import LimitsConfig
from taod.datasets.upload import upload_session
from taod.datasets.upload.content_range import Part
from taod.datasets.upload.ingest import DatasetIngest, UploadOptions
from taod.errors import NoSpace
from taod.paths import Root
from tests.patience import PATIENCE_S

MIB = 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], capture_output=True, text=True
    )
    if not mounted or mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.strip() if mounted else 'there is no mount'}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def root(small_disk: Path) -> Root:
    root = Root(small_disk / "root")
    root.make()
    return root


@pytest.fixture
def dataset(make_dataset: Callable[..., DatasetRecord]) -> DatasetRecord:
    return make_dataset()


async def body(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 60_000):
        yield content[at : at + 60_000]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("keep_free", [0, MIB])
async def test_an_upload_that_does_not_fit_leaves_the_old_data_and_room(
    root, dataset, digits, pack, files_of, kind, keep_free
) -> None:
    intake = DatasetIngest(root, LimitsConfig(), keep_free)
    await intake.accept(dataset, body(pack(digits)))
    await intake.settled()
    used = shutil.disk_usage(root.path).used
    shrinks = {"images_train/one/big.png": bytes(20 * MIB)}  # fits as an archive, not as files
    too_large = {f"images_train/one/{n}.png": os.urandom(MIB) for n in range(10)}
    for tree in (shrinks, too_large):
        if kind == "tar" and tree is shrinks:
            continue
        with pytest.raises(NoSpace, match=r"the disk is full: .*make room"):
            await intake.accept(dataset, body(pack(digits | tree, kind)))
        assert files_of(root.dataset(dataset.id)) == digits
        assert list(root.incoming.iterdir()) == []
        assert shutil.disk_usage(root.path).used == used
    assert (await intake.accept(dataset, body(pack(digits, kind)))).images == 12


async def test_too_large_a_length_is_rejected_before_a_byte_is_read(root, dataset) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("a byte was asked for")
        yield b""

    intake = DatasetIngest(root, LimitsConfig())
    with pytest.raises(NoSpace, match=r"the upload needs 9437184 bytes, and the disk of .* has .* bytes free"):
        await intake.accept(dataset, never(), UploadOptions(body_bytes=9 * MIB))


def fill(root: Root, leave: int) -> Path:
    """Write a file that leaves so many bytes free, or fewer where unpacking takes some at the same time."""
    filler = root.path / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        file.write(bytes(shutil.disk_usage(root.path).free - leave))
    return filler


async def test_unpacking_that_fails_late_does_not_end_the_next_part(
    root, dataset, digits, pack, files_of, monkeypatch
) -> None:
    full, failed, extract = threading.Event(), threading.Event(), upload_session.extract

    def late(reader, *arguments, **options):
        """Like the thread of a busy machine: it begins when the disk is full."""
        while not full.is_set() and not reader._growing._stopped:
            time.sleep(0.001)
        try:
            return extract(reader, *arguments, **options)
        finally:
            failed.set()

    monkeypatch.setattr(upload_session, "extract", late)
    intake = DatasetIngest(root, LimitsConfig())
    content = pack(digits, "tar")
    half = len(content) // 2
    await intake.accept_part(dataset, body(content[:half]), Part(0, half, len(content)))
    filler = fill(root, 0)
    rest = Part(half, len(content), len(content))
    with pytest.raises(NoSpace):
        await intake.accept_part(dataset, body(content[half:]), rest)
    full.set()
    assert failed.wait(PATIENCE_S)  # without await: the event loop does not learn of it before the next part
    filler.unlink()
    assert (await intake.accept_part(dataset, body(content[half:]), rest)).images == 12
    assert files_of(root.dataset(dataset.id)) == digits
    await intake.close()


async def test_an_upload_in_parts_continues_once_there_is_room(root, dataset, digits, pack, files_of) -> None:
    intake = DatasetIngest(root, LimitsConfig())
    tree = digits | {f"images_train/one/{n}{n}.png": os.urandom(700_000) for n in range(3)}
    content = pack(tree, "tar")
    half = len(content) // 2
    await intake.accept_part(dataset, body(content[:half]), Part(0, half, len(content)))
    filler = fill(root, len(content) - half + 4096)  # room for the rest of the file, none to unpack it
    with pytest.raises(NoSpace):
        await intake.accept_part(dataset, body(content[half:]), Part(half, len(content), len(content)))
    has = intake.progress(dataset.id).received
    assert has >= half, "what has come stays"
    filler.unlink()
    rest = Part(None, None, len(content)) if has == len(content) else Part(has, len(content), len(content))
    await intake.accept_part(dataset, body(content[has:]), rest)
    assert files_of(root.dataset(dataset.id)) == tree
    await intake.close()
