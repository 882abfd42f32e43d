"""The files of a sweep: the best trial's as `results/best_model`, and deletion of unneeded checkpoints.

Blocking; to be called in a thread.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from taod.catalogue.commands import artifacts, placeholders
from taod.catalogue.network import Network
from taod.catalogue.specfiles import emit
from taod.paths import JobFolder

FOLDER = "best_model"
_CHECKPOINTS = (".tlt", ".hdf5", ".pth", ".ckpt", ".ckzip")
_STATUS = "status.json"


def place(network: Network, trial: JobFolder, sweep: JobFolder, scores: dict[int, float] | None = None) -> Path | None:
    """Give the sweep the trial's checkpoint, its other result files and its specification; the checkpoint's new path.

    The checkpoint lies below `results/best_model` where it lay below the trial's results. Files are linked where the
    file system can, else copied; an earlier best is replaced. `scores`: which epoch's checkpoint is wanted.
    """
    checkpoint = artifacts.weights(network, "train", trial.results, scores)
    aside = sweep.results / f".{FOLDER}.new"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    for path in sorted(trial.results.rglob("*")):
        wanted = path == checkpoint or (path.suffix not in _CHECKPOINTS and not path.name.startswith("."))
        if path.is_file() and not path.is_symlink() and wanted and path.name != _STATUS:
            _link(path, aside / path.relative_to(trial.results))
    target = sweep.results / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    aside.replace(target)
    name = f"{placeholders.SPEC_NAME}{emit.SUFFIXES[network.spec_format]}"
    if (trial.path / name).is_file():
        _link(trial.path / name, sweep.path / name)
    return None if checkpoint is None else target / checkpoint.relative_to(trial.results)


def begin_with(network: Network, source: JobFolder, trial: JobFolder) -> Path | None:
    """Copy another trial's last checkpoint to where this one looks for its own; its new path.

    A checkpoint may be a folder (unet), or have its optimizer's state beside it (`.ckzip` of detectnet_v2).
    """
    checkpoint = artifacts.resume(network, "train", source.results)
    if checkpoint is None:
        return None
    parts = [checkpoint, *checkpoint.rglob("*"), *checkpoint.parent.glob(f"{checkpoint.stem}.*")]
    for part in parts:
        if part.is_file():
            _link(part, trial.results / part.relative_to(source.results))
    return trial.results / checkpoint.relative_to(source.results)


def clear(trial: JobFolder) -> int:
    """Delete the checkpoints of a trial; how many there were."""
    found = [path for path in trial.results.rglob("*") if path.suffix in _CHECKPOINTS and path.is_file()]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        aside = target.with_name(f".{target.name}.new")
        shutil.copy2(source, aside)
        aside.replace(target)
