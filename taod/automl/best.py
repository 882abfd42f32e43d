"""The files of a sweep: installs the best trial as `results/best_model`, copies and deletes checkpoints. Blocks."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from taod import atomic_file, plain_file
from taod.catalogue.commands import artifacts, placeholders
from taod.catalogue.network import Network
from taod.catalogue.specfiles import emit
from taod.paths import JobFolder

FOLDER = "best_model"
_CHECKPOINTS = (".tlt", ".hdf5", ".pth", ".ckpt", ".ckzip")
_STATUS = "status.json"


def install_best(
    network: Network, trial: JobFolder, sweep: JobFolder, scores: dict[int, float] | None = None
) -> Path | None:
    """Install the trial's checkpoint, other result files and specification in the sweep. Returns the checkpoint's path.

    Paths below `results/best_model` are those below the trial's results. Files are hard links, or copies if the file
    system has none; an earlier best model is replaced. `scores`: epoch → score, to choose the best checkpoint.
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


def copy_checkpoint(network: Network, source: JobFolder, trial: JobFolder) -> Path | None:
    """Copy another trial's last checkpoint into this trial's results. Returns its new path; None if there is none.

    A checkpoint may be a folder (unet) or have its optimizer state beside it (`.ckzip` of detectnet_v2).
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
    """Delete the checkpoints of a trial. Returns how many."""
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
        aside, descriptor = atomic_file.create_aside(target)
        with plain_file.binary(source) as old, os.fdopen(descriptor, "wb") as new:
            shutil.copyfileobj(old, new)
        aside.replace(target)
