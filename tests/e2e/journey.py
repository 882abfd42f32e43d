"""What end-to-end tests share: a real daemon as a process, waits by the event stream, a small digits model."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil

from taod.catalogue.schema.merge import merge
from taod.cli.commands.quickstart import digits_spec
from taod.cli.support import sample_dataset
from taod.client import AsyncClient
from taod.client.find import find
from taod.types.dataset import DatasetCreate
from taod.types.job import JobDetail, JobRun
from taod.types.model import ModelCreate
from taod.types.state import State
from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
GRACE_S = 120
"""Time that a stopped tool gets for its checkpoint: longer than a busy machine needs."""


class Daemon:
    """`taod serve` as a process that a test starts, kills and starts again over the same root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None
        self.line = ""

    def start(self) -> Daemon:
        """Start it. The engine computes in one thread: beside the suite's other worker a second one costs a third more
        CPU time and makes no run shorter."""
        settings = {"TAOD_SCHEDULER_GRACE_S": str(GRACE_S), "TAOD_RUNNER_EMBEDDED_THREADS": "1"}
        environment = settings | os.environ | {"PYTHONPATH": str(REPOSITORY)}
        with (self.root.parent / "serve.err").open("a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taod", "serve", "--root", str(self.root), "--port", "0"],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment,
                cwd=self.root.parent,
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        assert self.line, (self.root.parent / "serve.err").read_text()
        return self

    def kill(self) -> None:
        """As a power cut of this one process: no handler runs."""
        assert self.process is not None
        self.process.kill()
        self._reap()

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def client(self) -> AsyncClient:
        info = find(self.root, None, None)
        return AsyncClient.from_info(info)


async def until(
    client: AsyncClient, job_id: str, holds: Callable[[JobDetail], bool], limit_s: float = PATIENCE_S
) -> JobDetail:
    """Wait, by the event stream, until a condition holds for a job. Raises AssertionError after `limit_s`."""

    async def wait() -> JobDetail:
        async with aclosing(client.jobs.watch(job_id)) as updates:
            async for _ in updates:
                detail = await client.jobs.get(job_id)
                if holds(detail):
                    return detail
        raise AssertionError("the event stream ended")

    try:
        return await asyncio.wait_for(wait(), limit_s)
    except TimeoutError:
        detail = await client.jobs.get(job_id)
        raise AssertionError(f"still {detail.job.state} ({detail.job.reason}) after {limit_s} s") from None


def at_epoch(epoch: int) -> Callable[[JobDetail], bool]:
    """Holds when a train has finished that epoch and is recorded as running, or has ended."""

    def holds(detail: JobDetail) -> bool:
        # A tool may report an epoch before the daemon has recorded the start.
        started = detail.job.state is not State.STARTING
        return detail.job.state.ended or (started and (detail.job.result.epoch or 0) >= epoch)

    return holds


def ended(detail: JobDetail) -> bool:
    return detail.job.state.ended or detail.job.state is State.PAUSED


def engines(job_id: str) -> list[psutil.Process]:
    """The embedded engine's processes of a job, found by the mark in their environment, without shell wrappers."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TAOD_JOB_ID") == job_id and process.cmdline()[1:3] == ["-m", "runners.engine"]:
                found.append(process)
    return found


@contextmanager
def suspended(job_id: str) -> Iterator[psutil.Process]:
    """Suspend a job's one engine process (SIGSTOP) during the block, so that its train cannot end meanwhile."""
    (run,) = engines(job_id)
    run.suspend()
    try:
        yield run
    finally:
        run.resume()


@asynccontextmanager
async def halted(daemon: Daemon, client: AsyncClient, job_id: str, *, epoch: int = 1) -> AsyncIterator[psutil.Process]:
    """Suspend a train during the block, once its status file has that epoch, which the daemon then reports.

    The events that the daemon sends come later, and epochs may be shorter than that."""
    status = daemon.root / "jobs" / job_id / "results" / "status.json"
    async with asyncio.timeout(PATIENCE_S):
        while not status.is_file() or status.read_text().count('"kpi"') < epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    with suspended(job_id) as run:
        await until(client, job_id, at_epoch(epoch))
        yield run


async def stopping(client: AsyncClient, job_id: str) -> None:
    """Wait until the signal that ends a job has been sent to it."""
    await until(client, job_id, lambda detail: detail.job.state is State.STOPPING)


async def upload(client: AsyncClient, images: Path, split: str, into: Path) -> str:
    """A dataset of one split; returns its id."""
    created = await client.datasets.create(
        DatasetCreate(type="image_classification", format="classification_pyt", name=f"digits {split}")
    )
    await client.datasets.upload(created.id, sample_dataset.pack(images, split, into))
    return created.id


def few(images: Path, into: Path, each: int) -> Path:
    """A folder with the first images of every class of the splits for validation and testing."""
    for split, digit in itertools.product(("val", "test"), sample_dataset.CLASSES):
        target = into / f"images_{split}" / digit
        target.mkdir(parents=True)
        for image in sorted((images / f"images_{split}" / digit).iterdir())[:each]:
            os.link(image, target / image.name)
    os.link(images / "classes.txt", into / "classes.txt")
    return into


async def small_model(
    client: AsyncClient, images: Path, tmp_path: Path, *, epochs: int, each: int | None = None
) -> str:
    """A model on the digits; returns its id. Its train takes about a second per epoch, or a quarter of that with
    `each=8`, the number of images of each class: for trains that a test suspends before it acts on them."""
    if each is not None:
        images = few(images, tmp_path / "few", each)
    train, evaluate = [await upload(client, images, split, tmp_path) for split in ("val", "test")]
    model = await client.models.create(
        ModelCreate(network_arch="classification_pyt", name="small", train_datasets=[train], eval_dataset=evaluate)
    )
    default = (await client.specs.schema("model", model.id, "train"))["default"]
    await client.specs.save("model", model.id, "train", merge(default, digits_spec(epochs)))
    return model.id


async def train(client: AsyncClient, model_id: str) -> str:
    (job_id,) = await client.jobs.run("model", model_id, JobRun(actions=["train"]))
    return job_id
