"""Factories for the datasets' tests: trees on disk, archives of every kind, dataset records."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import zstandard

from store.records import DatasetRecord
from taod.ids import new_id

Tree = Mapping[str, bytes]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(100))


@pytest.fixture
def digits() -> dict[str, bytes]:
    """A small classification set of format classification_pyt."""
    tree = {"classes.txt": b"one\ntwo\n"}
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for name in ("one", "two"):
            tree |= {f"images_{split}/{name}/{n}.png": PNG for n in range(count)}
    return tree


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Tree], Path]:
    """Writes a tree under a new folder; a name that ends in `/` is an empty folder."""

    def make(tree: Tree) -> Path:
        top = tmp_path / f"tree-{new_id()}"
        top.mkdir()
        for name, content in tree.items():
            path = top / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        return top

    return make


@pytest.fixture
def pack() -> Callable[..., bytes]:
    """Packs a tree as bytes: `pack(tree, "tar.gz")`; kinds tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip."""
    return packed


def packed(tree: Tree, kind: str = "tar.gz", format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in tree.items():
                archive.writestr(name, content)
        return out.getvalue()
    _, _, compression = kind.partition(".")
    mode = "w" if compression in ("", "zst") else f"w:{compression}"
    with tarfile.open(fileobj=out, mode=mode, format=format) as archive:  # type: ignore[call-overload]
        for name, content in tree.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    if compression == "zst":
        return zstandard.ZstdCompressor(write_checksum=True).compress(out.getvalue())
    return out.getvalue()


@pytest.fixture
def make_dataset() -> Callable[..., DatasetRecord]:
    def make(type: str = "image_classification", format: str = "classification_pyt") -> DatasetRecord:
        now = "2026-01-01T00:00:00+00:00"
        return DatasetRecord(
            id=new_id(),
            user_id=new_id(),
            name="digits",
            description="",
            logo="",
            version="1.0.0",
            type=type,
            format=format,
            created_on=now,
            last_modified=now,
        )

    return make


@pytest.fixture
def files_of() -> Callable[[Path], dict[str, bytes]]:
    """Every file below a folder by its relative path."""

    def read(top: Path) -> dict[str, bytes]:
        return {str(path.relative_to(top)): path.read_bytes() for path in sorted(top.rglob("*")) if path.is_file()}

    return read
