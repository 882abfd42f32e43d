"""Notifications reach real counterparts: a program, an HTTP server, an SMTP server. Slow ones delay no others."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import psutil
import pytest

from store.records import NotificationRecord
from taod import program
from taod.config import NotifyTargetConfig
from taod.ids import new_id
from taod.notify import delivery as delivery_module
from taod.notify.delivery import request, run
from taod.notify.disk import DiskMonitor
from taod.notify.sender import Message, Request
from taod.types.notification import DeliveryState, NotifyEvent
from tests.notify.conftest import Clock
from tests.notify.receivers import Webhook, kill_senders, lines, writer
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=2)

TEXT = Message(new_id(), "test", "s", "b", "")


def silent(name: str = "silent", **fields: Any) -> NotifyTargetConfig:
    """A command that ends with the test."""
    return NotifyTargetConfig(name, command=["sleep", "1000"], **fields)


async def test_a_command_gets_the_notification_once(post, tmp_path: Path) -> None:
    said = tmp_path / "variables"
    shell = 'printf "%s" "$TAOD_EVENT|$TAOD_SUBJECT|$TAOD_BODY|$TAOD_KEY" >"$0"; cat >"$0.json"'
    one = post(NotifyTargetConfig("program", command=["sh", "-c", shell, str(said)]))
    one.disk()
    await one.delivered()
    event, subject, body, key = said.read_text().split("|")
    assert event == "disk_full" and "nearly full" in subject and "taod doctor" in body
    assert f'"id":"{key}"' in said.with_suffix(".json").read_text()
    assert list(one.root.sending.iterdir()) == []


async def test_a_webhook_gets_json_and_the_same_key_in_every_attempt(
    post, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.statuses = [503, 404, 302]
    one = post(NotifyTargetConfig("hook", webhook=hook.url.replace("//", "//ada:topsecret@")))
    one.disk()
    await one.delivered()
    assert len(hook.received) == 4
    keys = {each.headers["Idempotency-Key"] for each in hook.received}
    first = hook.received[0]
    assert keys == {first.body["id"]} and first.body["event"] == "disk_full" and first.body["job"] is None
    assert first.headers["Authorization"].startswith("Basic ") and first.path == "/hooks/topsecret?token=hidden"
    named = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    assert named == ["notifications to hook are not delivered: HTTP status 503; retrying"]
    assert "topsecret" not in caplog.text and "hidden" not in caplog.text


async def test_an_email_arrives_through_a_real_server(post) -> None:
    pytest.importorskip("apprise")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    received: list[bytes] = []

    class Handler:
        async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
            received.append(envelope.content)
            return "250 OK"

    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: smtp.SMTP(Handler(), hostname="here"), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"mailto://127.0.0.1:{port}/?from=taod@example.org&to=ada@example.org&mode=insecure"
        one = post(NotifyTargetConfig("mail", apprise=url))
        one.disk()
        await one.delivered()
    (mail,) = received
    assert b"Subject: taod on " in mail and b"taod doctor" in mail and b"To: ada@example.org" in mail


@pytest.mark.parametrize("url", ["dbus://", "tgram://topsecret", "mailto://ada:topsecret@127.0.0.1:1/?mode=insecure"])
async def test_the_reason_of_apprise_is_reported_without_its_url(tmp_path: Path, url: str) -> None:
    """Without a display the desktop's own plugin cannot do more than to say so."""
    pytest.importorskip("apprise")
    result = await run(tmp_path / "record", request(NotifyTargetConfig("x", apprise=url), TEXT, 30.0))
    assert result.error and "topsecret" not in result.error and "gave no reason" not in result.error


async def test_a_failing_command_is_sent_again_until_it_is_given_up(post, tmp_path: Path) -> None:
    shell = 'echo x >>"$0"; echo "no route for topsecret" >&2; exit 3'
    clock = Clock()
    target = NotifyTargetConfig("program", command=["sh", "-c", shell, str(tmp_path / "runs"), "topsecret"])
    one = post(target, clock=clock, give_up_hours=1.0)
    one.disk()
    await one.until(lambda: (tmp_path / "runs").exists() and len((tmp_path / "runs").read_text()) >= 4)
    clock.later_s = 3601.0
    await one.delivered()
    found = one.store.notifications.summaries()["program"]
    assert (found.undelivered, found.failed, found.error) == (0, 1, "exit code 3: no route for ***")
    (lost,) = one.store.notifications.undelivered("", 10)
    assert lost.state is DeliveryState.FAILED and lost.attempts >= 2


async def test_a_slow_target_delays_itself_alone(post, tmp_path: Path, hook: Webhook) -> None:
    hook.gate.clear()
    one = post(silent(), NotifyTargetConfig("hook", webhook=hook.url), writer(tmp_path / "out"))
    one.disk()
    await one.until(lambda: len(lines(tmp_path / "out")) == 1)
    await one.until(lambda: one.open() == 2)
    hook.gate.set()
    await one.until(lambda: one.open() == 1)
    kill_senders()


async def test_an_attempt_ends_after_its_time_with_all_its_processes(tmp_path: Path) -> None:
    shell = 'sleep 1000 & echo $! >"$0"; wait'
    target = NotifyTargetConfig("x", command=["sh", "-c", shell, str(tmp_path / "pid")])
    result = await run(tmp_path / "record", request(target, TEXT, 3.0))
    assert result.error == "it took longer than 3 s (notify.timeout_s)"
    pid = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_sender_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_module, "LATE_S", 0.1)
    monkeypatch.setattr(program, "isolated", lambda name: ["sleep", "1000"])
    wanted = Request("command", ["true"], TEXT, 0.1)
    assert (await run(tmp_path / "record", wanted)) == delivery_module.INTERRUPTED


async def test_a_rejected_notification_does_not_block_the_next(post, tmp_path: Path) -> None:
    shell = 'case "$TAOD_SUBJECT" in *bad*) exit 1;; esac; echo "$TAOD_SUBJECT" >>"$0"'
    one = post(NotifyTargetConfig("program", command=["sh", "-c", shell, str(tmp_path / "out")]), run=False)
    for subject in ("bad", "good", "better"):
        record = NotificationRecord(new_id(), NotifyEvent.DONE, None, None, subject, "", "2999-01-01T00:00:00+00:00")
        one.store.notifications.add(record, ["program"])
    one.deliveries.start()
    await one.until(lambda: one.open() == 1)
    assert (tmp_path / "out").read_text().split() == ["good", "better"]


async def test_what_is_left_for_a_former_target_is_given_up(post, tmp_path: Path) -> None:
    post(writer(tmp_path / "out", name="old"), run=False).disk()
    await post.stop()
    two = post(writer(tmp_path / "out", name="new"))
    await two.delivered()
    (lost,) = two.store.notifications.undelivered("", 10)
    assert (lost.target, lost.error) == ("old", "its target is not configured any more")
    assert lines(tmp_path / "out") == []


async def test_the_disk_is_notified_once_until_it_has_space_again(post, tmp_path: Path) -> None:
    one = post(writer(tmp_path / "out"), disk_free_bytes=100)
    for free in (101, 99, 50, 105, 99):  # 105 is within the margin: no second notification
        one.disk(free)
    await post.stop()
    two = post(writer(tmp_path / "out"), disk_free_bytes=100)
    for free in (99, 200, 99):
        two.disk(free)
    await two.delivered()
    assert len(lines(tmp_path / "out")) == 2


async def test_the_disk_monitor_reads_the_disk_of_the_root(post, tmp_path: Path) -> None:
    one = post(writer(tmp_path / "out", events=[NotifyEvent.DISK_FULL]), disk_free_bytes=2**62)
    monitor = DiskMonitor(store=one.store, root=one.root, outbox=one.outbox, config=one.config, check_s=0.01)
    monitor.start()
    await one.until(lambda: len(lines(tmp_path / "out")) == 1)
    await monitor.stop()
    assert str(one.root.path) in lines(tmp_path / "out")[0]["body"]


async def test_a_locked_database_delays_and_repeats_nothing(post, tmp_path: Path) -> None:
    one = post(writer(tmp_path / "out"))
    end, failures = one.store.notifications.end, [OSError("the disk is full"), TimeoutError()]

    def failing(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        end(*arguments)

    one.store.notifications.end = failing
    one.disk()
    await one.delivered()
    assert len(lines(tmp_path / "out")) == 1


async def test_old_notifications_are_deleted_unless_they_are_needed(post, tmp_path: Path) -> None:
    clock = Clock()
    one = post(writer(tmp_path / "out"), clock=clock, keep_days=1.0)
    rows = lambda: one.store._database.number("SELECT count(*) FROM notifications")  # noqa: E731
    for _ in range(3):
        one.disk(0)
        one.disk(2**62)
    await one.delivered()
    assert rows() == 3
    clock.later_s = 90_000.0
    one.disk(0)
    assert rows() == 1
    await one.delivered()
    clock.later_s *= 2
    one.disk(0)
    assert rows() == 1  # Its key says that the disk is full.
    await asyncio.wait_for(one.delivered(), PATIENCE_S)
