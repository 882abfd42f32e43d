"""Replaces a dataset's folder atomically: a crash at any instant leaves the old or the new data, never a mix."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from pathlib import Path

import msgspec

from taod import atomic_file
from taod.ids import is_id, new_id
from taod.paths import Root
from taod.types.dataset import DatasetSummary

OLD = "old-"
"""`incoming/old-<dataset id>`: old data; `repair` restores it if the dataset's folder is missing."""
TRASH = "trash-"
NOTE = "note-"
"""`incoming/note-<dataset id>`: the inode of the new folder and the summary to record in the store."""


class _ReplaceRecord(msgspec.Struct):
    inode: int
    summary: DatasetSummary


def replace(root: Root, dataset_id: str, new: Path, summary: DatasetSummary | None = None) -> Path | None:
    """Move the folder `new` to the dataset's path. Returns the path of the old data, to be deleted; None without any.

    With a `summary` a note is written for a crash between this call and the recording: `noted` reads it, `recorded`
    deletes it.

    1. the new files are flushed to disk, the note is written; 2. the old folder is renamed to `old-<id>`; 3. the new
    one is renamed in; 4. the old one is renamed to a trash name. After a crash before 3, `repair` restores the old
    one; after 3, the new one stays. Raises OSError, with the old data in place.
    Blocks: run in a thread.
    """
    place = root.dataset(dataset_id)
    aside = root.incoming / f"{OLD}{dataset_id}"
    _flush(new)
    if summary is not None:
        atomic_file.write(_note(root, dataset_id), msgspec.json.encode(_ReplaceRecord(new.stat().st_ino, summary)))
    had = place.exists()
    if had:
        place.rename(aside)
        _flush_folder(root.incoming)
    try:
        new.rename(place)
    except OSError:
        if had:
            aside.rename(place)
        recorded(root, dataset_id)
        raise
    _flush_folder(root.datasets)
    if not had:
        return None
    trash = _trash(root)
    aside.rename(trash)
    return trash


def repair(root: Root) -> list[str]:
    """Finish or undo replacements that a crash interrupted; then the rest of `incoming` may be deleted later.

    Returns the ids of datasets whose old data was restored. Call at start, before any upload.
    """
    restored = []
    for aside in sorted(root.incoming.glob(f"{OLD}*")):
        dataset_id = aside.name.removeprefix(OLD)
        if is_id(dataset_id) and not root.dataset(dataset_id).exists():
            aside.rename(root.dataset(dataset_id))
            restored.append(dataset_id)
        else:
            aside.rename(_trash(root))
    if restored:
        _flush_folder(root.datasets)
    return restored


def set_aside(root: Root, dataset_id: str) -> Path | None:
    """Rename the dataset's folder to a trash name. Returns the new path, to be deleted; None without a folder."""
    trash = _trash(root)
    try:
        root.dataset(dataset_id).rename(trash)
    except FileNotFoundError:
        return None
    return trash


def noted(root: Root) -> dict[str, DatasetSummary]:
    """Summaries of datasets whose new data is in place but possibly not recorded; deletes other notes.

    Call after `repair`.
    """
    found = {}
    for file in root.incoming.glob(f"{NOTE}*"):
        dataset_id = file.name.removeprefix(NOTE)
        try:
            note = msgspec.json.decode(file.read_bytes(), type=_ReplaceRecord)
            in_place = is_id(dataset_id) and root.dataset(dataset_id).stat().st_ino == note.inode
        except (OSError, msgspec.DecodeError):
            in_place = False
        if in_place:
            found[dataset_id] = note.summary
        else:
            delete(file)
    return found


def recorded(root: Root, dataset_id: str) -> None:
    """Delete the note: the store has the new data's summary."""
    delete(_note(root, dataset_id))


def delete(path: Path) -> None:
    """Delete a folder or a file; what cannot be deleted stays until the next start."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _note(root: Root, dataset_id: str) -> Path:
    return root.incoming / f"{NOTE}{dataset_id}"


def _trash(root: Root) -> Path:
    return root.incoming / f"{TRASH}{new_id()}"


def _flush(folder: Path) -> None:
    """Flush the folder's file system to disk: one call instead of one for each file."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(handle) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(handle)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
