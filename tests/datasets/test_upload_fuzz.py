"""Archives of any kind, sound, odd or damaged, in pieces of any size: the outcome is that of the whole archive."""

from __future__ import annotations

import asyncio
import io
import itertools
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taod.config import LimitsConfig
from taod.datasets.archive.extract import extract
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.upload_session import UploadSession
from taod.errors import BadRequest

FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
LIMITS = LimitsConfig(archive_files=12, archive_bytes=100_000)
KINDS = ["tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip"]
PARTS = st.sampled_from(["", ".", "..", "a", "A", "b.png", "._x", "C:", "\\", "\n", "é", "n" * 90])
NAMES = st.lists(PARTS, max_size=4).map("/".join)
MEMBERS = st.lists(st.tuples(NAMES, st.binary(max_size=3000), st.sampled_from("0001235")), max_size=8)
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=2)


def packed(members: Iterable[tuple[str, bytes, str]], kind: str, pack) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings(action="ignore"):
            for name, content, type_ in members:
                info = zipfile.ZipInfo(name.replace("\0", ""))
                info.create_system = 3
                info.external_attr = {"2": 0o120777, "3": 0o060600, "5": 0o040755}.get(type_, 0o100644) << 16
                archive.writestr(info, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, type_ in members:
            info = tarfile.TarInfo(name)
            info.type = type_.encode()
            info.linkname = content[:20].decode("latin-1").replace("\0", "")
            info.size = len(content) if type_ == "0" else 0
            archive.addfile(info, io.BytesIO(content))
    compress = {"tar": bytes}.get(kind)
    return compress(out.getvalue()) if compress else _compressed(out.getvalue(), kind)


def _compressed(content: bytes, kind: str) -> bytes:
    import bz2
    import gzip
    import lzma

    import zstandard

    engines = {
        "tar.gz": gzip.compress,
        "tar.bz2": bz2.compress,
        "tar.xz": lzma.compress,
        "tar.zst": zstandard.ZstdCompressor(write_checksum=True).compress,
    }
    return engines[kind](content)


def listing(top: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(top)): path.read_bytes() if path.is_file() else None for path in top.rglob("*")}


def whole(content: bytes, work: Path) -> object:
    """What the archive unpacks to; the sentence where it is rejected."""
    (work / "whole").write_bytes(content)
    try:
        extract(work / "whole", work / "tree-whole", LIMITS)
    except BadRequest as error:
        return str(error)
    return listing(work / "tree-whole")


def arriving(content: bytes, cuts: list[int], work: Path) -> object:
    """The same of the archive in pieces."""

    async def body() -> AsyncIterator[bytes]:
        edges = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
        for start, end in itertools.pairwise(edges):
            yield content[start:end]

    async def receive() -> object:
        folder = work / "arriving"
        folder.mkdir()
        session = UploadSession(folder, LIMITS, DiskQuota(folder), hashed=True)
        session.unpack()
        try:
            await session.receive(body(), "application/octet-stream", None, lambda size: None, None)
            await session.finish()
            return listing(folder / "tree")
        except BadRequest as error:
            assert not (folder / "tree").exists()
            return str(error)
        finally:
            await session.discard()
            assert not folder.exists()

    return asyncio.run(receive())


@FUZZ
@given(
    kind=st.sampled_from(KINDS),
    members=MEMBERS,
    changes=CHANGES,
    cut=st.none() | st.integers(0, 1 << 16),
    cuts=st.lists(st.integers(0, 1 << 16), max_size=4),
)
def test_in_pieces_as_whole(kind, members, changes, cut, cuts, pack, tmp_path) -> None:
    content = bytearray(packed(members, kind, pack))
    for at, value in changes:
        content[at % len(content)] = value
    sent = bytes(content[: None if cut is None else cut % (len(content) + 1)])
    work = tmp_path / "work"
    work.mkdir()
    try:
        assert arriving(sent, cuts, work) == whole(sent, work)
        assert {path.name for path in work.iterdir()} <= {"whole", "tree-whole"}
        assert {path.name for path in tmp_path.iterdir()} == {"work"}, "nothing is written outside"
    finally:
        shutil.rmtree(work)
