"""Settings of the whole suite: quiet request logs, slow marks by fixture, and the order of the test files."""

from __future__ import annotations

import logging
from collections import defaultdict
from pathlib import Path

import pytest

SLOW_FIXTURES = {"container_engine", "docker_engine", "podman_engine", "slurm_cluster"}
"""Real container engines and clusters; each takes seconds to start."""
FAST_S = 0.05
SLOW_S = 15.0
"""Estimated CPU times of a fast and of a slow test; `slow(seconds=…)` states another one."""

# The client logs one line per request, which would hide the output of a failing test.
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with real engines as slow, and put files by estimated duration, the longest first.

    Workers take whole files in this order (`--dist loadfile --no-loadscope-reorder`), so that they end together.
    """
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    durations: dict[Path, float] = defaultdict(float)
    for item in items:
        slow = item.get_closest_marker("slow")
        durations[item.path] += slow.kwargs.get("seconds", SLOW_S) if slow else FAST_S
    items.sort(key=lambda item: -durations[item.path])
