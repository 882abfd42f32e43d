"""The one error hierarchy: rejections of the services, with their HTTP status."""

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
    """What was asked cannot be done as asked; the description names field, value and remedy."""

    status = 400


class InvalidSpec(BadRequest):
    """A specification breaks rules of its schema; the description lists every one."""


class Unauthorized(TaodError):
    """No token, or one that is not known any more."""

    status = 401


class Forbidden(TaodError):
    """The caller may not do this from where it is (Host, Origin)."""

    status = 403


class NotFound(TaodError):
    """There is no such thing for this user."""

    status = 404


class Conflict(TaodError):
    """Someone else is doing this right now."""

    status = 409


class TooLarge(TaodError):
    """A body or an archive is over its limit."""

    status = 413


class Unavailable(TaodError):
    """It cannot be done now, for a reason that passes."""

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
