"""Errors that pass are retried, others end the job with their reason; an error that repeats is logged once."""

from __future__ import annotations

import errno
import logging
import sqlite3

import pytest

from taod.backoff import Backoff, passes
from taod.errors import BadRequest, NoSpace, StoreLost, Unavailable


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("of SQLite")
    error.sqlite_errorcode = code
    return error


PASSING = [
    *(OSError(number, "x") for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.EAGAIN)),
    *(sqlite_error(code) for code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)),
    sqlite3.OperationalError("database is locked"),
    ConnectionRefusedError(), TimeoutError(), MemoryError(), NoSpace("full"), Unavailable("later"), StoreLost("moved"),
]  # fmt: skip
PERMANENT = [
    KeyError("x"), TypeError("x"), ValueError("x"), AssertionError(), AttributeError(), RuntimeError(),
    RecursionError(), BadRequest("x"), FileNotFoundError(errno.ENOENT, "x"), PermissionError(errno.EACCES, "x"),
    NotADirectoryError(errno.ENOTDIR, "x"), sqlite_error(sqlite3.SQLITE_ERROR), sqlite_error(sqlite3.SQLITE_CORRUPT),
    sqlite_error(sqlite3.SQLITE_CONSTRAINT), UnicodeDecodeError("utf-8", b"", 0, 1, "x"),
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_an_error_that_passes_is_retried(error: Exception) -> None:
    assert passes(error)


@pytest.mark.parametrize("error", PERMANENT, ids=repr)
def test_an_error_that_does_not_pass_is_not_retried(error: Exception) -> None:
    assert not passes(error)


def test_a_repeated_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    backoff, log = Backoff(), logging.getLogger("taod.test")
    for error in (OSError("full"), OSError("full"), OSError("full"), KeyError("x"), OSError("full")):
        backoff.report(log, error, "it failed")
        backoff.next_s()
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["full", "'x'", "full"]
    backoff.reset()
    backoff.report(log, OSError("full"), "it failed")
    assert len(caplog.records) == 4
