"""Masks secrets in log files in place: a run writes its log itself, so printed secrets are overwritten in the file.

The replacement is as long as the secret, so that offsets stay valid for the writer and for readers.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from taod import masking, plain_file

BLOCK = 1 << 20
SIGN = b"*"


class LogMask:
    """Keeps, for each log, the masked offset and the secrets."""

    def __init__(self) -> None:
        self._done: dict[Path, int] = {}
        self._secrets: dict[Path, set[bytes]] = {}

    def apply(self, path: Path, secrets: Iterable[str]) -> None:
        """Mask these secrets, and earlier ones of this log, in the bytes written since the last call."""
        known = self._secrets.setdefault(path, set())
        new = {secret.encode() for secret in secrets} - known
        known |= new
        if not known:
            return
        longest = max(map(len, known))
        start = 0 if new else self._done.get(path, 0)
        try:
            descriptor = plain_file.descriptor(path, os.O_RDWR | os.O_NOFOLLOW)
        except OSError as error:
            if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
                return  # no log, or a run replaced it by a link
            raise
        try:
            end = os.fstat(descriptor).st_size
            # a secret may have been written partly at the last call
            start = max(0, min(start, end) - longest)
            while start < end and (block := os.pread(descriptor, BLOCK + longest, start)):
                for secret in known:
                    _overwrite(descriptor, block, start, secret)
                start += min(BLOCK, len(block))
        finally:
            os.close(descriptor)
        self._done[path] = end

    def text(self, path: Path, text: str) -> str:
        """The text with the secrets of this log masked."""
        return masking.values(text, [secret.decode() for secret in self._secrets.get(path, ())])

    def forget(self, path: Path) -> None:
        """Drop the state of a log that has ended."""
        self._done.pop(path, None)
        self._secrets.pop(path, None)


def _overwrite(descriptor: int, block: bytes, start: int, secret: bytes) -> None:
    at = block.find(secret)
    while at >= 0:
        os.pwrite(descriptor, SIGN * len(secret), start + at)
        at = block.find(secret, at + len(secret))
