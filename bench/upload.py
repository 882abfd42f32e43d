"""An upload of 2 GB over HTTP: the daemon's peak memory, and the time compared with `cp` and `tar x`.

`TAOD_BENCH_UPLOAD_MB` sets another size; compressed archives have a quarter of it. Client and daemon share the cores.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench._daemon import serving
from taod.client import AsyncClient, uploads
from taod.client.find import find
from taod.types.dataset import DatasetCreate

MB = 1024 * 1024
SIZE_MB = int(os.environ.get("TAOD_BENCH_UPLOAD_MB", "2048"))
IMAGE = 200_000


def run() -> Iterator[tuple[str, str, str]]:
    """Rows of figure, measured value and peer."""
    with serving() as root:
        for kind, size_mb in (("tar", SIZE_MB), ("tar.gz", SIZE_MB // 4), ("zip", SIZE_MB // 4)):
            archive = root.parent / f"large.{kind}"
            _pack(archive, kind, size_mb)
            yield from asyncio.run(_measure(root, archive, kind))
            archive.unlink()


def _pack(archive: Path, kind: str, size_mb: int) -> None:
    """Write incompressible images."""
    count = size_mb * MB // IMAGE
    if kind == "zip":
        import zipfile

        with zipfile.ZipFile(archive, "w") as out:
            out.writestr("classes.txt", "cat\n")
            for n in range(count):
                out.writestr(f"images_train/cat/{n}.png", os.urandom(IMAGE))
        return
    with tarfile.open(archive, "w") if kind == "tar" else tarfile.open(archive, "w:gz", compresslevel=1) as out:
        _add(out, "classes.txt", b"cat\n")
        for n in range(count):
            _add(out, f"images_train/cat/{n}.png", os.urandom(IMAGE))


def _add(out: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    out.addfile(info, io.BytesIO(content))


async def _measure(root: Path, archive: Path, kind: str) -> list[tuple[str, str, str]]:
    figures = []
    peer_s = _peer(archive, kind)
    size = archive.stat().st_size  # noqa: ASYNC240
    for how, part in (("one form", 1 << 60), ("parts of 64 MiB, SHA-256", 64 * MB)):
        uploads.PART_BYTES = part
        async with AsyncClient.from_info(find(root)) as client:
            made = await client.datasets.create(DatasetCreate("image_classification", "classification_pyt"))
            pid = find(root).pid
            before = _reset_peak(pid)
            os.sync()
            began = time.perf_counter()
            await client.datasets.upload(made.id, archive, checksum=part < 1 << 60)
            took_s = time.perf_counter() - began
            peak = _status(pid, "VmHWM")
            await client.datasets.delete(made.id)
        figures.append(
            (
                f"upload of {kind}, {size / 1e9:.1f} GB, as {how}",
                f"{took_s:.1f} s ({size / took_s / 1e6:.0f} MB/s); RSS {before:.0f} → at most {peak:.0f} MB",
                f"cp, then extraction by the usual tool, then sync: {peer_s:.1f} s",
            )
        )
    return figures


def _peer(archive: Path, kind: str) -> float:
    """The manual alternative: copy and unpack the file, and flush both to the disk. Returns seconds."""
    out = archive.parent / "by-hand"
    out.mkdir()
    os.sync()
    began = time.perf_counter()
    subprocess.run(["cp", archive, out / "copy"], check=True)
    if kind == "zip":
        subprocess.run(["python3", "-m", "zipfile", "-e", out / "copy", out], check=True)
    else:
        subprocess.run(["tar", "-xf", out / "copy", "-C", out], check=True)
    os.sync()
    took_s = time.perf_counter() - began
    subprocess.run(["rm", "-r", out], check=True)
    return took_s


def _reset_peak(pid: int) -> float:
    """Reset the peak RSS; returns the current RSS in MB."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
