"""Errors that pass are retried, others end the job with their reason; an error that repeats is logged once.

A fault is injected into each loop of the daemon that catches errors and continues: as one that passes, after which all
goes well, and as one that does not, after which the job has failed with it, its device is free, and the next job runs.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from runners.local import LocalRunner
from store import copies
from taod import backoff
from taod.backoff import Backoff, passes
from taod.config import StorageConfig, SupervisionConfig
from taod.errors import BadRequest, NoSpace, StoreLost, Unavailable
from taod.paths import Root
from taod.scheduler import scheduler as scheduling
from taod.scheduler.context import SchedulerContext
from taod.scheduler.supervision import finalize, launch, limit_monitor, supervisor, usage
from taod.services import backups
from taod.telemetry.telemetry import Telemetry
from taod.types.state import State
from tests.patience import PATIENCE_S
from tests.scheduler.sched_world import GOOD, LONG, World, end_all


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("of SQLite")
    error.sqlite_errorcode = code
    return error


PASSING = [
    *(OSError(number, "x") for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.EAGAIN)),
    *(sqlite_error(code) for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)),
    sqlite3.OperationalError("database is locked"),
    ConnectionRefusedError(), TimeoutError(), MemoryError(), NoSpace("full"), Unavailable("later"), StoreLost("moved"),
]  # fmt: skip
PERMANENT = [
    KeyError("x"), TypeError("x"), ValueError("x"), AssertionError(), AttributeError(), RuntimeError(),
    RecursionError(), BadRequest("x"), FileNotFoundError(errno.ENOENT, "x"), PermissionError(errno.EACCES, "x"),
    NotADirectoryError(errno.ENOTDIR, "x"), sqlite_error(sqlite3.SQLITE_ERROR), sqlite_error(sqlite3.SQLITE_CORRUPT),
    sqlite_error(sqlite3.SQLITE_CONSTRAINT), UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_an_error_that_passes_is_retried(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_an_error_that_does_not_pass_is_not_retried(error: Exception) -> None:
    assert not passes(error)


def test_a_repeated_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    backoff, log = Backoff(), logging.getLogger("taod.test")
    for error in (OSError("full"), OSError("full"), OSError("full"), KeyError("x"), OSError("full")):
        backoff.report(log, error, "it failed")
        backoff.next_s()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["full", "'x'", "full"]
    backoff.reset()
    backoff.report(log, OSError("full"), "it failed")
    assert len(caplog.records) == 4


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "root", in_memory=True, grace_s=0.2, supervision=SupervisionConfig(stall_s=3600))
    await made.scheduler.start()
    yield made
    await end_all(made)


Place = Callable[[World], tuple[Any, str]]
STEPS: dict[str, Place] = {
    "the lease": lambda world: (world.store.jobs, "lease"),
    "the preparation": lambda world: (launch, "_prepare"),
    "the command": lambda world: (world.planner, "prepare"),
    "the record of the run": lambda world: (world.store.runs, "add"),
    "the start": lambda world: (LocalRunner, "start"),
    "the wait for the end": lambda world: (LocalRunner, "wait"),
    "the limits": lambda world: (limit_monitor, "_signs"),
    "the masks of the log": lambda world: (finalize, "_mask_log"),
    "the judgement": lambda world: (finalize, "judge"),
    "the record of the end": lambda world: (finalize, "_record"),
    "finalizing": lambda world: (supervisor, "finalize"),
    "the result": lambda world: (SchedulerContext, "end"),
    "the status": lambda world: (Telemetry, "finish"),
}
"""Steps between queue and end: module or object, and function."""
BESIDE: dict[str, Place] = {
    "the usage": lambda world: (usage, "_take_sample"),
    "the devices": lambda world: (world.scheduler._context.devices, "read"),
    "publishing": lambda world: (world.scheduler._context.publisher, "usage"),
}
"""Work beside a run, whose faults do not end it."""


def inject(
    monkeypatch: pytest.MonkeyPatch, where: tuple[Any, str], error: Exception, times: int | None = None
) -> Callable[[], int]:
    """Make a function raise an error, for ever or so many times. Returns a count of the errors."""
    original, numbers, raised = getattr(*where), itertools.count(1), 0

    def call(*given: Any, **named: Any) -> Any:
        nonlocal raised
        if times is None or next(numbers) <= times:
            raised += 1
            raise error
        return original(*given, **named)

    monkeypatch.setattr(*where, call)
    return lambda: raised


@pytest.mark.parametrize("name", STEPS)
async def test_a_fault_fails_the_job_and_frees_its_device(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with monkeypatch.context() as faulty:
        raised = inject(faulty, STEPS[name](world), KeyError("a fault"))
        job_id = world.post("say STARTED hello; exec sleep 1000" if name == "the limits" else GOOD)
        await world.until(job_id, State.FAILED)
        assert "a fault" in world.job(job_id).reason_text
        assert 1 <= raised() <= 3
        assert world.store.leases.all() == []
    await world.until(world.post(GOOD), State.DONE)
    traces = [record for record in caplog.records if record.exc_info and "a fault" in str(record.exc_info[1])]
    assert 1 <= len(traces) <= 2


@pytest.mark.parametrize("name", [*STEPS, *BESIDE])
async def test_an_error_that_passes_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    raised = inject(monkeypatch, (STEPS | BESIDE)[name](world), OSError(errno.EIO, "the disk"), times=3)
    job_id = world.post(GOOD)
    if name == "the start":  # It is certain that nothing runs: the user decides.
        await world.until(job_id, State.FAILED)
        return
    job = await world.until(job_id, State.DONE)
    assert job.attempt == 1 or name in ("the record of the run", "the preparation", "the command")
    assert len([each for each in caplog.records if each.exc_info]) <= max(raised(), 1)


@pytest.mark.parametrize("name", BESIDE)
async def test_a_fault_beside_a_run_does_not_end_it(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    inject(monkeypatch, BESIDE[name](world), KeyError("a fault"))
    job = await world.until(world.post(GOOD), State.DONE)
    assert job.attempt == 1 and world.store.leases.all() == []
    assert len([each for each in caplog.records if each.exc_info]) <= 1


async def test_a_run_that_cannot_be_stopped_leaves_its_device(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    with monkeypatch.context() as faulty:
        inject(faulty, (LocalRunner, "stop"), KeyError("a fault"))
        await world.scheduler.cancel(job_id)
        await world.until(job_id, State.FAILED, State.CANCELLED)
        assert "a fault" in world.job(job_id).reason_text and world.store.leases.all() == []
    world.file(job_id, "go").touch()
    await world.until(world.post(GOOD), State.DONE)


async def test_a_stop_is_repeated_after_an_error_that_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    inject(monkeypatch, (LocalRunner, "stop"), OSError(errno.EMFILE, "files"), times=2)
    await world.scheduler.cancel(job_id)
    await world.until(job_id, State.CANCELLED)


async def test_a_run_that_cannot_be_readopted_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = World(tmp_path / "root")
    await before.scheduler.start()
    job_id = before.post(LONG)
    await before.until_epoch(job_id)
    await before.close()
    world = World(tmp_path / "root")
    with monkeypatch.context() as faulty:
        for module in (scheduling, supervisor):
            inject(faulty, (module, "adopt"), KeyError("a fault"))
        await world.scheduler.start()
        job = await world.until(job_id, State.FAILED)
        assert "a fault" in job.reason_text and world.store.leases.all() == []
    await world.until(world.post(GOOD), State.DONE)
    world.file(job_id, "go").touch()
    await end_all(world)


async def test_a_fault_of_one_decision_stops_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owners = [world.owner(), world.owner()]
    poison = ""
    lease = world.store.jobs.lease

    def sometimes(job_id: str, *given: Any) -> Any:
        if job_id == poison:
            raise KeyError("a fault")
        return lease(job_id, *given)

    monkeypatch.setattr(world.store.jobs, "lease", sometimes)
    blocker = world.post(LONG, owner=owners[0])
    await world.until_epoch(blocker)
    poison = world.post(GOOD, owner=owners[0])
    good = world.post(GOOD, owner=owners[1])
    world.file(blocker, "go").touch()
    await world.until(good, State.DONE)
    job = await world.until(poison, State.FAILED)
    assert "a fault" in job.reason_text


async def test_a_fault_of_the_reasons_why_jobs_wait_is_not_repeated(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker = world.post(LONG)
    await world.until_epoch(blocker)
    with monkeypatch.context() as faulty:
        raised = inject(faulty, (world.store.jobs, "explain"), KeyError("a fault"))
        waiting = world.post(GOOD)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert 1 <= raised() <= 3, "a reason that cannot be recorded is not worth a loop"
    world.file(blocker, "go").touch()
    await world.until(waiting, State.DONE)


async def test_a_fault_of_one_retry_stops_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = SupervisionConfig(retries=1, retry_exits=[7], backoff_s=0.3)
    world = World(tmp_path / "root", in_memory=True, supervision=again, slots=2)
    await world.scheduler.start()
    script = "[ -e again ] || { touch again; exit 7; }; say SUCCESS 'All went well'"
    poison, good = world.post(script), world.post(script)
    await world.until(poison, State.HELD)
    move = SchedulerContext.move

    def sometimes(context: SchedulerContext, job_id: str, state: State, *given: Any, **named: Any) -> Any:
        if job_id == poison and state is State.QUEUED:
            raise KeyError("a fault")
        return move(context, job_id, state, *given, **named)

    monkeypatch.setattr(SchedulerContext, "move", sometimes)
    await world.until(good, State.DONE)
    job = await world.until(poison, State.FAILED)
    assert "a fault" in job.reason_text
    await end_all(world)


async def test_copies_of_the_database_continue_after_any_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, copied = Root(tmp_path / "root"), asyncio.Event()
    root.make()
    loop = asyncio.get_running_loop()
    listed = iter([KeyError("a fault"), OSError(errno.EIO, "the disk")])

    def failing(folder: Path) -> list[Path]:
        if (error := next(listed, None)) is not None:
            raise error
        return []

    def copy(*_: Any) -> str:
        loop.call_soon_threadsafe(copied.set)
        return "a copy"

    monkeypatch.setattr(copies, "listed", failing)
    monkeypatch.setattr(copies, "copy_into", copy)
    monkeypatch.setattr(backups, "HOUR_S", 0.0)
    monkeypatch.setattr(backups, "FIRST_S", 0.0)
    made = backups.Backups(root, StorageConfig(backup_hours=0.001))
    made.start()
    await asyncio.wait_for(copied.wait(), PATIENCE_S)
    await made.stop()
