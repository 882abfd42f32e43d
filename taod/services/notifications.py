"""The targets of notifications for clients: how their deliveries went, and test messages."""

from __future__ import annotations

import asyncio

from store import Store
from store.records import TargetSummary, UserRecord
from taod.clock import Clock, iso
from taod.config import NotifyConfig, NotifyTargetConfig
from taod.errors import BadRequest, ConfigError
from taod.ids import new_id
from taod.notify import targets, texts
from taod.notify.delivery import request, run
from taod.notify.outbox import host
from taod.notify.sender import Message
from taod.paths import Root
from taod.services.users import require_first
from taod.types.notification import NotifyState, NotifyTarget, NotifyTest, NotifyTestResult

LISTED = 1000
"""Most undelivered notifications in one answer."""


class Notifications:
    """Operations on the configured targets, which belong to the root."""

    def __init__(self, store: Store, root: Root, config: NotifyConfig, clock: Clock) -> None:
        self._store = store
        self._root = root
        self._config = config
        self._clock = clock

    def state(self, user_id: str) -> NotifyState:
        """The targets, and what of this user's notifications is not delivered."""
        undelivered = self._store.notifications.undelivered(user_id, LISTED)
        known, nothing = self._store.notifications.summaries(), TargetSummary(0, 0, "", None)
        views = [_view(target, known.get(target.name, nothing)) for target in self._config.target]
        return NotifyState(views, undelivered)

    async def test(self, user: UserRecord, wanted: NotifyTest) -> list[NotifyTestResult]:
        """Send a test message to one target or to all, once, and wait for the results.

        Raises BadRequest for another user than the root's first one, without a target, and for an unknown one.
        """
        require_first(self._store, user.id, "notify", "send test messages")
        known = {target.name: target for target in self._config.target}
        if not known:
            raise BadRequest("notify: no target is configured; add a [[notify.target]] to taod.toml")
        if wanted.target is not None and wanted.target not in known:
            raise BadRequest(f"target = {wanted.target!r} is not configured; the targets are {', '.join(known)}")
        chosen = list(known.values()) if wanted.target is None else [known[wanted.target]]
        return await asyncio.gather(*(self._test(target) for target in chosen))

    async def _test(self, target: NotifyTargetConfig) -> NotifyTestResult:
        key, text = new_id(), texts.test(host(), target.name)
        message = Message(key, "test", text.subject, text.body, iso(self._clock.time()))
        record = self._root.sending / key
        try:
            wanted = await asyncio.to_thread(request, target, message, self._config.timeout_s)
            result = await run(record, wanted)
        except ConfigError as error:
            return NotifyTestResult(target.name, False, str(error))
        finally:
            record.unlink(missing_ok=True)
        return NotifyTestResult(target.name, not result.error, result.error)


def _view(target: NotifyTargetConfig, summary: TargetSummary) -> NotifyTarget:
    return NotifyTarget(
        name=target.name,
        kind=target.kind,
        address=targets.shown(target),
        events=target.events,
        users=target.users,
        networks=target.networks,
        undelivered=summary.undelivered,
        failed=summary.failed,
        error=summary.error,
        delivered_on=summary.delivered_on,
    )
