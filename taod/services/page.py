"""Pagination: the request for a page of a list, and the page."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

Item = TypeVar("Item")


class PageRequest(msgspec.Struct, frozen=True):
    """Which part of a list is wanted. `size` None: all that follow."""

    skip: int = 0
    size: int | None = None


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """A part of a list, and how many the whole list has."""

    items: list[Item]
    total: int
