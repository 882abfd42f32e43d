"""What a sweep may do: begin a trial, give one more epochs, stop one, or end."""

from __future__ import annotations

import msgspec

from taod.types.reason import Reason


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """A new trial, with values that the proposer is asked for."""

    bracket: int = 0
    rung: int = 0
    epochs: int | None = None
    """Epochs at its first rung's end; None: as many as the specification says."""
    source: int | None = None
    """The trial whose values it varies and whose checkpoint it begins with."""
    replaces: int | None = None
    """The trial that it takes the place of, which goes no further."""


class Promote(msgspec.Struct, frozen=True):
    """Continue a trial from its checkpoint."""

    number: int
    rung: int
    epochs: int


class Prune(msgspec.Struct, frozen=True):
    """A running trial is not worth its device."""

    number: int
    reason: Reason


class Finish(msgspec.Struct, frozen=True):
    """The search is over."""

    reason: Reason


Step = Begin | Promote | Prune | Finish
