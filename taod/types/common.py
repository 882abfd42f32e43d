"""Types shared by all resources: the error body, sort orders, ids and times."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

OwnerKind = Literal["model", "dataset"]
"""Kinds of resources with jobs and specifications."""
MODEL: Final = "model"
DATASET: Final = "dataset"
Id = Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
"""A UUID. It is validated when it is looked up, so that an invalid one gets the contract's own error."""
_LINE = {"pattern": r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"}
_LINES = {"pattern": r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u2028\u2029]*$"}
"""No control characters. Reading a body checks the patterns, so that the error names the character."""
Name = Annotated[str, Meta(max_length=256, extra_json_schema=_LINE)]
"""A name, or another text of one line."""
Prose = Annotated[str, Meta(max_length=10_000, extra_json_schema=_LINES)]
Location = Annotated[str, Meta(max_length=4096, extra_json_schema=_LINE)]
"""A path or URL."""
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""ISO 8601 in UTC, with microseconds."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success.

    `error_code` is the HTTP status; `error_desc` names the field, the value and the remedy.
    """

    error_code: int
    error_desc: str


class Sort(StrEnum):
    """Orders of a list; each is stable (ties are broken by id)."""

    DATE_DESCENDING = "date-descending"
    DATE_ASCENDING = "date-ascending"
    NAME_DESCENDING = "name-descending"
    NAME_ASCENDING = "name-ascending"


class JobSort(StrEnum):
    """Orders of a list of jobs."""

    DATE_DESCENDING = "date-descending"
    DATE_ASCENDING = "date-ascending"


class Health(msgspec.Struct, frozen=True):
    """Answer of the health endpoints."""

    status: str
    version: str
    uptime_s: float


class Login(msgspec.Struct, frozen=True):
    """Answer of the login endpoint: who the caller is, and the bearer token to send from now on."""

    user_id: str
    token: str


class DaemonInfo(msgspec.Struct, frozen=True):
    """`daemon.json`: how the dashboard and the command line find a running daemon. The file's mode is 0600."""

    url: str
    pid: int
    started: float
    """Start time of the process in seconds since the epoch, as the operating system reports it."""
    user_id: str
    token: str
    root: str = ""
    version: str = ""
