"""Changes of a model's specifications when it moves to another release of NVIDIA's tools."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from taod.types.common import Id
from taod.types.model import SpecDocument


class FieldChangeKind(StrEnum):
    """What happens to a parameter in the other release."""

    RENAMED = "renamed"
    """It has another name."""
    MOVED = "moved"
    """It has the same name in another group."""
    REMOVED = "removed"
    """The other release has no counterpart, or counts it in another unit."""
    REJECTED = "rejected"
    """The other release has the parameter but rejects the value: its default applies."""
    NEW = "new"
    """The earlier release lacks it."""


class FieldChange(msgspec.Struct):
    """One parameter that differs."""

    kind: FieldChangeKind
    path: str
    """Dotted path; of a new parameter, the one in the other release."""
    to: str = ""
    """Path of its value in the other release; empty: none."""
    value: Any = None
    """The specification's value; the default of a new parameter."""
    reason: str = ""


class ActionChange(msgspec.Struct):
    """The specification of one action."""

    action: str
    saved: bool
    """Whether a user saved it; otherwise it is the release's default and needs no conversion."""
    changes: list[FieldChange]
    converted: SpecDocument
    """The specification for the other release."""


class ReleaseChange(msgspec.Struct):
    """A model's move to another release."""

    model_id: Id
    network: str
    release: str
    to: str
    known: list[str]
    """The releases that have the network."""
    actions: list[ActionChange]
    added: list[str] = []
    """Actions that only the other release has."""
    removed: list[str] = []
    """Actions that only the present release has; their saved specifications are dropped."""
    blocked: str = ""
    """Why the model cannot move unless the request abandons its checkpoints; empty: it can."""


class ReleaseMove(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST release: move the model."""

    release: str
    convert: bool = True
    """False: drop the saved specifications instead, so that the other release's defaults apply."""
    abandon_checkpoints: bool = False
    """Move although the model has checkpoints, which jobs of the other release cannot use."""
