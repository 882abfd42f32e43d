"""Weights that a training starts from: of the engine, a state dict, safetensors, or a Hugging Face or timm folder."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.errors import CheckpointError
from taod.documents import Document

_IN_FOLDER = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.bin", "*.pth", "*.pt")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "neck.", "body.", "")


def start(model: nn.Module, path: Path, field: str, *, strict: bool = True) -> str:
    """Copy in the weights of a file that fit by name and shape (another head may not); returns what was taken.

    Raises CheckpointError if none fit.
    """
    content = checkpoint.load_any(_file(path))
    for key in ("average", "model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise CheckpointError(f"{field} {path} holds no named weights.")
    own = model.state_dict()
    fitting = _fitting(own, content)
    if not any(own[name].ndim > 1 for name in fitting):
        if not strict:
            return "no weights fit; the model starts from random weights"
        raise CheckpointError(f"{field} {path} has no weights that fit this backbone.")
    model.load_state_dict(fitting, strict=False)
    return f"{len(fitting)} of {len(own)} tensors"


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = next((file for pattern in _IN_FOLDER for file in sorted(path.glob(pattern))), None)
    if found is None:
        raise CheckpointError(f"The folder {path} has no weights: {', '.join(_IN_FOLDER)}.")
    return found


def _fitting(own: dict[str, torch.Tensor], content: Document) -> dict[str, torch.Tensor]:
    """Own name → tensor, for names that are equal without their prefixes, and shapes that are equal."""
    bare: dict[str, str] = {}
    for name in own:
        for each in _endings(name):
            bare.setdefault(each, name)
    fitting: dict[str, torch.Tensor] = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        for each in _endings(str(name)):
            mine = each if each in own else bare.get(each)
            if mine is not None and mine not in fitting and own[mine].shape == value.shape:
                fitting[mine] = value
                break
    return fitting


def _endings(name: str) -> list[str]:
    """The name, and what is left of it without the usual prefixes of wrappers, longest first."""
    found = [name]
    while True:
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        if not prefix:
            return found
        name = name.removeprefix(prefix)
        found.append(name)
