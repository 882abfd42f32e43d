"""Uploads in parts: the `Content-Range` header, and the record of an incomplete file.

The header is that of RFC 9110, section 14.4. The answer 308 with `Range` for the bytes received follows common
resumable upload protocols.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from taod.errors import BadRequest, TaodError

_RANGE = re.compile(r"^\s*bytes\s+(?:(\d{1,18})-(\d{1,18})|\*)/(\d{1,18})\s*$")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
FACTS = "facts.json"


class Part(NamedTuple):
    """Bytes `start` to `end` (exclusive) of a file of `total`; both are None in a query for the state of the upload."""

    start: int | None
    end: int | None
    total: int


class RangeRejected(TaodError):
    """A part does not begin where the received bytes end."""

    status = 416


class UploadRecord(msgspec.Struct):
    """The record stored beside the bytes of an incomplete file."""

    dataset_id: str
    total: int
    filename: str | None = None
    synced: int = 0
    """Bytes that were flushed to disk, so they survive a power cut."""
    boot: str = ""
    """Id of the boot in which bytes after `synced` are valid too."""


def parse(header: str | None) -> Part | None:
    """The part described by a Content-Range header; None without one. Raises BadRequest."""
    if header is None:
        return None
    match = _RANGE.match(header)
    if match is None:
        raise BadRequest(
            f"Content-Range: {header[:80]!r} is not understood; send `bytes START-END/TOTAL`, END included, "
            "or `bytes */TOTAL` with an empty body to ask how far the upload is"
        )
    total = int(match[3])
    if match[1] is None:
        return Part(None, None, total)
    start, end = int(match[1]), int(match[2]) + 1
    if not start < end <= total:
        raise BadRequest(f"Content-Range: {header[:80]!r} ends before it begins, or behind its total; END is included")
    return Part(start, end, total)


def fits(facts: UploadRecord, part: Part, filename: str | None, has: int) -> bool:
    """Whether the part begins at byte `has` and belongs to the recorded file."""
    same = facts.total == part.total and (filename is None or facts.filename in (None, filename))
    return same and part.start in (None, has)


def mismatch(part: Part, has: int, facts: UploadRecord | None, filename: str | None) -> RangeRejected:
    """The error for a part that does not begin at byte `has`."""
    if facts is None:
        words = "no upload is in progress here, or it has expired: send it from byte 0 on"
    elif not fits(facts, part._replace(start=None), filename, has):
        named = f"{facts.filename!r}, " if facts.filename else ""
        words = f"the upload in progress here is of {named}{facts.total} bytes; send byte 0 first to start another"
    else:
        words = f"it has {has} of {facts.total} bytes: continue with Content-Range: bytes {has}-…/{facts.total}"
    given = "*" if part.start is None or part.end is None else f"{part.start}-{part.end - 1}"
    return RangeRejected(f"Content-Range: bytes {given}/{part.total} does not fit: {words}", headers=range_header(has))


def range_header(has: int) -> dict[str, str]:
    """The `Range` header with the received bytes; no header without any."""
    return {"Range": f"bytes=0-{has - 1}"} if has else {}


def boot() -> str:
    """Id of the machine's current boot."""
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""


def save(folder: Path, facts: UploadRecord) -> None:
    """Write the record atomically."""
    aside = folder / f".{FACTS}"
    with aside.open("wb") as file:
        file.write(msgspec.json.encode(facts))
        file.flush()
        os.fsync(file.fileno())
    aside.replace(folder / FACTS)


def load(folder: Path) -> UploadRecord | None:
    """Read the record of a part folder and truncate its file to the valid bytes. None if it cannot be continued."""
    try:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=UploadRecord)
        if facts.boot != boot():
            # After a power cut, bytes after the last flush may be holes.
            os.truncate(folder / "upload", min(facts.synced, (folder / "upload").stat().st_size))
        return facts if (folder / "upload").stat().st_size <= facts.total else None
    except (OSError, msgspec.DecodeError):
        return None
