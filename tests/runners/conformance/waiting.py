"""Bounded waits for what a run does."""

# ruff: noqa: ASYNC240 - a test may block its own loop

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from runners.protocol import RunRequest
from taod.watch import FolderWatch
from tests.patience import PATIENCE_S

Value = TypeVar("Value")


async def within(work: Awaitable[Value]) -> Value:
    return await asyncio.wait_for(work, PATIENCE_S)


async def appears(path: Path) -> None:
    """Wait by inotify until the file is there."""

    async def look() -> None:
        async with FolderWatch(path.parent) as watch:
            while not path.exists():
                await watch.changed()

    await within(look())


async def ready(request: RunRequest) -> None:
    """Wait until the tool reports that it waits."""
    await appears(request.job_folder.results / "ready")


def go(request: RunRequest) -> None:
    """Let a waiting tool continue."""
    (request.job_folder.results / "go").touch()


def log_of(request: RunRequest) -> str:
    return request.job_folder.log.read_text()
