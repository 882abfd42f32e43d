"""Reads query parameters; errors name parameter and value."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any, TypeVar

from litestar import Request

from taod.errors import BadRequest
from taod.services.resources import PageRequest

Choice = TypeVar("Choice", bound=StrEnum)

_MAX_NUMBER = 2**63 - 1
_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def text(request: Request[Any, Any, Any], name: str) -> str | None:
    """A text; None if it is absent or empty."""
    value: str | None = request.query_params.get(name)
    return value or None


def number(request: Request[Any, Any, Any], name: str) -> int | None:
    """A whole number ≥ 0. Raises BadRequest."""
    value = request.query_params.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()) or len(value) > 19 or int(value) > _MAX_NUMBER:
        raise BadRequest(f"{name}={value[:40]}: expected a whole number, 0 or more")
    return int(value)


def flag(request: Request[Any, Any, Any], name: str) -> bool | None:
    """A boolean. Raises BadRequest."""
    value = request.query_params.get(name)
    if value is None:
        return None
    if value.lower() not in _BOOLEANS:
        raise BadRequest(f"{name}={value[:40]}: expected true or false")
    return _BOOLEANS[value.lower()]


def choice(request: Request[Any, Any, Any], name: str, kind: type[Choice]) -> Choice | None:
    """One value of an enumeration. Raises BadRequest naming the allowed ones."""
    value = one_of(request, name, list(kind))
    return None if value is None else kind(value)


def one_of(request: Request[Any, Any, Any], name: str, allowed: Collection[str]) -> str | None:
    """One of the allowed values. Raises BadRequest naming them."""
    value: str | None = request.query_params.get(name)
    if value is not None and value not in allowed:
        raise BadRequest(f"{name}={value[:40]}: expected one of {', '.join(allowed)}")
    return value


def several(request: Request[Any, Any, Any], name: str, kind: type[Choice]) -> set[Choice] | None:
    """Values of an enumeration, as repeated parameters or separated by commas. Raises BadRequest."""
    values = [part for value in request.query_params.getall(name, []) for part in value.split(",")]
    if not values:
        return None
    allowed = list(kind)
    for value in values:
        if value not in allowed:
            raise BadRequest(f"{name}={value[:40]}: expected one of {', '.join(allowed)}")
    return {kind(value) for value in values}


def page(request: Request[Any, Any, Any]) -> PageRequest:
    """`skip` and `size`. Raises BadRequest."""
    return PageRequest(skip=number(request, "skip") or 0, size=number(request, "size"))
