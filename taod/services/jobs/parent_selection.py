"""Selects the parent of a job by the catalogue's chaining table. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from taod.errors import BadRequest


class Chaining(Protocol):
    """The part of the catalogue's Network that parent selection needs."""

    name: str

    def may_follow(self, action: str) -> list[str]: ...

    def needs_parent(self, action: str) -> bool: ...


class Link(msgspec.Struct, frozen=True):
    """A candidate for a parent: an existing job, or one of the same request."""

    id: str
    action: str


def choose_parent(
    network: Chaining,
    action: str,
    *,
    earlier: Sequence[Link],
    given: Link | None,
    existing: Sequence[Link],
    must_have: bool,
) -> Link | None:
    """The parent of `action`: the last of `earlier` (oldest first) that it may follow, else `given`.

    Without either, an action that needs a parent takes the first of `existing` (newest first) that it may follow.
    `must_have`: it needs a parent although the table does not require one (evaluation without pretrained weights).
    Raises BadRequest if the given job cannot be the parent, or a required parent cannot be found.
    """
    allowed = network.may_follow(action)
    for link in reversed(earlier):
        if link.action in allowed:
            return link
    if given is not None:
        if given.action in allowed:
            return given
        if not earlier:
            raise BadRequest(
                f"job {given.id} ({given.action}) cannot be the parent of {action}: {_rule(network, action, allowed)}"
            )
    if not (network.needs_parent(action) or must_have):
        return None
    for link in existing:
        if link.action in allowed:
            return link
    raise BadRequest(f"{action} needs a parent job: {_rule(network, action, allowed)}; run one of them first")


def _rule(network: Chaining, action: str, allowed: list[str]) -> str:
    if not allowed:
        return f"{action} of {network.name} follows no job"
    return f"{action} of {network.name} follows {', '.join(allowed)}"
