"""Linked folders: checks that a local folder may be linked, and summarises it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from store.records import DatasetRecord
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest
from taod.paths import Root
from taod.types.dataset import DatasetSummary


def link(root: Root, dataset: DatasetRecord, path: str, allowed_roots: list[Path]) -> DatasetSummary:
    """Check and summarise a local folder that is used in place and never changed. Blocks: run in a thread.

    Raises BadRequest if it is not a folder, lies outside `allowed_roots` or in the daemon's root, or its layout does
    not match the dataset's type and format.
    """
    try:
        given = Path(path).expanduser()
        folder = given.resolve()
        roots = [each.expanduser().resolve() for each in allowed_roots]
    except (OSError, RuntimeError, ValueError) as error:
        raise BadRequest(f"path {path!r} is not usable: {error}; give an absolute path") from None
    if not given.is_absolute():
        raise BadRequest(f"path {path!r} is relative; give an absolute path")
    # Checked first, so that errors reveal nothing about folders outside.
    if not any(folder.is_relative_to(each) for each in roots):
        listed = ", ".join(str(each) for each in roots) or "none"
        raise BadRequest(
            f"path {path!r} lies outside the folders that may be linked ({listed}); "
            "move it there, or add its folder to storage.link_roots"
        )
    own = root.path.resolve()
    if folder.is_relative_to(own) or own.is_relative_to(folder):
        raise BadRequest(f"path {path!r} overlaps the daemon's own folder {own}; link a folder apart from it")
    if not folder.is_dir():
        raise BadRequest(
            f"path {path!r} is not a folder on the daemon's machine; unpack the dataset and link its folder"
        )
    try:
        if (leaving := _leaving(folder, roots, own)) is not None:
            raise BadRequest(
                f"path {path!r} holds {str(leaving)!r}, a symbolic link out of the folders that may be linked; "
                "copy what it leads to, or add that folder to storage.link_roots"
            )
        top = check(folder, dataset.type, dataset.format)
        summary = summarise(top, dataset.type, dataset.format)
    except OSError as error:
        raise BadRequest(
            f"path {path!r} cannot be read: {error.filename}: {error.strerror}; let the daemon's user read it"
        ) from None
    return msgspec.structs.replace(summary, state="linked", path=str(top))


def _leaving(folder: Path, roots: list[Path], own: Path) -> Path | None:
    """The first symbolic link in the folder that leads out of `roots` or into the daemon's root; None without one."""
    below = [folder]
    while below:
        with os.scandir(below.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    try:
                        target = Path(entry.path).resolve()
                    except (OSError, RuntimeError):
                        continue  # a loop of links
                    if target.is_relative_to(own) or not any(target.is_relative_to(root) for root in roots):
                        return Path(entry.path)
                elif entry.is_dir():
                    below.append(Path(entry.path))
    return None
