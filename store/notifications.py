"""The repository of notifications and their deliveries to targets."""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Sequence

from store.columns import Columns
from store.database import Database
from store.records import Delivery, NotificationRecord, TargetSummary
from taod.clock import Clock, iso
from taod.ids import new_id
from taod.types.notification import DeliveryState, NotifyDelivery, NotifyEvent

_NOTIFICATION = Columns(NotificationRecord)
_OPEN = (DeliveryState.PENDING, DeliveryState.SENDING)
_IS_OPEN = f"deliveries.state IN ({', '.join(repr(str(state)) for state in _OPEN)})"
_DELIVERY = f"""SELECT deliveries.id, target, deliveries.state, attempts, {_NOTIFICATION.select("notifications")}
    FROM deliveries JOIN notifications ON notifications.id = notification_id"""
_FAILED = f"deliveries.state = '{DeliveryState.FAILED}'"
SUMMARIES = f"""
    WITH last AS (
        SELECT target, max(changed_on) FILTER (WHERE state = '{DeliveryState.DELIVERED}') AS at
        FROM deliveries GROUP BY target)
    SELECT last.target, last.at, count(*) FILTER (WHERE {_IS_OPEN}),
        count(*) FILTER (WHERE {_FAILED} AND changed_on > coalesce(last.at, '')),
        coalesce((SELECT error FROM deliveries AS one
            WHERE one.target = last.target AND error != '' AND changed_on > coalesce(last.at, '')
            ORDER BY changed_on DESC LIMIT 1), '')
    FROM last JOIN deliveries ON deliveries.target = last.target GROUP BY last.target"""
"""One row for each target, which `read_summary` reads."""


class Notifications:
    """The rows of notifications and deliveries."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    def add(self, notification: NotificationRecord, targets: Sequence[str]) -> bool:
        """Insert a notification with a pending delivery for each target. Returns whether it was new: one whose `key`
        is in use is ignored."""
        with self._db.transaction():
            if notification.key is not None and self._db.row(
                "SELECT 1 FROM notifications WHERE key = ?", [notification.key]
            ):
                return False
            self._db.insert("notifications", _NOTIFICATION.pack(notification))
            for target in targets:
                self._db.insert(
                    "deliveries",
                    {
                        "id": new_id(),
                        "notification_id": notification.id,
                        "target": target,
                        "state": str(DeliveryState.PENDING),
                        "attempts": 0,
                        "error": "",
                        "changed_on": iso(self._clock.time()),
                    },
                )
        return True

    def release(self, key: str) -> None:
        """Let the next notification with this key be added."""
        with self._db.transaction():
            self._db.write("UPDATE notifications SET key = NULL WHERE key = ?", [key])

    def next(self, target: str) -> Delivery | None:
        """The target's pending delivery with the fewest attempts, the oldest of these; None without one."""
        rows = self._db.rows(
            f"{_DELIVERY} WHERE target = ? AND {_IS_OPEN} AND deliveries.state = ? "
            "ORDER BY attempts, deliveries.rowid LIMIT 1",
            [target, DeliveryState.PENDING],
        )
        return _read(rows[0]) if rows else None

    def sending(self, target: str) -> builtins.list[Delivery]:
        """The deliveries that an earlier daemon began to send."""
        rows = self._db.rows(
            f"{_DELIVERY} WHERE target = ? AND {_IS_OPEN} AND deliveries.state = ?", [target, DeliveryState.SENDING]
        )
        return [_read(row) for row in rows]

    def begin(self, delivery_id: str) -> None:
        """Record that it is being sent. Flushed to the disk, with the event that caused it: it may be sent once this
        returns."""
        with self._db.durable():
            self._change(delivery_id, "state = ?, attempts = attempts + 1", [DeliveryState.SENDING])

    def end(self, delivery_id: str, state: DeliveryState, error: str = "") -> None:
        """Record how an attempt ended: DELIVERED, FAILED, or PENDING for another attempt."""
        with self._db.transaction():
            self._change(delivery_id, "state = ?, error = ?", [state, error])

    def drop(self, targets: Iterable[str], error: str) -> None:
        """Give up the deliveries to targets other than these."""
        names = list(targets)
        with self._db.transaction():
            self._db.write(
                f"UPDATE deliveries SET state = ?, error = ? "
                f"WHERE {_IS_OPEN} AND target NOT IN ({', '.join('?' * len(names))})",
                [str(DeliveryState.FAILED), error, *names],
            )

    def prune(self, before: str) -> None:
        """Delete notifications from before this time that no delivery and no key needs."""
        with self._db.transaction():
            self._db.write(
                f"""DELETE FROM notifications WHERE created_on < ? AND key IS NULL AND NOT EXISTS
                (SELECT 1 FROM deliveries WHERE notification_id = notifications.id AND {_IS_OPEN})""",
                [before],
            )

    def summaries(self) -> dict[str, TargetSummary]:
        """Name of each target that had a delivery → how its deliveries went."""
        return dict(map(read_summary, self._db.rows(SUMMARIES)))

    def undelivered(self, user_id: str, most: int) -> builtins.list[NotifyDelivery]:
        """The notifications of this user, and of no user, that are open or were given up, oldest first."""
        rows = self._db.rows(
            f"""SELECT deliveries.id, target, event, subject, deliveries.state, attempts, error, created_on
            FROM deliveries JOIN notifications ON notifications.id = notification_id
            WHERE ({_IS_OPEN} OR {_FAILED}) AND (user_id = ? OR user_id IS NULL)
            ORDER BY created_on, deliveries.rowid LIMIT ?""",
            [user_id, most],
        )
        return [
            NotifyDelivery(delivery_id, target, NotifyEvent(event), subject, DeliveryState(state), *rest)
            for delivery_id, target, event, subject, state, *rest in rows
        ]

    def _change(self, delivery_id: str, assignments: str, values: Sequence[object]) -> None:
        self._db.write(
            f"UPDATE deliveries SET {assignments}, changed_on = ? WHERE id = ?",
            [*(str(value) for value in values), iso(self._clock.time()), delivery_id],
        )


def read_summary(row: tuple[str, str | None, int, int, str]) -> tuple[str, TargetSummary]:
    """The target's name, and how its deliveries went."""
    target, delivered_on, undelivered, failed, error = row
    return target, TargetSummary(undelivered, failed, error, delivered_on)


def _read(row: tuple[object, ...]) -> Delivery:
    delivery_id, target, state, attempts, *notification = row
    assert isinstance(attempts, int)
    return Delivery(
        str(delivery_id), str(target), DeliveryState(str(state)), attempts, _NOTIFICATION.read(notification)
    )
