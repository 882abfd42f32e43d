"""What each conformance test gets: a maker of runners of one kind, and requests for runs of the scripted tool."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runners.protocol import Command, RunEnd, RunIdentity, Runner, RunRequest
from tests.runners.conformance.kinds import ENGINES, NAMES, Make, maker
from tests.runners.conformance.waiting import within


class Bench:
    """Starts runs, and ends those that a test has left."""

    def __init__(self, make: Make, folder: Path) -> None:
        self.make = make
        self.runner: Runner = make()
        self._folder = folder
        self._started: list[tuple[RunIdentity, RunRequest]] = []

    def request(self, do: str, *, attempt: int = 1, of: RunRequest | None = None, **more: Any) -> RunRequest:
        """A run of the tool with these instructions; `of`: of that run's job."""
        job_id = of.job_id if of else str(uuid.uuid4())
        folder = self._folder / job_id
        (folder / "results").mkdir(parents=True, exist_ok=True)
        argv = ["classification_pyt", "train", f"--results_dir={folder}/results", f"--do={do}", "-k", "s3cret"]
        command = Command("classification_pyt", "train", argv, "tlt-pytorch", secrets=["s3cret"], **more)
        return RunRequest(job_id, attempt, command, str(folder))

    async def start(self, request: RunRequest) -> RunIdentity:
        identity = await within(self.runner.start(request))
        self._started.append((identity, request))
        return identity

    async def ended(self, identity: RunIdentity, request: RunRequest) -> RunEnd:
        return await within(self.runner.wait(identity, request))

    async def run(self, request: RunRequest) -> RunEnd:
        return await self.ended(await self.start(request), request)

    async def clear(self) -> None:
        for identity, request in self._started:
            with suppress(Exception):
                await within(self.runner.stop(identity, request, force=True))
            await within(self.runner.wait(identity, request))


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow) if name in ENGINES else name for name in NAMES])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    tools = tmp_path / "tools"
    tools.mkdir()
    bench = Bench(maker(request.param, tools, request), tmp_path / "jobs")
    yield bench
    await bench.clear()
