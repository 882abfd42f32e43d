"""Streaming decompression of gzip, bzip2 and xz in bounded memory, with errors for truncation and corruption."""

from __future__ import annotations

import bz2
import lzma
import queue
import threading
import zlib
from collections.abc import Callable
from typing import Protocol, Self

CHUNK = 256 * 1024
"""Packed bytes read at a time, and the most unpacked bytes that one step yields."""

MEMORY = 512 * 1024**2
"""Memory limit of an xz dictionary; `xz -9` needs 65 MiB."""

MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""First bytes of each format. A zstd file may also begin with a skippable frame, `5?2a4d18`."""


class Truncated(Exception):
    """The bytes end before the archive does."""


class Corrupt(Exception):
    """The bytes violate their format; the message gives the reason."""


class Source(Protocol):
    """A source of an archive's bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _GzipDecompressor:
    """zlib's decompressor with the interface of those of bz2 and lzma: it keeps unread input itself."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        unpacked = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail
        return unpacked


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": _GzipDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MEMORY),
}


class Unpacked:
    """Reads a compressed file decompressed; concatenated members are one stream."""

    def __init__(self, file: Source, kind: str) -> None:
        self._file = file
        self._kind = kind
        self._engine: _Decompressor | None = None
        self._pending = b""

    def read(self, _size: int = -1, /) -> bytes:
        """The next decompressed bytes, about 256 KiB whatever `_size` is; empty at the end.

        Raises Truncated and Corrupt.
        """
        try:
            return self._next()
        except (zlib.error, lzma.LZMAError, ValueError, OSError, EOFError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise Corrupt(f"its {self._kind} data is damaged ({error})") from error

    def _next(self) -> bytes:
        while True:
            if self._engine is None:
                # Padding of zeros is allowed between members and after the last.
                self._pending = self._pending.lstrip(b"\0")
                while not self._pending:
                    data = self._file.read(CHUNK)
                    if not data:
                        return b""
                    self._pending = data.lstrip(b"\0")
                self._engine = _DECOMPRESSORS[self._kind]()
            data, ended = b"", False
            if self._engine.needs_input:
                data = self._pending or self._file.read(CHUNK)
                self._pending = b""
                ended = not data
            unpacked = self._engine.decompress(data, CHUNK)
            if self._engine.eof:
                self._pending = self._engine.unused_data
                self._engine = None
            elif ended and not unpacked:
                raise Truncated
            if unpacked:
                return unpacked


class ReadAhead:
    """Decompresses in another thread while earlier pieces are written; at most a few pieces ahead.

    The decompressors and writes release the interpreter's lock, so two cores work.
    """

    def __init__(self, source: Source, leave: Callable[[], None] | None = None) -> None:
        """`leave` wakes the source if it waits for bytes that are no longer needed."""
        self._source = source
        self._leave = leave
        self._pieces: queue.Queue[bytes | Exception] = queue.Queue(maxsize=8)
        self._ended = False
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="unpack", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        if self._leave is not None:
            self._leave()
        while self._thread.is_alive():
            try:
                self._pieces.get(timeout=0.01)
            except queue.Empty:
                pass

    def read(self, _size: int = -1, /) -> bytes:
        """As `Unpacked.read`."""
        if self._ended:
            return b""
        piece = self._pieces.get()
        self._ended = not piece or isinstance(piece, Exception)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def _run(self) -> None:
        while not self._left.is_set():
            try:
                piece = self._source.read()
            except Exception as error:
                self._pieces.put(error)
                return
            self._pieces.put(piece)
            if not piece:
                return
