"""Checkpoint files: written whole or not at all, read without running anything that is in them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from runners.engine.errors import CheckpointError

FORMAT = "taod-engine"
VERSION = 1
INTERRUPTED = "interrupted.ckpt"
"""Where a run that was asked to end in mid-epoch leaves its state. Its suffix is none of the suffixes of weights,
so that it is not taken for a finished epoch's."""
NAME = "epoch_{epoch}.pth"


def save(path: Path, content: dict[str, Any]) -> None:
    """Write beside, flush to disk, rename: a reader finds the old file or the new one, whole."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as file:
            torch.save({"format": FORMAT, "version": VERSION, **content}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load_any(path: Path) -> Any:
    """What a .pth (tensors and plain values only) or .safetensors file holds, on the CPU. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"The checkpoint {path} does not exist.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways, all of them meaning the same
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"The checkpoint {path} cannot be read, it is damaged or no such file: {reason}"
        ) from None


def load(path: Path) -> dict[str, Any]:
    """A checkpoint that the engine wrote. Raises CheckpointError."""
    content = load_any(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not a checkpoint of the engine: it was written by another tool.")
    if content["version"] > VERSION:
        raise CheckpointError(f"{path} was written by a newer engine (format {content['version']}); update taod.")
    return content


def epoch_path(folder: Path, epoch: int, name: str = NAME) -> Path:
    return folder / name.format(epoch=epoch)


def epochs(folder: Path, name: str = NAME) -> list[tuple[int, Path]]:
    """Finished epochs' checkpoints in a folder, newest first. `name` has the number as `{epoch}` or `{epoch:03d}`."""
    if not folder.is_dir():
        return []
    before, _, rest = name.partition("{epoch")
    pattern = re.compile(re.escape(before) + r"(\d+)" + re.escape(rest.partition("}")[2]))
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := pattern.fullmatch(path.name))]
    return sorted(found, reverse=True)


def prune(folder: Path, keep: int, name: str = NAME) -> None:
    """Delete all but the newest `keep` epochs' checkpoints; a negative number keeps all."""
    if keep >= 0:
        for _, path in epochs(folder, name)[max(1, keep) :]:
            path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete halves that a killed run left."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def set_aside(paths: list[Path]) -> list[Path]:
    """Move an earlier run's files to `earlier/` beside them, so that the highest epoch found is this run's. Nothing is
    deleted but what was moved there under the same name before. Returns where they are now."""
    for path in paths[:1]:
        (path.parent / "earlier").mkdir(exist_ok=True)
    return [path.replace(path.parent / "earlier" / path.name) for path in paths]
