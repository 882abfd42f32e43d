"""One job, watched by the event stream from now to its end; built on the client's own calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from taod.client.http import Client
from taod.types.event import EventType, StatusUpdate
from taod.types.job import JobView


async def watch_job(client: Client, job_id: str) -> AsyncGenerator[JobView | StatusUpdate, None]:
    """What a job is (first, after each reconnection, and on each change) and each line of its status.json.

    Goes on for ever: leave the loop when the state is the wanted one. Raises ClientError when there is no such job.
    """
    queue: asyncio.Queue[tuple[EventType, Any]] = asyncio.Queue()

    def connected(up: bool, _why: str) -> None:
        if up:
            queue.put_nowait((EventType.RESET, {}))

    async def pump() -> None:
        async for event in client.events(on_connection=connected):
            queue.put_nowait(event)

    pumping = asyncio.create_task(pump())
    try:
        while True:
            getting = asyncio.ensure_future(queue.get())
            await asyncio.wait((getting, pumping), return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                getting.cancel()
                pumping.result()
                return
            kind, body = getting.result()
            if kind is EventType.RESET:
                yield (await client.job(job_id)).job
            elif _concerns(body, job_id):
                yield body
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


def _concerns(body: Any, job_id: str) -> bool:
    if isinstance(body, JobView):
        return body.id == job_id
    return isinstance(body, StatusUpdate) and body.job_id == job_id
