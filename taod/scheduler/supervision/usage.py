"""Samples the CPU, memory and GPU memory usage of runs, over all processes of each run."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping

import msgspec
import psutil

from runners import processes
from taod.backoff import Backoff
from taod.scheduler.context import ActiveRun, SchedulerContext
from taod.telemetry.log_truncation import trim
from taod.types.job import JobUsage

FIRST_S = 0.25
"""A new run is sampled after this time, then after twice the time, up to `supervision.sample_s`."""
MIN_INTERVAL_S = 0.5
"""Minimum time between two samples of a run; CPU usage over a shorter time is meaningless."""

J_PER_WH = 3600.0
_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB", re.MULTILINE)

log = logging.getLogger(__name__)


class _Sample(msgspec.Struct, frozen=True):
    """The accumulated usage of one run's processes at one time."""

    at: float
    cpu_s: Mapping[int, float]
    rss_bytes: int
    peak_bytes: int
    """Most memory at this time or, of a single process, before."""


class UsageMonitor:
    """Samples active runs every `supervision.sample_s`, more often for listening clients, and publishes their usage."""

    def __init__(self, context: SchedulerContext, live: Callable[[], Mapping[str, ActiveRun]]) -> None:
        self._context = context
        self._live = live
        self._last: dict[str, tuple[_Sample, JobUsage]] = {}
        self._errors: dict[str, Backoff] = {}
        self._next_s = context.supervision.sample_s
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
                    sample = await asyncio.to_thread(_take_sample, live)
                    usage = self._usage(live, sample)
                    record_use(context, live, sample.peak_bytes, usage.gpu_memory_bytes)
                    job = context.store.jobs.get(live.job_id) if context.bus.listeners else None
                    if job is not None:
                        context.publisher.usage(job.user_id, usage)
                    await asyncio.to_thread(trim, context.root.job(live.job_id).log, context.supervision.log_bytes)
                except Exception as error:
                    errors = self._errors.setdefault(live.job_id, Backoff())
                    errors.report(log, error, "the usage of job %s could not be sampled", live.job_id)
            await self._pause()

    async def _pause(self) -> None:
        """Sleep until the next sample; a new listener or run ends a long pause."""
        context, sample_s = self._context, self._context.supervision.sample_s
        if context.bus.listeners:
            sample_s = min(sample_s, context.devices.telemetry_s)
        self._next_s = min(self._next_s, sample_s)
        events = [context.run_started] if context.bus.listeners else [context.run_started, context.bus.listened]
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=self._next_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        if context.run_started.is_set():
            context.run_started.clear()
            self._next_s = FIRST_S
            await asyncio.sleep(FIRST_S)
        self._next_s *= 2

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
    cpu_s, rss, peak = {}, 0, 0
    for pid in processes.members(live.request.mark, identity.pid, identity.start_ticks or 0):
        try:
            process = psutil.Process(pid)
            with process.oneshot():
                times = process.cpu_times()
                rss += process.memory_info().rss
                peak = max(peak, _peak_bytes(pid))
                cpu_s[pid] = times.user + times.system
        except psutil.Error:
            continue
    return _Sample(time.monotonic(), cpu_s, rss, max(rss, peak))


def _peak_bytes(pid: int) -> int:
    """The most memory that a process has had; 0 if it has ended or is a kernel's."""
    try:
        found = _PEAK.search((processes.PROC / str(pid) / "status").read_bytes())
    except OSError:
        return 0
    return 0 if found is None else int(found[1]) * 1024


def record_use(
    context: SchedulerContext, live: ActiveRun, rss_bytes: int | None = None, gpu_bytes: int | None = None
) -> None:
    """Record the energy of a run up to the last measurement of its GPUs, and its memory if that is the most so far."""
    run = context.store.runs.get(live.job_id, live.request.attempt)
    if run is None:
        return
    used: dict[str, object] = {}
    now_j = context.devices.energy_j(run.energy_start)
    passed_j = [now_j.get(device, -1.0) - start for device, start in run.energy_start.items()]
    if passed_j and min(passed_j) >= 0:  # no GPU is lost, no counter was reset
        used["energy_wh"] = sum(passed_j) / J_PER_WH
    for name, now, most in (
        ("peak_rss_bytes", rss_bytes, run.peak_rss_bytes),
        ("peak_gpu_memory_bytes", gpu_bytes, run.peak_gpu_memory_bytes),
    ):
        if now is not None and now > (most or 0):
            used[name] = now
    if used and any(getattr(run, name) != value for name, value in used.items()):
        context.store.runs.update(run.job_id, run.attempt, **used)
