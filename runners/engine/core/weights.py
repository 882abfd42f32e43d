"""Weights that a training starts from: of the engine, a state dict, safetensors, or a Hugging Face or timm folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.errors import CheckpointError
from taod.documents import Document

_IN_FOLDER = ("model.safetensors", "pytorch_model.bin", "*.safetensors", "*.bin", "*.pth", "*.pt")
_PREFIXES = ("module.", "model.", "backbone.", "encoder.", "neck.", "body.", "")


MOST_GROUPS = 8
"""Groups of tensors that a sentence names."""


class Loaded(msgspec.Struct, frozen=True):
    """What a model took over from a file."""

    count: int
    total: int
    """Tensors of the model."""
    left: dict[str, str]
    """Group of tensors of the model that the file did not fill → why: its module, or the tensor's own name."""

    def __str__(self) -> str:
        if not self.count:
            return "no weights fit; the model starts from random weights"
        said = f"{self.count} of {self.total} tensors loaded"
        if not self.left:
            return said
        named = [f"{name} ({why})" for name, why in [*self.left.items()][:MOST_GROUPS]]
        more = len(self.left) - len(named)
        return f"{said}; left out: {', '.join(named)}{f' and {more} more' if more else ''}"


def start(model: nn.Module, path: Path, field: str, *, strict: bool = True) -> Loaded:
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
    fitting, others = _fitting(own, content)
    if not any(own[name].ndim > 1 for name in fitting):
        if not strict:
            return Loaded(0, len(own), {})
        raise CheckpointError(f"{field} {path} has no weights that fit this backbone.")
    model.load_state_dict(fitting, strict=False)
    return Loaded(len(fitting), len(own), _left(own, fitting, others))


def _left(
    own: dict[str, torch.Tensor], fitting: dict[str, torch.Tensor], others: dict[str, torch.Size]
) -> dict[str, str]:
    """The groups that stay as they are, by the outermost module of which no tensor was filled."""
    filled = {".".join(parts[:depth]) for name in fitting for parts in [name.split(".")] for depth in range(len(parts))}
    groups: dict[str, list[str]] = {}
    for name in own:
        if name not in fitting:
            parts = name.split(".")
            starts = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
            groups.setdefault(next(start for start in starts if start not in filled), []).append(name)
    return {group: _why(names, own, others) for group, names in groups.items()}


def _why(names: list[str], own: dict[str, torch.Tensor], others: dict[str, torch.Size]) -> str:
    unlike = next((name for name in names if name in others), None)
    if unlike is None:
        return "not in the file"
    theirs, ours = ("x".join(map(str, shape)) or "1" for shape in (others[unlike], own[unlike].shape))
    return f"{theirs} in the file, {ours} here"


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = next((file for pattern in _IN_FOLDER for file in sorted(path.glob(pattern))), None)
    if found is None:
        raise CheckpointError(f"The folder {path} has no weights: {', '.join(_IN_FOLDER)}.")
    return found


def _fitting(own: dict[str, torch.Tensor], content: Document) -> tuple[dict[str, torch.Tensor], dict[str, torch.Size]]:
    """Own name → tensor, for names that are equal without their prefixes, and shapes that are equal; own name → the
    file's shape, where only the names are equal."""
    bare: dict[str, str] = {}
    for name in own:
        for each in _endings(name):
            bare.setdefault(each, name)
    fitting: dict[str, torch.Tensor] = {}
    others: dict[str, torch.Size] = {}
    for name, value in content.items():
        if not isinstance(value, torch.Tensor):
            continue
        for each in _endings(str(name)):
            mine = each if each in own else bare.get(each)
            if mine is None or mine in fitting:
                continue
            if own[mine].shape == value.shape:
                fitting[mine] = value
                break
            others.setdefault(mine, value.shape)
    return fitting, others


def _endings(name: str) -> list[str]:
    """The name, and what is left of it without the usual prefixes of wrappers, longest first."""
    found = [name]
    while True:
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        if not prefix:
            return found
        name = name.removeprefix(prefix)
        found.append(name)
