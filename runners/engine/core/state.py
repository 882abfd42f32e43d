"""What a training checkpoint holds, how a run is put back to it, and which checkpoint a resumed run takes."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import msgspec
import numpy as np
import torch

from runners.engine import checkpoint
from runners.engine.core.network import Frame
from runners.engine.core.trainer import Trainer
from runners.engine.errors import CheckpointError
from taod.documents import Document

log = logging.getLogger("engine")


class Progress(msgspec.Struct):
    """How far a run is: `epoch` (from 1) is under way, `step` of its steps are done."""

    epoch: int = 1
    step: int = 0
    seen: int = 0
    """Images of this epoch."""
    seconds: float = 0.0
    """Time spent on this epoch, over all attempts."""
    best: float | None = None
    """The best value of the metric that ends the training early."""
    waited: int = 0
    """Validations since."""


def capture(trainer: Trainer, network: str, frame: Frame, progress: Progress) -> Document:
    """Everything that the run depends on from here, in tensors and plain values."""
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    assert isinstance(keys, np.ndarray)
    average = {} if trainer.average is None else {"average": trainer.average.state_dict()}
    return {
        "network": network,
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
        **average,
    }


def restore(trainer: Trainer, frame: Frame, content: Document, path: Path) -> Progress:
    """Put the run back to a checkpoint. Raises CheckpointError where it was made for another model or classes."""
    check_fits(frame, content, path)
    trainer.model.load_state_dict(content["model"])
    trainer.optimiser.load_state_dict(content["optimizer"])
    if content["scaler"] and trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(content["scaler"])
    if trainer.average is not None and "average" in content:
        trainer.average.load_state_dict(content["average"])
    trainer.tally = content["tally"].to(trainer.device).clone()
    _restore_rng(content["rng"], trainer.device)
    progress = msgspec.convert(content["progress"], Progress)
    if progress.step and content["frame"]["data"] != frame.data:
        log.warning("Images, batch size or seed differ from those of %s: epoch %d starts over", path, progress.epoch)
        trainer.clear()
        progress = Progress(epoch=progress.epoch, best=progress.best, waited=progress.waited)
    return progress


def _restore_rng(rng: Document, device: torch.device) -> None:
    version, numbers, gauss = rng["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = rng["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(rng["torch"])
    if device.type == "cuda" and len(rng["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(rng["cuda"])


def check_fits(frame: Frame, content: Document, path: Path) -> None:
    """Raise CheckpointError naming the first difference that makes going on impossible."""
    try:
        theirs = msgspec.convert(content["frame"], type(frame)).fixed()
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{path} cannot be resumed: it is of another network ({error}).") from None
    for key, mine in frame.fixed().items():
        if theirs[key] != mine:
            raise CheckpointError(f"{path} cannot be resumed: its {key} is {theirs[key]}, the spec's {mine}.")


class CheckpointFolder(msgspec.Struct, frozen=True):
    """Where a run's checkpoints are, and how they are called."""

    folder: Path
    name: str = checkpoint.NAME
    field: str = "the checkpoint to resume from"

    @classmethod
    def below(cls, results: Path, name: str, field: str = "the checkpoint to resume from") -> CheckpointFolder:
        """`name`: a network's `checkpoint_name`."""
        place = results / name
        return cls(place.parent, place.name, field)

    @property
    def interrupted(self) -> Path:
        return self.folder / checkpoint.INTERRUPTED

    def path(self, number: int) -> Path:
        return checkpoint.epoch_path(self.folder, number, self.name)

    def epochs(self, folder: Path | None = None) -> list[tuple[int, Path]]:
        return checkpoint.epochs(folder or self.folder, self.name)


def choose_checkpoint(explicit: Path | None, home: CheckpointFolder, frame: Frame) -> tuple[Path, Document] | None:
    """The checkpoint that a run continues from, or None for a fresh start.

    `explicit` is what the spec names: a checkpoint, or a folder of them; where it is damaged, the newest whole one
    before it. A mid-epoch state beside it, or in `home` (this run's own), is taken where it is further. Raises
    CheckpointError if a checkpoint is named and none can be read.
    """
    found = _named(explicit, home) if explicit is not None else None
    folder = (explicit if explicit.is_dir() else explicit.parent) if explicit is not None else home.folder
    newest = next((path for _, path in home.epochs(folder)), None)
    older_wanted = explicit is not None and explicit.is_file() and newest not in (None, explicit)
    for path in dict.fromkeys((folder / checkpoint.INTERRUPTED, home.interrupted)):
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


def _named(explicit: Path, home: CheckpointFolder) -> tuple[Path, Document]:
    folder = explicit if explicit.is_dir() else explicit.parent
    there = home.epochs(folder)
    if not explicit.is_dir():
        if not explicit.is_file():
            raise CheckpointError(f"{home.field} {explicit} does not exist.")
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


def _position(content: Document) -> tuple[int, int]:
    return content["progress"]["epoch"], content["progress"]["step"]


def resume_or_start(named: str | None, home: CheckpointFolder) -> tuple[str | None, str | None]:
    """(checkpoint to resume from, weights to start from) where the tool has no parameter for the former: it looks for
    the run's own checkpoints, and starts from `named` where there are none."""
    newest = next((str(path) for _, path in home.epochs()), None)
    return newest, named if newest is None else None
