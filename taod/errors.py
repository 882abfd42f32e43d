"""The error hierarchy: errors of the services, with their HTTP status."""

from __future__ import annotations

from typing import ClassVar


class TaodError(Exception):
    """An error with one sentence for the user, `str(error)`."""

    status: ClassVar[int] = 500

    def __init__(self, description: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(description)
        self.description = description
        self.headers = headers or {}


class BadRequest(TaodError):
    """The request is invalid; the description names field, value and remedy."""

    status = 400


class InvalidSpec(BadRequest):
    """A specification violates its schema; the description lists all violations."""


class Unauthorized(TaodError):
    """No token, or an unknown one."""

    status = 401


class Forbidden(TaodError):
    """The caller may not do this, or not from this Host or Origin."""

    status = 403


class NotFound(TaodError):
    """The resource does not exist for this user."""

    status = 404


class Conflict(TaodError):
    """Another request or process does this now, or the resource's state does not allow it."""

    status = 409


class TooLarge(TaodError):
    """A body or an archive is over its limit."""

    status = 413


class Unavailable(TaodError):
    """The request cannot be served now, for a temporary reason."""

    status = 503


class LimitReached(Unavailable):
    """A limit of the configuration, which clients can reach as often as they like: not worth an entry in the log."""


class StoreLost(Unavailable):
    """The database file is not the one that the daemon has opened, or is damaged."""


class NoSpace(TaodError):
    """The disk is full."""

    status = 507


class ConfigError(TaodError):
    """taod.toml, an environment variable or an option is wrong; the description names key, value and remedy."""
