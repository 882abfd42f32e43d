"""Checks by its headers and its end that a checkpoint file is complete; never loads or unpickles it."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from taod import plain_file

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_SUPERBLOCK = 64
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How torch.save began its files before it wrote zip archives; behind it come pickles, then bare numbers."""
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_PICKLE_END = b"."
_SHARD = re.compile(r"\.data-\d{5}-of-(\d{5})")


def fault(path: Path) -> str | None:
    """The fault of a checkpoint, as the predicate of a sentence; None for a complete one and for unknown content (an
    encrypted file)."""
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except OSError as error:
        return f"cannot be read ({error.strerror or type(error).__name__})"


def _of_file(path: Path) -> str | None:
    size = path.stat().st_size
    if not size:
        return "is empty"
    with plain_file.binary(path) as file:
        head = file.read(_HDF5_SUPERBLOCK)
        file.seek(-1, 2)
        last = file.read(1)
        if head.startswith(_EMPTY_ZIP):
            return "is an empty archive"
        if head.startswith(_ZIP):
            # Its directory, at the end, may have millions of entries: it is not read.
            return None if zipfile.is_zipfile(file) else "is truncated: its zip archive has no end"
    if head.startswith(_HDF5):
        return _of_hdf5(head, size)
    if path.suffix == ".pth" and _PICKLE.match(head):
        legacy = head.startswith(_TORCH_LEGACY)
        cut = size == len(_TORCH_LEGACY) if legacy else last != _PICKLE_END
        return "is truncated: its pickle has no end" if cut else None
    return None


def _of_hdf5(head: bytes, size: int) -> str | None:
    """The superblock holds where the file ends (HDF5 File Format Specification, III.A)."""
    version = head[8]
    if version in (0, 1):
        width, start = head[13], 24 + 4 * version
    elif version in (2, 3):
        width, start = head[9], 12
    else:
        return None
    end = int.from_bytes(head[start + 2 * width : start + 3 * width], "little")
    if width not in (4, 8) or end == 2 ** (8 * width) - 1:
        return "was not closed by its writer" if width in (4, 8) else None
    if size > end:
        # A TF1 tool killed while it saves leaves 60 kB of data and a superblock with the end address 2,048.
        return "was not closed by its writer"
    return f"is truncated: {size} of {end} bytes" if size < end else None


def _of_folder(folder: Path) -> str | None:
    """A TensorFlow checkpoint: an index, and as many shards of data as each name announces."""
    names = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()}
    indices = [name.removesuffix(".index") for name in names if name.endswith(".index")]
    if not indices:
        return "holds no checkpoint index"
    for prefix in indices:
        shards = {name: shard for name in names if (shard := _SHARD.fullmatch(name.removeprefix(prefix)))}
        wanted = max((int(shard.group(1)) for shard in shards.values()), default=1)
        if len(shards) < wanted or not names[f"{prefix}.index"] or not all(names[shard] for shard in shards):
            return f"lacks data of {prefix}"
    return None
