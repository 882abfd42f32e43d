"""The end of a run: reads what is left of it, judges, records, and gives the devices back."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from runners.protocol import Ended
from taod.masking import masked
from taod.scheduler.ground import Ground, Live
from taod.scheduler.outcome import Facts, judge
from taod.telemetry import log as logs
from taod.telemetry.telemetry import Final
from taod.types.state import State

LOG_LINES = 5
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Pauses before a record that failed (a full disk) is tried again; the last one from then on."""

log = logging.getLogger(__name__)


async def settle(ground: Ground, live: Live, ended: Ended, by: str) -> None:
    """Record how the run ended, however often it takes: until then the job keeps its devices."""
    final = await _finish(ground, live)
    tail = ""
    if ended.exit_code != 0 or final.status != "SUCCESS":
        tail = await asyncio.to_thread(_tail, ground.root.job(live.job_id).log, live.request.command.secrets)
        await _look_at_gpus(ground, live)
    tries = 0
    while True:
        try:
            _record(ground, live, ended, final, tail, by)
        except Exception:
            log.exception("the end of job %s could not be recorded; it is tried again", live.job_id)
            await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1
        else:
            return


def _record(ground: Ground, live: Live, ended: Ended, final: Final, tail: str, by: str) -> None:
    job = ground.store.jobs.get(live.job_id)
    if job is None or not job.state.on_device:
        return
    outcome = judge(
        Facts(
            stop_intent=job.stop_intent,
            ended=ended,
            status=final.status,
            message=final.message,
            epoch=final.result.epoch,
            log=tail,
            by=by,
            action=job.action,
        )
    )
    with ground.store.transaction():
        ground.store.runs.update(job.id, live.request.attempt, exit_code=ended.exit_code, ended_at=ground.now())
        if job.state is State.STARTING:
            # Its beginning could not be recorded when it happened.
            ground.store.jobs.transition(job.id, State.STOPPING, "Ended")
        ground.end(job.id, outcome.state, outcome.message, final.result)


async def _finish(ground: Ground, live: Live) -> Final:
    try:
        return await ground.telemetry.finish(live.job_id)
    except Exception:
        log.exception("the status of job %s could not be read to its end", live.job_id)
        return Final(status=None, message="", result=ground.store.jobs.result(live.job_id))


async def _look_at_gpus(ground: Ground, live: Live) -> None:
    """A run that failed on a GPU may have lost it: looked at before the next one is sent there."""
    if any(device.kind == "gpu" for device in live.request.devices):
        await asyncio.to_thread(ground.devices.read)


def _tail(path: Path, secrets: list[str]) -> str:
    try:
        return masked(logs.tail(path, LOG_LINES).decode(errors="replace"), secrets)
    except OSError:
        return ""
