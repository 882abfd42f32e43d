"""Bounded waits for what a run does."""

# ruff: noqa: ASYNC240 - a test may block its own loop

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from runners.protocol import RunRequest
from taod.watch import FolderWatch

Value = TypeVar("Value")
LIMIT_S = 30


async def within(work: Awaitable[Value]) -> Value:
    return await asyncio.wait_for(work, LIMIT_S)


async def appears(path: Path) -> None:
    """Until the file is there, told by inotify."""

    async def look() -> None:
        async with FolderWatch(path.parent) as watch:
            while not path.exists():
                await watch.changed()

    await within(look())


async def ready(request: RunRequest) -> None:
    """Until the tool has said that it is where it was told to wait."""
    await appears(request.job_folder.results / "ready")


def go(request: RunRequest) -> None:
    """Let a waiting tool go on."""
    (request.job_folder.results / "go").touch()


def log_of(request: RunRequest) -> str:
    return request.job_folder.log.read_text()
