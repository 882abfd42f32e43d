"""The retry policy: which errors are transient (a full disk, a locked database, an engine that restarts), the delay
before the next attempt, and one log entry for a repeated error."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
from types import TracebackType

from taod.errors import NoSpace, Unavailable

FIRST_S = 0.5
LONGEST_S = 30.0


_PASSING_ERRNO = frozenset(
    {
        errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN,
        errno.EINTR, errno.EBUSY, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.EPIPE, errno.EROFS,
        errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENOTCONN, errno.ECONNABORTED,
    }
)  # fmt: skip
_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL,
    }
)  # fmt: skip
_PRIMARY = 0xFF


def passes(error: BaseException) -> bool:
    """Whether an error is transient, so that another attempt can succeed."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(error, sqlite3.OperationalError) if code is None else code & _PRIMARY in _PASSING_SQLITE
    if isinstance(error, Unavailable | NoSpace | ConnectionError | TimeoutError | MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno is None or error.errno in _PASSING_ERRNO
    return False


class Backoff:
    """Each delay is twice the previous one, up to a limit. For loops that wait and for timers of the event loop."""

    def __init__(self, first_s: float | None = None, longest_s: float = LONGEST_S) -> None:
        self._first_s = FIRST_S if first_s is None else first_s
        self._longest_s = longest_s
        self.failures = 0
        """Failed attempts since the last success."""
        self._reported: str | None = None

    def next_s(self) -> float:
        """Count a failure. Returns the seconds until the next attempt."""
        self.failures += 1
        return min(self._first_s * 2.0 ** (min(self.failures, 32) - 1), self._longest_s)

    async def wait(self) -> None:
        """Count a failure and wait until the next attempt."""
        await asyncio.sleep(self.next_s())

    def report(self, log: logging.Logger, error: BaseException, message: str, *arguments: object) -> None:
        """Log an error with its traceback, unless it equals the last one."""
        what = f"{type(error).__name__}: {error}"
        if what != self._reported:
            self._reported = what
            log.error(message, *arguments, exc_info=error)

    def passing(self, log: logging.Logger, message: str, *arguments: object) -> _Passing:
        """`with` it, an error that passes is caught and reported; any other one is raised."""
        return _Passing(self, log, message, arguments)

    def reset(self) -> None:
        """Reset the delay after a successful attempt."""
        self.failures = 0
        self._reported = None


class _Passing:
    """A block whose errors may pass."""

    def __init__(self, backoff: Backoff, log: logging.Logger, message: str, arguments: tuple[object, ...]) -> None:
        self._backoff, self._log, self._message, self._arguments = backoff, log, message, arguments

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception) or not passes(error):
            return False
        self._backoff.report(self._log, error, self._message, *self._arguments)
        return True
