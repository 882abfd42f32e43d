"""The scheduling policy on a virtual clock: cost of a pass, and schedules compared with a lower bound."""

from __future__ import annotations

import random
import statistics
import time

from bench._virtual import Machine, Work, gpus, least_s
from taod.config import SchedulerConfig

JOBS = 10_000
LOADS = 40


def run() -> list[tuple[str, str, str]]:
    rows = []
    for name, count, devices, slots, users in (
        ("one user, 1 GPU", JOBS, 1, 1, 1),
        ("one user, 8 GPUs", JOBS, 8, 1, 1),
        ("5 users, priorities, 8 GPUs of 2 slots", JOBS, 8, 2, 5),
    ):
        draw = random.Random(1)
        machine = Machine([_work(draw, devices, users=users) for _ in range(count)], gpus(devices, slots))
        began = time.perf_counter()
        machine.run()
        took_s = time.perf_counter() - began
        each_us = took_s / machine.passes * 1e6
        rows.append((f"{count:,} queued jobs run, {name}", f"{took_s:.1f} s, {each_us:.0f} µs per pass", "seconds"))
    for name, options in (
        ("one device each", {"widest": 1}),
        ("up to all devices", {}),
        ("up to all devices, with wall times", {"wall": 1.5}),
    ):
        found = [_ratio(seed, **options) for seed in range(LOADS)]
        ratio = f"{statistics.median(found):.2f} (worst of {LOADS}: {max(found):.2f})"
        rows.append((f"end of 200 jobs ÷ lower bound, 4 GPUs, {name}", ratio, "1 = no schedule is shorter"))
    return rows


def _ratio(seed: int, widest: int = 4, wall: float | None = None) -> float:
    draw = random.Random(seed)
    work = [_work(draw, widest, wall=wall) for _ in range(200)]
    return Machine(work, gpus(4), SchedulerConfig()).run() / least_s(work, 4)


def _work(draw: random.Random, widest: int, *, users: int = 1, wall: float | None = None) -> Work:
    """Durations over four orders of magnitude, most jobs on one device, as on a workstation."""
    duration_s = round(10 ** draw.uniform(0, 4), 3)
    return Work(
        duration_s=duration_s,
        user=f"user {draw.randrange(users)}",
        priority=draw.choice([-10, 0, 0, 0, 10]) if users > 1 else 0,
        wants=min(draw.choice([1, 1, 1, 1, 1, 2, 2, 4, 8]), widest),
        wall_s=None if wall is None else duration_s * wall,
    )
