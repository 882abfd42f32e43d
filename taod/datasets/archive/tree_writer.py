"""Writes an archive's entries into one folder, never outside it: all rules about names, links and limits."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from taod.config import LimitsConfig
from taod.datasets.names import is_junk
from taod.datasets.upload.disk_quota import DiskQuota
from taod.datasets.upload.growing_file import Stopped
from taod.errors import BadRequest

RATIO_FROM = 64 * 1024**2
"""Unpacked bytes from which the ratio is checked: a small archive of masks or labels may shrink a thousandfold."""
NAME_BYTES = 255
PATH_BYTES = 1024
DEPTH = 64
PROGRESS_S = 0.1
ROOM_BYTES = 16 * 1024**2
"""Bytes after which the free space of the disk is checked again."""

_ODD = re.compile(r"^$|^/|/$|//|(?:^|/)\.|\0|__MACOSX|Thumbs\.db|desktop\.ini")
"""Names that need a full check. Most names need none, and there may be millions."""

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

Progress = Callable[[int, int], None]
"""Called with the files and bytes written so far."""
MoreThan = Callable[[int], int]
"""Waits until more than this number of bytes has been received, or all; returns the number of bytes received."""


class Tree:
    """A folder that is being filled with regular files and folders only; without symbolic links, no path leads out.

    `packed`: bytes of the archive received so far. `more_than` waits for more: an archive that is highly compressed at
    its beginning is rejected as a bomb only when its size is known. Methods raise BadRequest naming the entry, NoSpace,
    Stopped and OSError.
    """

    def __init__(
        self,
        into: Path,
        limits: LimitsConfig,
        packed: int,
        progress: Progress | None,
        cancel: threading.Event | None,
        *,
        more_than: MoreThan | None = None,
        quota: DiskQuota | None = None,
    ) -> None:
        self.files = 0
        self.bytes = 0
        self._entries = 0
        self._spent = 0
        self._base = f"{into}{os.sep}"
        self._limits = limits
        self._packed = packed
        self._more_than = more_than
        self._quota = quota
        self._unchecked = 0
        self._most = self._allowed()
        self._progress = progress
        self._cancel = cancel
        self._reported = 0.0
        self._folders = {""}
        # Hashes instead of names: a million files take 70 MB less. A hit is confirmed on disk.
        self._seen: set[int] = set()

    def folder(self, name: str) -> None:
        """Create a folder and its parents; existing ones are kept."""
        self._count(name)
        path = self._clean(name, empty=True)
        if path is not None:
            self._make(path, name)

    def file(self, name: str, size: int | None, pieces: Iterable[bytes | memoryview]) -> None:
        """Write a file with mode 0644 less the umask. `size`: as declared by the archive, checked before any write."""
        self._count(name)
        if size is not None:
            self._check_size(name, size)
        path = self._clean(name)
        if path is None:
            for piece in pieces:
                self.spend(len(piece), name)
            return
        self._create_parents(path, name)
        try:
            file = os.open(self._base + path, _CREATE, 0o644)
        except FileExistsError:
            raise self._duplicate_entry(name, path) from None
        try:
            for piece in pieces:
                self.spend(len(piece), name)
                written = os.write(file, piece)
                while written < len(piece):
                    written += os.write(file, piece[written:])
                self.bytes += written
                self._report()
        finally:
            os.close(file)
        self.files += 1

    def link(self, name: str, kind: str, target: str) -> None:
        """Create a hard link to the target of a link of either kind; the target must exist already.

        `target` is relative to the top for a hard link, to the link's folder for a symbolic one.
        """
        self._count(name)
        path = self._clean(name)
        if path is None:
            return
        remedy = "pack what it points to in its place (tar --dereference --hard-dereference)"
        if target.startswith("/"):
            raise BadRequest(f"archive entry {show(name)}: the {kind} points to {show(target)}, outside; {remedy}")
        start = path.rpartition("/")[0] if kind == "symbolic link" else ""
        aim = os.path.normpath(os.path.join(start, target))  # noqa: PTH118 (a name inside the archive, not a path here)
        if aim == ".." or aim.startswith("../"):
            raise BadRequest(f"archive entry {show(name)}: the {kind} points to {show(target)}, outside; {remedy}")
        try:
            plain = stat.S_ISREG(os.lstat(self._base + aim).st_mode)
        except (OSError, ValueError):
            plain = False
        if not plain:
            raise BadRequest(
                f"archive entry {show(name)}: the {kind} points to {show(target)}, "
                f"which is not a file that came before it in the archive; {remedy}"
            )
        self._create_parents(path, name)
        try:
            os.link(self._base + aim, self._base + path)
        except FileExistsError:
            raise self._duplicate_entry(name, path) from None
        except OSError as error:
            if error.errno in (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP):
                raise BadRequest(f"archive entry {show(name)}: {error.strerror}; {remedy}") from None
            raise
        self.files += 1
        self._report()

    def spend(self, size: int, name: str) -> None:
        """Count unpacked bytes against the limits; also checks the cancel event."""
        self._spent += size
        if self._spent > self._most:
            self._check_size(name, 0)
        self._unchecked += size
        if self._unchecked > ROOM_BYTES and self._quota is not None:
            self._unchecked = 0
            self._quota.check()
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped

    def report_progress(self) -> None:
        """Report progress at once, ignoring the rate limit: the archive may pause now."""
        if self._progress is not None:
            self._progress(self.files, self.bytes)

    def _count(self, name: str) -> None:
        self._entries += 1
        if self._entries > self._limits.archive_files:
            raise BadRequest(
                f"archive entry {show(name)}: the archive holds more than {self._limits.archive_files} entries; "
                "split it, or raise limits.archive_files"
            )
        if self._cancel is not None and self._cancel.is_set():
            raise Stopped

    def _allowed(self) -> int:
        return min(max(RATIO_FROM, int(self._limits.archive_ratio * self._packed)), self._limits.archive_bytes)

    def _check_size(self, name: str, size: int) -> None:
        """Reject `size` more bytes if they exceed the limits; the ratio only once enough bytes were received."""
        total = self._spent + size
        while total > self._most:
            if total <= self._limits.archive_bytes and self._more_than is not None:
                packed = self._more_than(self._packed)
                if packed > self._packed:
                    self._packed = packed
                    self._most = self._allowed()
                    continue
            self._reject_size(name, total)

    def _reject_size(self, name: str, total: int) -> None:
        if total > self._limits.archive_bytes:
            raise BadRequest(
                f"archive entry {show(name)}: with it the archive unpacks to {total} bytes or more, over the "
                f"{self._limits.archive_bytes} of limits.archive_bytes; split it, or raise that limit"
            )
        raise BadRequest(
            f"archive entry {show(name)}: with it the archive unpacks to {total} bytes or more, over "
            f"{self._limits.archive_ratio:g} times its own size of {self._packed}, as a decompression bomb does; "
            "if it is not one, pack it less tightly or raise limits.archive_ratio"
        )

    def _clean(self, name: str, *, empty: bool = False) -> str | None:
        """The name as a path below the top; None if the entry is skipped."""
        name = name.removeprefix("./")
        if len(name) <= NAME_BYTES // 4 and not _ODD.search(name):
            return name
        if not name and empty:
            return ""
        if not name or name.startswith("/") or "\0" in name:
            what = "an absolute name" if name.startswith("/") else "a name that no file can have"
            raise BadRequest(f"archive entry {show(name)} has {what}; {RELATIVE}")
        parts = name.split("/")
        if "" in parts or "." in parts:
            parts = [part for part in parts if part and part != "."]
        if ".." in parts:
            raise BadRequest(f"archive entry {show(name)} climbs out of the archive; {RELATIVE}")
        path = "/".join(parts)
        self._check_length(parts, path, name)
        if any(map(is_junk, parts)):
            return None
        if not path and not empty:
            raise BadRequest(f"archive entry {show(name)} has no name; {RELATIVE}")
        return path

    def _check_length(self, parts: list[str], path: str, name: str) -> None:
        if len(path.encode()) > PATH_BYTES or len(parts) > DEPTH or any(len(p.encode()) > NAME_BYTES for p in parts):
            raise BadRequest(
                f"archive entry {show(name)}: the name is too long ({NAME_BYTES} bytes a part, {PATH_BYTES} in all and "
                f"{DEPTH} folders deep at most); shorten it"
            )

    def _create_parents(self, path: str, name: str) -> None:
        """Create the parent folders. Raises BadRequest for a name that differs from an existing one only in case."""
        parent = path.rpartition("/")[0]
        if parent not in self._folders:
            self._make(parent, name)
        self._check_case(path, name)

    def _make(self, path: str, name: str) -> None:
        if path in self._folders:
            return
        parent = path.rpartition("/")[0]
        if parent not in self._folders:
            self._make(parent, name)
        self._check_case(path, name)
        try:
            os.mkdir(self._base + path, 0o755)  # noqa: PTH102 (pathlib is too slow for a million files)
        except FileExistsError:
            raise self._both(name) from None
        self._folders.add(path)

    def _check_case(self, path: str, name: str) -> None:
        key = hash(path.casefold())
        if key not in self._seen:
            self._seen.add(key)
            return
        parent, _, last = path.rpartition("/")
        for other in os.listdir(self._base + parent):  # noqa: PTH208
            if other != last and other.casefold() == last.casefold():
                raise BadRequest(
                    f"archive entry {show(name)} differs from {show(f'{parent}/{other}'.lstrip('/'))} in case only, "
                    "which not every file system can keep apart; rename one of them"
                )

    def _duplicate_entry(self, name: str, path: str) -> BadRequest:
        if path in self._folders:
            return self._both(name)
        return BadRequest(f"archive entry {show(name)} comes twice; pack the folder afresh, without appending")

    def _both(self, name: str) -> BadRequest:
        return BadRequest(f"archive entry {show(name)} is both a file and a folder; remove one of them")

    def _report(self) -> None:
        if self._progress is None:
            return
        now = time.monotonic()
        if now - self._reported >= PROGRESS_S:
            self._reported = now
            self._progress(self.files, self.bytes)


RELATIVE = "pack the folder with relative names (tar -C FOLDER -cf data.tar .)"


def show(name: str) -> str:
    """A name for a message: quoted, unprintable characters escaped, a long one shortened in its middle."""
    shown = name if len(name) <= 160 else f"{name[:80]}…{name[-60:]}"
    return repr(shown) if not shown.isprintable() or "'" in shown else f"'{shown}'"
