"""Reads tar as a stream: ustar, GNU long names, pax headers. Handles bytes only and writes nothing.

The standard library's tarfile takes several times longer for a header than the kernel for the file after it, and does
not bound extended headers; datasets consist of small files.
Formats: POSIX.1-2001 pax, and "Basic Tar Format" of the GNU tar manual.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from taod.datasets.archive.decompression import Corrupt, Truncated

BLOCK = 512
READ = 1024 * 1024
META = 1024 * 1024
"""The longest extended header."""
TRAILER = 64 * 1024**2
"""Most bytes of padding after the end marker."""

_ZEROS = bytes(BLOCK)
_FILE = frozenset(b"0\x007")
_NO_DATA = frozenset(b"123456")
_META = frozenset(b"xXgLK")
_KINDS = {
    ord("1"): "hard link",
    ord("2"): "symbolic link",
    ord("3"): "character device",
    ord("4"): "block device",
    ord("5"): "folder",
    ord("6"): "fifo",
    ord("D"): "folder",
    ord("S"): "sparse file",
    ord("M"): "part of a multi-volume archive",
}


class Entry(NamedTuple):
    """One member: `kind` is `file`, `folder`, `hard link`, `symbolic link` or the name of another type."""

    name: str
    kind: str
    size: int
    target: str


class TarReader:
    """Iterates over the entries; `data()` yields the bytes of the current entry, unread bytes are skipped.

    `spend(n, what)` is called with every header's extra bytes, so that the caller can bound them.
    Raises Truncated and Corrupt.
    """

    def __init__(self, read: Callable[[int], bytes], spend: Callable[[int, str], None]) -> None:
        self._read = read
        self._spend = spend
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        path: bytes | None = None
        link: bytes | None = None
        size: bytes | None = None
        everywhere: dict[bytes, bytes] = {}
        while True:
            if self._left:
                for _ in self.data():
                    pass
            if self._padding:
                self._take(self._padding)
                self._padding = 0
            block = self._take(BLOCK)
            if block == _ZEROS:
                self._finish()
                return
            kind = block[156]
            if kind in _META:
                self._check(block)
                body = self._body(_number(block[124:136]))
                if kind == ord("L"):
                    path = body.rstrip(b"\0")
                elif kind == ord("K"):
                    link = body.rstrip(b"\0")
                else:
                    records = _pax(body)
                    if kind == ord("g"):
                        everywhere |= records
                        continue
                    path = records.get(b"path", path)
                    link = records.get(b"linkpath", link)
                    size = records.get(b"size", size)
                    if any(key.startswith(b"GNU.sparse.") for key in records):
                        yield Entry(_text(records.get(b"GNU.sparse.name", path or b"")), "sparse file", 0, "")
                continue
            if kind == ord("V"):  # a volume label is not a member
                self._check(block)
                continue
            entry = self._entry(block, path, link, size, everywhere)
            path = link = size = None
            yield entry

    def data(self) -> Iterator[memoryview]:
        """The unread bytes of the current entry, in pieces of at most about 1 MiB."""
        while self._left:
            if self._at == len(self._buffer):
                self._fill()
            piece = memoryview(self._buffer)[self._at : self._at + self._left]
            self._at += len(piece)
            self._left -= len(piece)
            yield piece

    def _entry(
        self, block: bytes, path: bytes | None, link: bytes | None, size: bytes | None, everywhere: dict[bytes, bytes]
    ) -> Entry:
        self._check(block)
        kind = block[156]
        if everywhere:
            path = path or everywhere.get(b"path")
            link = link or everywhere.get(b"linkpath")
            size = size or everywhere.get(b"size")
        if path is None:
            path = block[:100].partition(b"\0")[0]
            if block[257:263] == b"ustar\0" and block[345]:
                path = block[345:500].partition(b"\0")[0] + b"/" + path
        length = _number(block[124:136]) if size is None else _decimal(size)
        if kind not in _NO_DATA:
            self._left = length
            self._padding = -length % BLOCK
        name = _text(path)
        if kind in _FILE:
            # Before ustar, a folder was a file whose name ends in a slash.
            return Entry(name, "folder" if name.endswith("/") and kind != ord("7") else "file", length, "")
        target = _text(block[157:257].partition(b"\0")[0] if link is None else link) if kind in b"12" else ""
        return Entry(name, _KINDS.get(kind, f"member of type {chr(kind)!r}"), length, target)

    def _check(self, block: bytes) -> None:
        """Verify the header's checksum: the sum of its bytes, with the checksum field as blanks. Raises Corrupt.

        The low half of Adler-32 is 1 + that sum modulo 65521, and takes a tenth of the time.
        """
        stored = _number(block[148:156])
        found = (zlib.adler32(block[156:], zlib.adler32(block[:148])) & 0xFFFF) - 1 + 8 * 32
        if (stored - found) % 65521:
            raise Corrupt("a header's checksum is wrong: it is not a tar, or it is damaged")

    def _body(self, size: int) -> bytes:
        if size > META:
            raise Corrupt(f"an extended header claims {size} bytes")
        self._spend(size + BLOCK, "(extended header)")
        body = self._take(size)
        self._take(-size % BLOCK)
        return body

    def _take(self, size: int) -> bytes:
        end = self._at + size
        while end > len(self._buffer):
            self._fill()
            end = self._at + size
        piece = self._buffer[self._at : end]
        self._at = end
        return piece

    def _fill(self) -> None:
        more = self._read(READ)
        if not more:
            raise Truncated
        self._buffer = self._buffer[self._at :] + more if self._at < len(self._buffer) else more
        self._at = 0

    def _finish(self) -> None:
        """Read to the end of the stream, so that the decompressor verifies its checksum. Only zeros may follow."""
        piece, seen = self._buffer[self._at :], 0
        self._buffer, self._at = b"", 0
        while True:
            if piece.strip(b"\0"):
                raise Corrupt("something follows its end marker, as when archives are glued together")
            seen += len(piece)
            if seen > TRAILER:
                raise Corrupt("endless padding follows its end marker")
            piece = self._read(READ)
            if not piece:
                return


def _number(field: bytes) -> int:
    """A header's number: octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big") - (0x80 << (8 * (len(field) - 1)))
    else:
        try:
            value = int(field.partition(b"\0")[0] or b"0", 8)
        except ValueError:
            if field.strip(b" \0"):
                raise Corrupt("a header has text in a number field: it is not a tar, or it is damaged") from None
            value = 0
    if not 0 <= value < 2**63:
        raise Corrupt("a header holds a size out of range")
    return value


def _decimal(field: bytes) -> int:
    if not field.isdigit() or len(field) > 18:
        raise Corrupt("an extended header holds a size that is not a number")
    return int(field)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        shown = ascii(name[:120])[1:]
        raise Corrupt(f"the name {shown} is not UTF-8; rename the file, or pack it with a UTF-8 locale") from None


def _pax(body: bytes) -> dict[bytes, bytes]:
    """Records `<length> <key>=<value>\\n`, the length counting itself."""
    records: dict[bytes, bytes] = {}
    at = 0
    while at < len(body):
        digits, blank, _ = body[at : at + 20].partition(b" ")
        if not blank or not digits.isdigit() or int(digits) < len(digits) + 4 or at + int(digits) > len(body):
            if not body[at:].strip(b"\0"):
                break
            raise Corrupt("an extended header is damaged")
        key, _, value = body[at + len(digits) + 1 : at + int(digits) - 1].partition(b"=")
        records[key] = value
        at += int(digits)
    return records
