"""The queue as a whole: whether it is paused, its length, and its limits."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from taod.types.common import Timestamp

PauseReason = Annotated[str, Meta(max_length=400)]


class QueueState(msgspec.Struct):
    """The queue of all users; also the body of queue events."""

    paused: bool
    """While paused, no queued job is started; running jobs continue."""
    by: str
    """Name of the user who paused it; empty while it is not paused."""
    reason: str
    since: Timestamp | None
    running: int
    """Jobs on devices."""
    queued: int
    """Jobs that wait for a device."""
    waiting: int
    """Jobs that wait for a parent or data."""
    held: int
    max_running: int
    """This limit and the following are from the configuration; 0: no limit."""
    max_running_per_user: int
    max_queued_per_user: int
    ageing_s_per_point: float


class QueuePatch(msgspec.Struct, forbid_unknown_fields=True):
    """Pause or resume the queue; `reason` is shown with every waiting job."""

    paused: bool | msgspec.UnsetType = msgspec.UNSET
    reason: PauseReason | msgspec.UnsetType = msgspec.UNSET
