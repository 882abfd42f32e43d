"""Secrets in logs are overwritten where they lie."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from taod.telemetry import log as logs
from taod.telemetry.log_mask import BLOCK, LogMask
from taod.types.state import State
from tests.patience import PATIENCE_S
from tests.scheduler.sched_world import ScriptRunner, World, end_all

TOKEN = "hf_0123456789"
MASKED = b"*" * len(TOKEN)


def test_each_occurrence_is_overwritten_at_its_place_also_across_blocks(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    pad = b"x" * (BLOCK - 5)
    text = pad + TOKEN.encode() + b"\n" + TOKEN.encode() * 2 + b" end"
    log.write_bytes(text)
    mask = LogMask()
    mask.apply(log, [TOKEN])
    assert log.read_bytes() == pad + MASKED + b"\n" + MASKED * 2 + b" end"


def test_what_comes_later_is_masked_also_where_it_came_in_two_parts(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    mask = LogMask()
    mask.apply(log, [TOKEN])
    log.write_text(f"a {TOKEN[:6]}")
    mask.apply(log, [TOKEN])
    with log.open("a") as file:
        file.write(f"{TOKEN[6:]} b")
    # The file of the secret is gone meanwhile.
    mask.apply(log, [])
    assert log.read_bytes() == b"a " + MASKED + b" b"
    assert mask.text(log, f"failed with {TOKEN}") == "failed with ***"
    mask.forget(log)
    assert mask.text(log, TOKEN) == TOKEN


def test_what_a_run_has_put_in_the_place_of_its_log_is_left_alone(tmp_path: Path) -> None:
    log, other = tmp_path / "log.txt", tmp_path / "other"
    other.write_text(TOKEN)
    log.symlink_to(other)
    LogMask().apply(log, [TOKEN])
    assert other.read_text() == TOKEN
    log.unlink()
    os.mkfifo(log)
    LogMask().apply(log, [TOKEN])


async def test_a_followed_log_is_masked_before_it_is_read(tmp_path: Path) -> None:
    log, mask, over = tmp_path / "log.txt", LogMask(), asyncio.Event()
    log.write_text(f"first {TOKEN}\n")

    async def apply() -> None:
        mask.apply(log, [TOKEN])

    got = b""
    async with asyncio.timeout(PATIENCE_S):
        async for block in logs.follow(log, 0, over, mask=apply):
            got += block
            if got.count(b"\n") == 1:
                with log.open("a") as file:
                    file.write(f"second {TOKEN}\n")
            else:
                over.set()
    assert got == b"first " + MASKED + b"\nsecond " + MASKED + b"\n"


class Secretive(ScriptRunner):
    """A runner whose runs get a secret."""

    def secrets(self, network: str, action: str) -> list[str]:
        return [TOKEN]


async def test_a_run_that_prints_its_secret_leaves_it_neither_in_its_files_nor_in_its_history(tmp_path: Path) -> None:
    token, go = tmp_path / "token", tmp_path / "go"
    token.write_text(TOKEN)
    world = World(tmp_path / "root", runner=Secretive())
    await world.scheduler.start()
    given = f"token=$(cat {token})"
    script = f'{given}; echo "token $token"; say RUNNING x 3; wait_for {go}; say FAILURE "denied for $token"; exit 1'
    job = world.post(script)
    await world.until_epoch(job)
    await world.scheduler.mask_log(job)
    assert "token ***" in world.log(job) and TOKEN not in world.log(job)
    go.touch()
    await world.until(job, State.FAILED)
    assert "denied for ***" in world.said(job)
    shown = [str(world.job(job)), world.said(job), *map(str, world.store.jobs.history(job))]
    shown += [path.read_text() for path in world.root.job(job).path.rglob("*") if path.is_file()]
    assert not any(TOKEN in text for text in shown)
    await end_all(world)
