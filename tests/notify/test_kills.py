"""A kill of the daemon, at any instant from an event to its delivery, neither loses nor repeats a notification."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest

from taod.config import NotifyTargetConfig
from tests.notify.receivers import Webhook, kill_senders, lines, writer
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=4)

DAEMON = Path(__file__).with_name("dying_daemon.py")
SEAMS = ("event", "marked", "spawned", "sent", "recorded")


async def killed_at(root: Path, seam: str, *targets: NotifyTargetConfig) -> None:
    """Run a daemon until it has killed itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(DAEMON), str(root), seam, msgspec.json.encode(targets).decode()),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == -signal.SIGKILL


@pytest.mark.parametrize("seam", SEAMS)
async def test_a_command_runs_once(post, tmp_path: Path, seam: str) -> None:
    target = writer(tmp_path / "out")
    await killed_at(tmp_path / "root", seam, target)
    one = post(target)
    await one.delivered()
    (got,) = lines(tmp_path / "out")
    assert got["event"] == "done" and "All" not in got["subject"]
    assert list(one.root.sending.iterdir()) == [] or seam == "recorded"


@pytest.mark.parametrize("seam", ["spawned", "sent"])
async def test_a_webhook_gets_one_request(post, tmp_path: Path, hook: Webhook, seam: str) -> None:
    """Also if the server answers only after the next daemon has started: the sending process is still there."""
    if seam == "spawned":
        hook.gate.clear()
    target = NotifyTargetConfig("hook", webhook=hook.url)
    await killed_at(tmp_path / "root", seam, target)
    one = post(target)
    await one.until(hook.arrived.is_set)
    hook.gate.set()
    await one.delivered()
    assert len(hook.received) == 1


async def test_a_kill_of_the_sending_process_repeats_the_request_with_its_key(post, hook: Webhook) -> None:
    hook.gate.clear()
    one = post(NotifyTargetConfig("hook", webhook=hook.url))
    one.disk()
    await one.until(hook.arrived.is_set)
    kill_senders()
    hook.gate.set()
    await one.delivered()
    assert len({each.headers["Idempotency-Key"] for each in hook.received}) == 1 < len(hook.received)


async def test_a_daemon_that_stops_leaves_what_is_being_sent(post, tmp_path: Path, hook: Webhook) -> None:
    hook.gate.clear()
    targets = [NotifyTargetConfig("hook", webhook=hook.url), writer(tmp_path / "out")]
    one = post(*targets)
    one.disk()
    await one.until(hook.arrived.is_set)
    await post.stop()
    two = post(*targets)
    hook.gate.set()
    await two.delivered()
    assert len(hook.received) == 1 and len(lines(tmp_path / "out")) == 1


async def test_each_target_gets_a_storm_of_events_once(post, tmp_path: Path, hook: Webhook) -> None:
    targets = [writer(tmp_path / "out"), NotifyTargetConfig("hook", webhook=hook.url)]
    one = post(*targets)
    for number in range(12):
        if number % 4 == 3:
            await post.stop()
            one = post(*targets)
        one.disk(0)
        one.disk(2**62)
        await asyncio.sleep(0)
    await one.delivered()
    for keys in ([each["id"] for each in lines(tmp_path / "out")], [each.body["id"] for each in hook.received]):
        assert len(keys) == len(set(keys)) == 12
