"""Streaming decompression of zstd in bounded memory, with an error for truncation (RFC 8878, 3.1.1 and 3.1.2).

The library's reader is bounded but accepts a file that ends inside a frame; its other interface detects that but is
not bounded. So the frame headers are parsed here while the reader reads.
"""

from __future__ import annotations

import zstandard

from taod.datasets.archive.decompression import CHUNK, Corrupt, Source, Truncated

WINDOW = 128 * 1024**2
"""Memory limit of a window; `zstd --long` needs this much."""

MAGIC = 0xFD2FB528
SKIPPABLE = 0x184D2A50


class Unzstd:
    """Reads a zstd file decompressed; concatenated frames are one stream."""

    def __init__(self, file: Source) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
        self._reader = decompressor.stream_reader(_Frames(file), read_size=CHUNK, read_across_frames=True)  # type: ignore[arg-type]

    def read(self, _size: int = -1, /) -> bytes:
        """The next decompressed bytes, at most 256 KiB; empty at the end. Raises Truncated and Corrupt."""
        try:
            return self._reader.read(CHUNK)
        except zstandard.ZstdError as error:
            raise Corrupt(f"its zstd data is damaged ({error})") from error


class _Frames:
    """Passes a file's bytes through and parses the frame headers. Raises Truncated if the file ends inside a frame."""

    def __init__(self, file: Source) -> None:
        self._file = file
        self._held = b""
        self._skip = 0
        self._in_frame = False
        self._checksum = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if data:
            self._follow(data)
        elif self._skip or self._held or self._in_frame:
            raise Truncated
        return data

    def _follow(self, data: bytes) -> None:
        """Parse the headers in a piece; a header cut by its end is kept for the next piece."""
        data, at = self._held + data, 0
        while True:
            step = min(self._skip, len(data) - at)
            at += step
            self._skip -= step
            needed = 3 if self._in_frame else 8
            header = data[at : at + needed]
            if self._skip or len(header) < needed:
                self._held = header
                return
            at += self._block(header) if self._in_frame else self._frame(header)

    def _block(self, header: bytes) -> int:
        value = int.from_bytes(header, "little")
        last, kind, size = value & 1, value >> 1 & 3, value >> 3
        self._skip = 1 if kind == 1 else size  # an RLE block holds its byte once
        if last:
            self._skip += self._checksum
            self._in_frame = False
        return 3

    def _frame(self, header: bytes) -> int:
        magic = int.from_bytes(header[:4], "little")
        if magic & 0xFFFFFFF0 == SKIPPABLE:
            self._skip = int.from_bytes(header[4:8], "little")
            return 8
        if magic != MAGIC:
            raise Corrupt("its zstd data is damaged (no frame where one should begin)")
        flags = header[4]
        single = flags >> 5 & 1
        content_size = (single, 2, 4, 8)[flags >> 6]
        dictionary = (0, 1, 2, 4)[flags & 3]
        self._skip = (0 if single else 1) + dictionary + content_size
        self._checksum = 4 if flags >> 2 & 1 else 0
        self._in_frame = True
        return 5
