"""Checks of a root for `taod doctor`: permissions, database, leftovers of runs and jobs; and their safe repairs."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from runners.processes import PROC, all_pids, marked_job
from store.copies import listed, newest_good
from store.inspect import Inspection, inspect
from taod.cli.support.check_result import CheckResult
from taod.ids import is_id
from taod.paths import Root

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
LISTED = 3
"""Items that a result lists by name."""


def examine_root(root: Root) -> Iterator[CheckResult]:
    """All checks of a root that exists."""
    yield _permissions(root)
    if not root.database.exists():
        yield CheckResult(True, "database", "not created yet")
        return
    known = inspect(root.database)
    yield _database(root, known)
    yield _backups(root)
    if known.damage:
        return
    served = is_served(root)
    yield _stale(root, served)
    yield _orphans(root, known, served)
    yield _strays(root, known, served)


def is_served(root: Root) -> bool:
    """Whether a daemon holds the root."""
    try:
        with root.lock_file.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _permissions(root: Root) -> CheckResult:
    """Files with tokens and keys must be readable by their owner only."""
    wide = []
    for path, mode in (
        (root.path, PRIVATE_FOLDER),
        (root.jobs, PRIVATE_FOLDER),
        (root.database, PRIVATE_FILE),
        (root.daemon_file, PRIVATE_FILE),
    ):
        try:
            if path.stat().st_mode & 0o077 & ~mode:
                wide.append((path, mode))
        except OSError:
            continue
    if not wide:
        return CheckResult(True, "access", "only the owner can read the root")
    names = ", ".join(str(path) for path, _ in wide)
    orders = "; ".join(f"chmod {mode:o} {path}" for path, mode in wide)
    return CheckResult(False, "access", f"other users can read {names}", orders, fix=partial(_restrict, wide))


def _restrict(wide: list[tuple[Path, int]]) -> str:
    for path, mode in wide:
        path.chmod(mode)
    return "made private"


def _database(root: Root, known: Inspection) -> CheckResult:
    if known.damage:
        more = f" and {len(known.damage) - 1} more" if len(known.damage) > 1 else ""
        copy = newest_good(root.backups)
        remedy = f"stop the daemon, keep a copy of {root.database}*, then `sqlite3 {root.database} .recover`"
        if copy is not None:
            remedy = f"stop the daemon, then `taod restore --root {root.path}` puts back {copy.name}"
        return CheckResult(False, "database", f"damaged: {known.damage[0]}{more}", remedy)
    if known.newer:
        found = f"written by a newer taod (with {', '.join(known.newer)})"
        return CheckResult(False, "database", found, "install that version, or choose another root")
    if known.stray_leases:
        devices = ", ".join(known.stray_leases)
        return CheckResult(
            False,
            "database",
            f"{devices} leased by a job that does not run",
            "this is a fault of taod: please report it",
        )
    size = root.database.stat().st_size / 1024**2
    return CheckResult(
        True, "database", f"intact, {size:.1f} MiB, {len(known.jobs)} jobs, {len(known.datasets)} datasets"
    )


def _backups(root: Root) -> CheckResult:
    found = listed(root.backups)
    good = newest_good(root.backups)
    if not found:
        return CheckResult(True, "backups", "no copy of the database yet; `taod backup` makes one")
    if good != found[0]:
        intact = f"the newest intact one is {good.name}" if good is not None else "none is intact"
        return CheckResult(False, "backups", f"{found[0]} is damaged; {intact}", f"taod backup --root {root.path}")
    return CheckResult(True, "backups", f"{len(found)}, the newest is {good.name}")


def _stale(root: Root, served: bool) -> CheckResult:
    if served or not root.daemon_file.exists():
        return CheckResult(True, "lock", "held by the daemon" if served else "free")
    remedy = f"rm {root.daemon_file} (the next `taod serve` also replaces it)"
    return CheckResult(
        False, "lock", "daemon.json belongs to a daemon that has died", remedy, fix=partial(_remove, root.daemon_file)
    )


def _remove(path: Path) -> str:
    path.unlink(missing_ok=True)
    return "removed"


def _orphans(root: Root, known: Inspection, served: bool) -> CheckResult:
    """Processes with a run's mark whose job has no device. Runs of other roots are ignored."""
    found = [(pid, job_id) for pid, job_id in marked(root) if not known.on_device(job_id)]
    if not found:
        return CheckResult(True, "orphans", "no process of an ended run is left")
    pids = [pid for pid, _ in found]
    listing = ", ".join(f"pid {pid} of job {job_id[:8]}" for pid, job_id in found[:LISTED])
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    remedy = f"kill -9 {' '.join(map(str, pids))}"
    if served:
        # A run may have started between reading the database and reading the processes.
        return CheckResult(False, "orphans", listing + more, f"run `taod doctor` again; if they remain: {remedy}")
    return CheckResult(False, "orphans", listing + more, remedy, fix=partial(_kill, root, dict(found)))


def marked(root: Root) -> Iterator[tuple[int, str]]:
    """Yield pid and job id of each living process of a run of this root."""
    for pid in all_pids():
        try:
            environ = (PROC / str(pid) / "environ").read_bytes()
            folder = (PROC / str(pid) / "cwd").readlink()
        except OSError:
            continue
        job_id = marked_job(environ)
        if job_id is not None and is_id(job_id) and (root.job(job_id).path.exists() or root.jobs in folder.parents):
            yield pid, job_id


def _kill(root: Root, found: dict[int, str]) -> str:
    """Kill the processes that still belong to the same jobs."""
    killed = 0
    for pid, job_id in marked(root):
        if found.get(pid) == job_id:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    return f"{killed} killed"


def _strays(root: Root, known: Inspection, served: bool) -> CheckResult:
    """Folders of jobs and datasets without a row in the database, left by a crash during a deletion."""
    strays = [
        path
        for folder, ids in (
            (root.jobs, known.jobs.keys()),
            (root.datasets, known.datasets),
            (root.reviews, known.datasets),
        )
        if folder.is_dir()
        for path in folder.iterdir()
        if is_id(path.name) and path.name not in ids
    ]
    if not strays:
        return CheckResult(True, "folders", "each folder belongs to a job or a dataset")
    names = ", ".join(str(path.relative_to(root.path)) for path in strays[:LISTED])
    more = f" and {len(strays) - LISTED} more" if len(strays) > LISTED else ""
    found = f"{names}{more}: without a job or dataset"
    remedy = f"inspect and delete them; --fix moves them to {root.stray}"
    if served:
        return CheckResult(False, "folders", found, f"{remedy} once the daemon has stopped")
    return CheckResult(False, "folders", found, remedy, fix=partial(_move, root, strays))


def _move(root: Root, strays: list[Path]) -> str:
    root.stray.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    for path in strays:
        path.rename(root.stray / f"{path.parent.name}-{path.name}")
    return f"{len(strays)} moved to {root.stray}"
