"""A full disk, a database that another process holds, a supervisor that is killed: real ones."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sched_world import GOOD, LONG, SECRET, World, end_all

from runners import processes
from taod import backoff
from taod.scheduler.supervision import finalize
from taod.types.state import State
from tests.holding import database_held
from tests.patience import PATIENCE_S

SIZE_MIB = 3


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of a few MiB; skips where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Fill its free space."""
    path = disk / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return path


async def test_a_run_that_ends_on_a_full_disk_is_recorded_when_space_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    with small_disk(tmp_path / "disk") as disk:
        world = World(disk / "root")
        tried = asyncio.Event()
        record = finalize._record

        def seen(*given: object) -> None:
            try:
                record(*given)  # type: ignore[arg-type]
            except Exception:
                tried.set()
                raise

        monkeypatch.setattr(finalize, "_record", seen)
        await world.scheduler.start()
        job_id = world.post(LONG.replace("say SUCCESS 'All went well'", "exit 5"))
        await world.until_epoch(job_id)
        # What the database has set aside in its journal must go first, or it would write there.
        world.store._database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        filling = fill(disk)
        # A directory entry needs no space; the tool waits for it.
        world.file(job_id, "go").symlink_to(Path("/"))
        await asyncio.wait_for(tried.wait(), PATIENCE_S)
        assert world.job(job_id).state.on_device, "it keeps its device until its end is on record"
        filling.unlink()
        job = await world.until(job_id, State.FAILED)
        # The wrapper had space for the exit code although the disk was full.
        assert job.reason_text.startswith("exit code 5")
        good = world.post(GOOD)
        await world.until(good, State.DONE)
        await end_all(world)


async def test_a_start_on_a_full_disk_fails_or_waits_and_the_next_one_runs(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        world = World(disk / "root")
        await world.scheduler.start()
        first = world.post(GOOD)
        await world.until(first, State.DONE)
        filling = fill(disk)
        try:
            second = world.post(GOOD)
        except sqlite3.OperationalError as error:
            assert "full" in str(error)  # the request fails and creates nothing
        else:
            job = await world.until(second, State.FAILED, State.DONE)
            assert job.state is State.DONE or "disk full" in job.reason_text or "No space" in job.reason_text
        filling.unlink()
        assert world.store.leases.all() == []
        third = world.post(GOOD)
        await world.until(third, State.DONE)
        await end_all(world)


async def test_an_end_is_recorded_when_another_process_unlocks_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.01)
    world = World(tmp_path / "root")
    world.store._database.connection.execute("PRAGMA busy_timeout=20")
    await world.scheduler.start()
    job_id = world.post(LONG)
    await world.until_epoch(job_id)
    locked = asyncio.Event()
    record = finalize._record

    def seen(*given: object) -> None:
        try:
            record(*given)  # type: ignore[arg-type]
        except sqlite3.OperationalError as error:
            assert "locked" in str(error)
            locked.set()
            raise

    monkeypatch.setattr(finalize, "_record", seen)
    async with database_held(world.root.database):
        world.file(job_id, "go").touch()
        await asyncio.wait_for(locked.wait(), PATIENCE_S)
        assert world.job(job_id).state is State.RUNNING
    job = await world.until(job_id, State.DONE)
    assert (job.reason_text, world.store.leases.all()) == ("All went well", [])
    await end_all(world)


async def test_a_killed_supervisor_is_reported_and_its_run_is_ended(tmp_path: Path) -> None:
    world = World(tmp_path / "root", in_memory=True)
    await world.scheduler.start()
    job_id = world.post(f"echo key {SECRET}; " + LONG)
    await world.until_epoch(job_id)
    os.kill(int(world.root.job(job_id).run(1).pid.read_text().split()[0]), 9)
    job = await world.until(job_id, State.FAILED)
    assert job.reason_text.startswith("ended, and its exit code is not known")
    assert processes.members(f"TAOD_RUN={job_id}/1") == []
    await end_all(world)
