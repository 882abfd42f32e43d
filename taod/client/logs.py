"""`client.logs`: the log of a job: its last lines, a range, and new output."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from taod.client.errors import ClientError
from taod.client.transport import UNBOUNDED, Namespace

ABSENT = frozenset({404, 416})
"""Statuses for a part of the log that the job has not written."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Some bytes of a log, and their end as an offset in the file."""

    data: bytes
    end: int


class AsyncLogs(Namespace):
    """Logs as bytes, as the run wrote them: with carriage returns and colours."""

    async def tail(self, job_id: str, lines: int) -> LogPart:
        """The last lines; `follow` continues at `.end`. Empty if the job has no log yet."""
        try:
            response = await self._transport.send("GET", self._path(job_id), query={"tail": lines})
        except ClientError as error:
            if error.status != 404:
                raise
            await self._transport.send("GET", self._transport.user_path("job", job_id))  # Raises 404 without the job.
            return LogPart(b"", 0)
        return LogPart(response.content, int(response.headers.get("X-Taod-Log-Size", len(response.content))))

    async def read(self, job_id: str, start: int, end: int) -> bytes:
        """Bytes `start` (included) to `end` (excluded), fewer if the log is shorter."""
        if end <= start:
            return b""
        return await self._transport.read_range(self._path(job_id), start, end, absent=ABSENT)

    async def follow(self, job_id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yields bytes from `offset` on as they are written, until the run ends.

        Close the generator or cancel its task to stop. Raises NoDaemon on a lost connection: call it again with the
        offset reached.
        """
        async with self._transport.stream(
            "GET",
            self._path(job_id),
            query={"follow": True},
            headers={"Range": f"bytes={offset}-"},
            patience=UNBOUNDED,
        ) as response:
            async for piece in response.aiter_raw():
                if piece:
                    yield piece

    def _path(self, job_id: str) -> str:
        return self._transport.user_path("job", job_id, "log")
