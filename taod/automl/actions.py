"""The steps of a sweep: start a trial, train one for more epochs, stop one, or end."""

from __future__ import annotations

import msgspec

from taod.types.reason import Reason


class StartTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Start a new trial with values from the proposer."""

    bracket: int = 0
    rung: int = 0
    epochs: int | None = None
    """Epochs at the end of its first rung; None: as in the specification."""
    source: int | None = None
    """The trial whose values it varies and whose checkpoint it starts from."""
    replaces: int | None = None
    """The trial that it replaces, which is not continued."""


class Promote(msgspec.Struct, frozen=True):
    """Continue a trial from its checkpoint in the next rung."""

    number: int
    rung: int
    epochs: int


class Prune(msgspec.Struct, frozen=True):
    """Stop a running trial."""

    number: int
    reason: Reason


class Finish(msgspec.Struct, frozen=True):
    """End the sweep."""

    reason: Reason


Step = StartTrial | Promote | Prune | Finish
