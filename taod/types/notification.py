"""Notifications: their events, the targets that get them, and what was not delivered yet."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from taod.types.common import Id, Name, Timestamp


class NotifyEvent(StrEnum):
    """What a notification is about. `taod.toml` names them in `events` of a target."""

    DONE = "done"
    """A job is done. Trials of sweeps are not counted: their sweep is."""
    FAILED = "failed"
    """A job failed for good, without a retry. Neither trials nor jobs that failed with their parent."""
    STALLED = "stalled"
    """A run writes nothing for `supervision.stall_s`."""
    DEVICE_LOST = "device_lost"
    """A run lost its GPU."""
    DISK_FULL = "disk_full"
    """The root's disk has less than `notify.disk_free_bytes` free."""
    SWEEP_BEST = "sweep_best"
    """A sweep has a trial that is better than all before."""


class DeliveryState(StrEnum):
    """The state of one notification for one target."""

    PENDING = "pending"
    SENDING = "sending"
    """A process sends it; it continues if the daemon ends."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up: the target rejected it, did not take it for `notify.give_up_hours`, or is not configured any more."""


class NotifyTarget(msgspec.Struct, frozen=True):
    """A configured target, and how its deliveries went."""

    name: str
    kind: str
    """`command`, `webhook` or `apprise`."""
    address: str
    """Its address without anything secret."""
    events: list[NotifyEvent]
    users: list[str]
    networks: list[str]
    undelivered: int = 0
    failed: int = 0
    """Notifications given up since the last delivered one."""
    error: str = ""
    """Why the last attempt failed; empty after a success."""
    delivered_on: Timestamp | None = None


class NotifyDelivery(msgspec.Struct, frozen=True):
    """A notification that a target does not have yet, or will not get."""

    id: Id
    """The same in every attempt: a webhook gets it as `Idempotency-Key`, a command as TAOD_KEY."""
    target: str
    event: NotifyEvent
    subject: str
    state: DeliveryState
    attempts: int
    error: str
    created_on: Timestamp


class NotifyState(msgspec.Struct, frozen=True):
    """The targets, and the user's notifications that are not delivered, oldest first."""

    targets: list[NotifyTarget]
    undelivered: list[NotifyDelivery]


class NotifyTest(msgspec.Struct, forbid_unknown_fields=True):
    """The target that gets a test message."""

    target: Name | None = None
    """Null: all of them."""


class NotifyTestResult(msgspec.Struct, frozen=True):
    """How the test message reached a target."""

    target: str
    delivered: bool
    error: str = ""
