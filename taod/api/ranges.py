"""Parses the Range header (RFC 9110, section 14) of a request for a file. Pure."""

from __future__ import annotations

import re

import msgspec

from taod.errors import TaodError

_RANGE = re.compile(r"^bytes=(?P<first>\d*)-(?P<last>\d*)$", re.ASCII)
_MAX_DIGITS = 18
"""Numbers with more digits are beyond the end of any file."""


class Unsatisfiable(TaodError):
    """The range starts after the end of the file."""

    status = 416


class Range(msgspec.Struct, frozen=True):
    """Bytes `start` (included) to `end` (excluded)."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


def parse(header: str | None, size: int) -> Range | None:
    """The requested range; None without a single well-formed one: then the whole file is sent. Raises Unsatisfiable."""
    match = _RANGE.match(header.strip().replace(" ", "")) if header else None
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        start, end = max(size - _number(match["last"]), 0), size
    else:
        start = _number(match["first"])
        end = min(_number(match["last"]) + 1, size) if match["last"] else size
        if match["last"] and _number(match["last"]) < start:
            return None
    if start >= size:
        raise Unsatisfiable(f"Range: {header}: there are {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return Range(start, end)


def _number(digits: str) -> int:
    """Digits as a number; too many as a number larger than any file."""
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS
