"""What a training checkpoint holds, how a run is put back to it, and which checkpoint a resumed run takes."""

from __future__ import annotations

import logging
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.errors import CheckpointError
from runners.engine.networks.classification_pyt.models import Architecture
from runners.engine.networks.classification_pyt.trainer import Trainer

log = logging.getLogger("engine")


class Progress(msgspec.Struct):
    """How far a run is: `epoch` (from 1) is under way, `step` of its steps are done."""

    epoch: int = 1
    step: int = 0
    seen: int = 0
    """Images of this epoch."""
    seconds: float = 0.0
    """Time spent on this epoch, over all attempts."""


class Frame(msgspec.Struct, frozen=True):
    """What stays the same all through a run and is kept in each of its checkpoints."""

    architecture: Architecture
    classes: list[str]
    mean: list[float]
    std: list[float]
    pipeline: list[dict[str, Any]]
    """Entries that bring val and test images to the model's size."""
    optimizer: str
    data: dict[str, Any]
    """Digest of the images, batch size, seed: a position within an epoch means something only where all agree."""
    spec: dict[str, Any]


def capture(trainer: Trainer, frame: Frame, progress: Progress) -> dict[str, Any]:
    """Everything that the run depends on from here, in tensors and plain values."""
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert isinstance(keys, np.ndarray)
    return {
        "network": "classification_pyt",
        "frame": msgspec.to_builtins(frame),
        "progress": msgspec.to_builtins(progress),
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimiser.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "tally": trainer.tally.cpu(),
        "rng": {
            "python": random.getstate(),
            "numpy": ["MT19937", torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if trainer.device.type == "cuda" else [],
        },
    }


def restore(trainer: Trainer, frame: Frame, content: dict[str, Any], path: Path) -> Progress:
    """Put the run back to a checkpoint. Raises CheckpointError where it was made for another model or classes."""
    check_fits(frame, content, path)
    trainer.model.load_state_dict(content["model"])
    trainer.optimiser.load_state_dict(content["optimizer"])
    if content["scaler"] and trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(content["scaler"])
    trainer.tally.copy_(content["tally"])
    _restore_rng(content["rng"], trainer.device)
    progress = msgspec.convert(content["progress"], Progress)
    if progress.step and content["frame"]["data"] != frame.data:
        log.warning("Images, batch size or seed differ from those of %s: epoch %d starts over", path, progress.epoch)
        trainer.clear()
        progress = Progress(epoch=progress.epoch)
    return progress


def _restore_rng(rng: dict[str, Any], device: torch.device) -> None:
    version, numbers, gauss = rng["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = rng["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(rng["torch"])
    if device.type == "cuda" and len(rng["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(rng["cuda"])


def check_fits(frame: Frame, content: dict[str, Any], path: Path) -> None:
    """Raise CheckpointError naming the first difference that makes going on impossible."""
    theirs, mine = content["frame"], msgspec.to_builtins(frame)
    pairs = [(key, theirs[key], mine[key]) for key in ("classes", "optimizer")]
    pairs += [(key, theirs["architecture"][key], mine["architecture"][key]) for key in mine["architecture"]]
    for key, old, new in pairs:
        if old != new:
            raise CheckpointError(f"{path} cannot be resumed: its {key} is {old}, the spec's {new}.")


def choose(explicit: Path | None, folder: Path, frame: Frame) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint that a run continues from, or None for a fresh start.

    `explicit` is what the spec names: a checkpoint, or a folder of them; where it is damaged, the newest whole one
    before it. A mid-epoch state beside it, or in `folder` (this run's own), is taken where it is further. Raises
    CheckpointError if a checkpoint is named and none can be read.
    """
    found = _named(explicit) if explicit is not None else None
    home = (explicit if explicit.is_dir() else explicit.parent) if explicit is not None else folder
    newest = next((path for _, path in checkpoint.epochs(home)), None)
    older_wanted = explicit is not None and explicit.is_file() and newest not in (None, explicit)
    for path in dict.fromkeys((home / checkpoint.INTERRUPTED, folder / checkpoint.INTERRUPTED)):
        if not path.is_file() or older_wanted:
            continue
        try:
            content = checkpoint.load(path)
            check_fits(frame, content, path)
        except CheckpointError as error:
            log.warning("The mid-epoch state is left aside. %s", error)
            continue
        if found is None or _position(content) > _position(found[1]):
            found = path, content
    return found


def _named(explicit: Path) -> tuple[Path, dict[str, Any]]:
    folder = explicit if explicit.is_dir() else explicit.parent
    there = checkpoint.epochs(folder)
    if not explicit.is_dir():
        if not explicit.is_file():
            raise CheckpointError(f"train.train_config.resume_training_checkpoint_path {explicit} does not exist.")
        number = next((epoch for epoch, path in there if path == explicit), None)
        there = [(0, explicit)] + [(epoch, path) for epoch, path in there if number is None or epoch < number]
    problems = []
    for _, path in there:
        try:
            content = checkpoint.load(path)
        except CheckpointError as error:
            log.warning("%s", error)
            problems.append(str(error))
            continue
        if problems:
            log.warning("Falling back to %s, the newest checkpoint that is whole", path)
        return path, content
    raise CheckpointError(f"There is no checkpoint in {folder} that can be resumed. {' '.join(problems[:1])}".rstrip())


def _position(content: dict[str, Any]) -> tuple[int, int]:
    return content["progress"]["epoch"], content["progress"]["step"]


def start_weights(model: nn.Module, path: Path) -> str:
    """Copy in the weights of a file that fit by name and shape (another head may not); returns what was taken.

    Raises CheckpointError if none fit.
    """
    content = checkpoint.load_any(path)
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"model.init_cfg.checkpoint {path} holds no named weights.")
    own = model.state_dict()
    fitting = {}
    for name, value in content.items():
        for candidate in (name.removeprefix("module."), f"model.{name.removeprefix('module.')}"):
            if candidate in own and isinstance(value, torch.Tensor) and own[candidate].shape == value.shape:
                fitting[candidate] = value
                break
    if not any(own[name].ndim > 1 for name in fitting):
        raise CheckpointError(f"model.init_cfg.checkpoint {path} has no weights that fit this backbone.")
    model.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} of {len(own)} tensors"
