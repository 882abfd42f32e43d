"""Searches a whole log, one part at a time, in either direction."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from taod.client import AsyncClient

SCAN_BYTES = 4 * 1024 * 1024
OVERLAP_BYTES = 4 * 1024
"""Overlap of parts, so that a line on their border is searched whole."""


class Scan:
    """Searches for a pattern; `found`: byte offset of the line of the match."""

    def __init__(self, client: AsyncClient, job_id: str, pattern: str, *, any_case: bool, size: int) -> None:
        self._client, self._job_id, self._size = client, job_id, size
        self._pattern = re.compile(pattern.encode(), re.IGNORECASE if any_case else 0)
        self.found: int | None = None

    async def run(self, start: int, direction: int) -> AsyncIterator[float]:
        """Search from the line before (-1) or after (1) the one at `start`; yields the fraction searched.

        Raises ClientError.
        """
        if direction < 0:
            end = start
            while end > 0 and self.found is None:
                begin = max(0, end - SCAN_BYTES)
                data = await self._client.logs.read(self._job_id, begin, end)
                self.found = self._last(data, begin)
                yield 1 - begin / start if start else 1.0
                if begin == 0:
                    return
                end = min(end - 1, begin + OVERLAP_BYTES)
            return
        first = await self._client.logs.read(self._job_id, start, min(self._size, start + OVERLAP_BYTES))
        begin = start + first.find(b"\n") + 1 if b"\n" in first else self._size
        while begin < self._size and self.found is None:
            data = await self._client.logs.read(self._job_id, begin, min(self._size, begin + SCAN_BYTES))
            if not data:
                return
            self.found = self._first(data, begin)
            yield (begin + len(data)) / self._size
            if begin + len(data) >= self._size:
                return
            begin += max(1, len(data) - OVERLAP_BYTES)

    def _first(self, data: bytes, begin: int) -> int | None:
        match = self._pattern.search(data)
        return None if match is None else begin + data.rfind(b"\n", 0, match.start()) + 1

    def _last(self, data: bytes, begin: int) -> int | None:
        last = None
        for match in self._pattern.finditer(data):
            last = match
        return None if last is None else begin + data.rfind(b"\n", 0, last.start()) + 1
