"""Detection of complete checkpoint files, by kind. Files are truncated at every place a killed writer may leave."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from taod.catalogue.commands.checkpoint_check import fault


def zipped() -> bytes:
    """As torch.save, TF1's .ckzip and mask_rcnn's .tlt are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00." * 20)
        archive.writestr("archive/data/0", bytes(4000))
    return buffer.getvalue()


def pickled() -> bytes:
    return pickle.dumps({"epoch": 3, "state_dict": {"weight": b"x" * 3000}}, protocol=2)


def legacy_torch() -> bytes:
    """torch.save before 1.6: a magic number, a version, what the machine is, the object, its storages."""
    header = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, {"weight": "storage"}, ["0"]]
    return b"".join(pickle.dumps(one, protocol=2) for one in header) + struct.pack("<q", 100) + bytes(400)


def hdf5(version: int, end: int | None = None, size: int = 2048, width: int = 8) -> bytes:
    """A superblock, and zeros up to `size`; `end` is where it says that the file ends."""
    addresses = b"".join(
        value.to_bytes(width, "little") for value in (0, 2 ** (8 * width) - 1, size if end is None else end)
    )
    if version < 2:
        sizes = bytes([version, 0, 0, 0, 0, width, width, 0]) + bytes(8 if version == 0 else 12)
    else:
        sizes = bytes([version, width, width, 0])
    return (b"\x89HDF\r\n\x1a\n" + sizes + addresses).ljust(size, b"\0")


WHOLE: dict[str, Callable[[], bytes]] = {
    "model.pth": zipped,
    "model.tlt": zipped,
    "model.epoch-3.ckzip": zipped,
    "plain.pth": pickled,
    "legacy.pth": legacy_torch,
    "v0.hdf5": lambda: hdf5(0),
    "v1.hdf5": lambda: hdf5(1),
    "v2.hdf5": lambda: hdf5(2),
    "v3.hdf5": lambda: hdf5(3),
    "narrow.hdf5": lambda: hdf5(0, width=4),
    "encrypted.tlt": lambda: bytes(range(256)) * 8,
    "encrypted.hdf5": lambda: bytes(range(255, -1, -1)) * 8,
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_complete_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WHOLE[name]())
    assert fault(tmp_path / name) is None


@pytest.mark.parametrize("name", [name for name in WHOLE if not name.startswith(("encrypted", "legacy"))])
def test_a_truncated_file(name: str, tmp_path: Path) -> None:
    whole = WHOLE[name]()
    for share in (0, 0.05, 0.5, 0.9, 0.999):
        (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
        assert fault(tmp_path / name) is not None, share


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.pth", b"", "is empty"),
        ("a.pth", zipped()[:-30], "is truncated: its zip archive has no end"),
        ("a.ckzip", zipped()[:100], "is truncated: its zip archive has no end"),
        ("a.pth", pickled()[:-9], "is truncated: its pickle has no end"),
        ("a.pth", legacy_torch()[:15], "is truncated: its pickle has no end"),
        ("a.hdf5", hdf5(0)[:1000], "is truncated: 1000 of 2048 bytes"),
        ("a.hdf5", hdf5(2, end=2**64 - 1), "was not closed by its writer"),
        ("a.hdf5", hdf5(0, end=2048, size=59648), "was not closed by its writer"),
    ],
    ids=["empty", "zip", "short zip", "pickle", "legacy torch", "hdf5", "open hdf5", "killed hdf5"],
)
def test_faults_of_damaged_files(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert fault(tmp_path / name) == words


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
            return (Path.write_text, (tmp_path / "harm", "x"))  # type: ignore[return-value]

    (tmp_path / "a.pth").write_bytes(pickle.dumps(Harm(), protocol=2))
    assert fault(tmp_path / "a.pth") is None and not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model.ckpt-3.index": 1, "model.ckpt-3.data-00000-of-00001": 1, "model.ckpt-3.meta": 1}, None),
        ({"model.ckpt-3.index": 1, "model.ckpt-3.data-00000-of-00002": 1}, "lacks data of model.ckpt-3"),
        ({"model.ckpt-3.index": 1, "model.ckpt-3.data-00000-of-00001": 0}, "lacks data of model.ckpt-3"),
        ({"model.ckpt-3.index": 1}, "lacks data of model.ckpt-3"),
        ({"model.ckpt-3.data-00000-of-00001.tempstate1": 1}, "holds no checkpoint index"),
        ({}, "holds no checkpoint index"),
    ],
)
def test_a_tensorflow_folder(files: dict[str, int], words: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "model.epoch-3.tlt"
    folder.mkdir()
    for name, size in files.items():
        (folder / name).write_bytes(b"x" * size)
    assert fault(folder) == words


def test_an_unreadable_file(tmp_path: Path) -> None:
    assert fault(tmp_path / "none.pth") == "cannot be read (No such file or directory)"
