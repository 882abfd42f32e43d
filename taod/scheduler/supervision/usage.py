"""Samples the CPU, memory and GPU memory usage of runs, over all processes of each run."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec
import psutil

from runners import processes
from taod.backoff import Backoff
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.telemetry.log_truncation import trim
from taod.types.job import JobUsage

MIN_INTERVAL_S = 0.5
"""Minimum time between two samples of a run; CPU usage over a shorter time is meaningless."""

log = logging.getLogger(__name__)


class _Sample(msgspec.Struct, frozen=True):
    """The accumulated usage of one run's processes at one time."""

    at: float
    cpu_s: Mapping[int, float]
    rss_bytes: int


class UsageMonitor:
    """Samples active runs every `supervision.sample_s`, more often for listening clients, and publishes their usage."""

    def __init__(self, context: SchedulerContext, live: Callable[[], Mapping[str, ActiveRun]]) -> None:
        self._context = context
        self._live = live
        self._last: dict[str, tuple[_Sample, JobUsage]] = {}
        self._errors: dict[str, Backoff] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._sample(), name="usage of runs")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def measure(self, job_id: str) -> JobUsage | None:
        """The usage of a run, at most MIN_INTERVAL_S old; None without a local process. Blocks for milliseconds."""
        live = self._live().get(job_id)
        if live is None or live.identity.pid is None:
            return None
        last = self._last.get(job_id)
        if last is not None and time.monotonic() - last[0].at < MIN_INTERVAL_S:
            return last[1]
        return self._usage(live, _take_sample(live))

    def forget(self, job_id: str) -> None:
        """Drop the samples of a job whose run has ended."""
        self._last.pop(job_id, None)
        self._errors.pop(job_id, None)

    async def _sample(self) -> None:
        context = self._context
        while True:
            for live in list(self._live().values()):
                if live.identity.pid is None:
                    continue
                try:
                    usage = self._usage(live, await asyncio.to_thread(_take_sample, live))
                    job = context.store.jobs.get(live.job_id) if context.bus.listeners else None
                    if job is not None:
                        context.publisher.usage(job.user_id, usage)
                    await asyncio.to_thread(trim, context.root.job(live.job_id).log, context.supervision.log_bytes)
                except Exception as error:
                    errors = self._errors.setdefault(live.job_id, Backoff())
                    errors.report(log, error, "the usage of job %s could not be sampled", live.job_id)
            await self._pause()

    async def _pause(self) -> None:
        """Sleep until the next sample; a new listener ends a long pause."""
        listened = self._context.bus.listened
        if listened.is_set():
            await asyncio.sleep(self._context.devices.telemetry_s)
            return
        try:
            async with asyncio.timeout(self._context.supervision.sample_s):
                await listened.wait()
        except TimeoutError:
            pass

    def _usage(self, live: ActiveRun, sample: _Sample) -> JobUsage:
        """Store the sample. Returns the usage since the previous one, or since the run's start."""
        before = self._last.get(live.job_id)
        if before is None:
            ticks = live.identity.start_ticks
            passed_s = 0.0 if ticks is None else processes.age_s(ticks)
            used_s = sum(sample.cpu_s.values())
        else:
            passed_s = sample.at - before[0].at
            # Processes that have ended do not count, new ones count in full.
            used_s = sum(cpu_s - before[0].cpu_s.get(pid, 0.0) for pid, cpu_s in sample.cpu_s.items())
        usage = JobUsage(
            job_id=live.job_id,
            cpu_percent=round(max(0.0, 100 * used_s / passed_s), 1) if passed_s > 0 else None,
            rss_bytes=sample.rss_bytes,
            gpu_memory_bytes=self._context.devices.gpu_memory(sample.cpu_s.keys()),
            processes=len(sample.cpu_s),
        )
        self._last[live.job_id] = sample, usage
        return usage


def _take_sample(live: ActiveRun) -> _Sample:
    identity = live.identity
    cpu_s, rss = {}, 0
    for pid in processes.members(live.request.mark, identity.pid, identity.start_ticks or 0):
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                rss += process.memory_info().rss
                cpu_s[pid] = times.user + times.system
        except psutil.Error:
            continue
    return _Sample(time.monotonic(), cpu_s, rss)
