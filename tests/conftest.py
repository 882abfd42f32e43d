"""Settings of the whole suite: quiet request logs, slow marks by fixture, and the order of the test files."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest

SLOW_FIXTURES = {"container_engine", "docker_engine", "podman_engine", "slurm_cluster"}
"""Real container engines and clusters; each takes seconds to start."""
SLOW_WEIGHT = 300
"""Estimated duration of a slow test, in fast ones."""

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
    durations: Counter[Path] = Counter()
    for item in items:
        durations[item.path] += SLOW_WEIGHT if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: -durations[item.path])
