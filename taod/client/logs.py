"""Calls about a job's log: its end, a part of it, and all that is still to come."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from taod.client.errors import ClientError
from taod.client.transport import UNBOUNDED, Transport

NOT_YET = frozenset({404, 416})
"""Answers that mean: there is no such part of the log, because the job has not written it."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Some bytes of a log, and where in the file they end."""

    data: bytes
    end: int


class LogCalls(Transport):
    """Logs, as bytes: what a run wrote, carriage returns and colours included."""

    async def log_tail(self, job_id: str, lines: int) -> LogPart:
        """The last lines; follow on from `.end`. Empty while the job has no log."""
        try:
            response = await self.send("GET", self.user_path("job", job_id, "log"), query={"tail": lines})
        except ClientError as error:
            if error.status != 404:
                raise
            await self.job_exists(job_id)
            return LogPart(b"", 0)
        return LogPart(response.content, int(response.headers.get("X-Taod-Log-Size", len(response.content))))

    async def log_range(self, job_id: str, start: int, end: int) -> bytes:
        """Bytes `start` (included) to `end` (not included) of the log, fewer where it is shorter."""
        if end <= start:
            return b""
        headers = {"Range": f"bytes={start}-{end - 1}"}
        try:
            async with self.stream("GET", self.user_path("job", job_id, "log"), headers=headers) as response:
                return await response.aread()
        except ClientError as error:
            if error.status not in NOT_YET:
                raise
            return b""

    async def follow_log(self, job_id: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Bytes from `offset` on as they are written; ends when the run ends.

        Close the generator (or cancel its task) to stop. Raises NoDaemon when the line breaks: call again with the
        offset that was reached.
        """
        async with self.stream(
            "GET",
            self.user_path("job", job_id, "log"),
            query={"follow": True},
            headers={"Range": f"bytes={offset}-"},
            patience=UNBOUNDED,
        ) as response:
            async for piece in response.aiter_raw():
                if piece:
                    yield piece

    async def job_exists(self, job_id: str) -> None:
        """Raise ClientError 404 unless there is such a job."""
        await self.send("GET", self.user_path("job", job_id))
