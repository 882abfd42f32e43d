"""Reads a run's log as bytes in bounded memory: its last lines, a range, or all of it while it grows."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from taod import plain_file
from taod.watch import Listener, SharedWatches

BLOCK = 64 * 1024
_CONTROL = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\-_]|\0")
MOST_TAIL = 8 * 1024 * 1024
"""Bytes of the longest tail, whatever the number of lines."""


def size(path: Path) -> int:
    """The log's size in bytes now; 0 without a log."""
    return plain_file.size(path) or 0


def tail(path: Path, lines: int, since: int = 0) -> bytes:
    """The last `lines` complete lines, the last one with or without its line break; at most MOST_TAIL bytes, from the
    start of a line if these bytes contain one. Empty without a log.

    `since`: byte offset of the first line to read; ignored if the log is shorter, because it was truncated.
    """
    try:
        file = plain_file.beneath(path.parent, path.name)
    except FileNotFoundError:
        return b""
    if lines <= 0:
        file.close()
        return b""
    with file:
        start = end = file.seek(0, os.SEEK_END)
        first = since if since <= end else 0
        blocks: list[bytes] = []
        breaks = 0
        while start > first and breaks <= lines and end - start < MOST_TAIL:
            step = min(BLOCK, start - first, MOST_TAIL - (end - start))
            start -= step
            file.seek(start)
            blocks.append(file.read(step))
            breaks += blocks[-1].count(b"\n")
    return _last_lines(b"".join(reversed(blocks)), lines, whole=start == first)


def _last_lines(data: bytes, lines: int, *, whole: bool) -> bytes:
    """The last lines in the end of a log; unless it is `whole`, the bytes before its first line break are dropped."""
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(lines):
        position = data.rfind(b"\n", 0, position)
        if position < 0:
            break
    if position >= 0:
        return data[position + 1 :]
    first = data.find(b"\n", 0, len(data) - 1)
    return data if whole or first < 0 else data[first + 1 :]


def read_range(path: Path, start: int, end: int | None = None, *, most: int = MOST_TAIL) -> bytes:
    """Bytes from `start` to `end` (exclusive; None: the log's end), at most `most`; fewer if the log is shorter.

    Read a longer range in several calls.
    """
    try:
        with plain_file.beneath(path.parent, path.name) as file:
            file.seek(start)
            return file.read(most if end is None else max(0, min(end - start, most)))
    except FileNotFoundError:
        return b""


class Plain:
    """Converts a log, piece by piece, to the text that a terminal would show: carriage returns overwrite; colours,
    cursor movements and zero bytes are removed."""

    def __init__(self) -> None:
        self._half = b""

    def feed(self, data: bytes) -> bytes:
        """Add bytes; returns the lines that they complete."""
        *lines, self._half = (self._half + data).split(b"\n")
        # A progress bar may run for hours without a line break: drop what it has overwritten.
        if len(self._half) > BLOCK and (kept := self._half.rstrip(b"\r").rfind(b"\r")) >= 0:
            self._half = self._half[kept + 1 :]
        if len(self._half) > MOST_TAIL:
            lines.append(self._half)
            self._half = b""
        return b"".join(_plain_line(line) + b"\n" for line in lines)

    def finish(self) -> bytes:
        """The last line, which has no line break."""
        half, self._half = self._half, b""
        return _plain_line(half)


def plain(data: bytes) -> bytes:
    """These bytes of a log as `Plain` shows them."""
    reader = Plain()
    return reader.feed(data) + reader.finish()


def _plain_line(line: bytes) -> bytes:
    line = _CONTROL.sub(b"", line)
    parts = [part for part in line.split(b"\r") if part.strip()]
    return parts[-1] if parts else line.replace(b"\r", b"")


async def follow(
    path: Path,
    from_offset: int,
    until: asyncio.Event,
    watches: SharedWatches | None = None,
    mask: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yields the log's bytes from an offset as they are written, until `until` is set and all bytes were yielded.

    `mask` is awaited before bytes are read; it may overwrite the log's content, but not change its length.

    The log may not exist yet; a log that became shorter is read from its start. Close the generator
    (`contextlib.aclosing`) to end its watch, which followers with the same `watches` share.
    """
    offset, known = from_offset, 0
    async with (watches or SharedWatches()).on(path.parent) as watch:
        ending = asyncio.create_task(_wake_when(until, watch))
        try:
            while True:
                last = until.is_set()
                now = size(path)
                if now < known:
                    offset = 0
                known = now
                if mask is not None and offset < now:
                    await mask()
                while data := read_range(path, offset, min(now, offset + BLOCK)):
                    offset += len(data)
                    yield data
                    await asyncio.sleep(0)
                if last:
                    return
                await watch.changed()
        finally:
            ending.cancel()


async def _wake_when(event: asyncio.Event, watch: Listener) -> None:
    await event.wait()
    watch.wake()
