"""Runs a trained model on images, from a checkpoint (torch) or an ONNX file (onnxruntime), behind one face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.errors import CheckpointError
from runners.engine.interrupt import Interrupt
from runners.engine.networks.classification_pyt import models
from runners.engine.networks.classification_pyt.loading import Batch, Feed
from runners.engine.networks.classification_pyt.models import Architecture, layout, normalise

Logits = Callable[[torch.Tensor], np.ndarray]


class Predictor(msgspec.Struct, frozen=True):
    """A model ready to be asked. `logits`: uint8 [n, height, width, 3] → float32 [n, classes]."""

    source: Path
    classes: list[str]
    mean: list[float]
    std: list[float]
    size: tuple[int, int]
    pipeline: list[dict[str, Any]]
    logits: Logits

    def over(self, feed: Feed, interrupt: Interrupt) -> Iterator[tuple[Batch, np.ndarray]]:
        """Each batch with its logits; ends early, by Interrupted, where the run was asked to end."""
        for batch in feed.epoch():
            interrupt.check()
            empty = not batch.indices
            yield batch, np.zeros((0, len(self.classes)), np.float32) if empty else self.logits(batch.pixels)


def load(path: str | None, field: str, device: torch.device) -> Predictor:
    """The predictor of a .pth checkpoint or an .onnx file. Raises CheckpointError; `field` is the spec's."""
    if not path:
        raise CheckpointError(f"{field} is not set: train first, or run it on a finished train or export job.")
    source = Path(path)
    if source.suffix == ".onnx":
        return _from_onnx(source, device)
    if source.suffix != ".pth":
        raise CheckpointError(f"{field} {source} is neither .pth nor .onnx, which is what the engine can run.")
    return from_checkpoint(source, device)[0]


def from_checkpoint(source: Path, device: torch.device) -> tuple[Predictor, nn.Module]:
    """The predictor of a checkpoint, and its model."""
    content = checkpoint.load(source)
    if content.get("network") != "classification_pyt":
        raise CheckpointError(f"{source} is a checkpoint of {content.get('network')}, not of classification_pyt.")
    frame = content["frame"]
    architecture = msgspec.convert(frame["architecture"], Architecture)
    model = models.build(architecture)
    model.load_state_dict(content["model"])
    size = (architecture.height, architecture.width)
    logits = torch_logits(model, frame["mean"], frame["std"], device)
    found = Predictor(source, frame["classes"], frame["mean"], frame["std"], size, frame["pipeline"], logits)
    return found, model


def torch_logits(model: nn.Module, mean: list[float], std: list[float], device: torch.device) -> Logits:
    """The model as a function, in eval mode while it is asked."""
    model.to(device, memory_format=layout(device))  # type: ignore[call-overload]
    shift, scale = (torch.tensor(part, device=device).view(1, 3, 1, 1) for part in (mean, std))

    @torch.inference_mode()
    def ask(pixels: torch.Tensor) -> np.ndarray:
        was_training = model.training
        model.eval()
        found: np.ndarray = model(normalise(pixels.to(device, non_blocking=True), shift, scale)).float().cpu().numpy()
        model.train(was_training)
        return found

    return ask


def _from_onnx(source: Path, device: torch.device) -> Predictor:
    import onnxruntime

    if not source.is_file():
        raise CheckpointError(f"The model {source} does not exist.")
    wanted = ["CUDAExecutionProvider"] if device.type == "cuda" else []
    providers = [name for name in [*wanted, "CPUExecutionProvider"] if name in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(source), options, providers=providers)
    except Exception as error:  # onnxruntime has an exception of its own for each way a file may be wrong
        raise CheckpointError(f"The model {source} cannot be read: {str(error).splitlines()[0][:200]}") from None
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        about = {
            key: msgspec.json.decode(metadata[key]) for key in ("classes", "mean", "std", "input_size", "pipeline")
        }
    except (KeyError, msgspec.DecodeError):
        raise CheckpointError(
            f"{source} lacks the metadata that the engine's export writes (classes, mean …)."
        ) from None
    name = session.get_inputs()[0].name
    shift, scale = (torch.tensor(about[key]).view(1, 3, 1, 1) for key in ("mean", "std"))

    def ask(pixels: torch.Tensor) -> np.ndarray:
        logits: np.ndarray = session.run(None, {name: normalise(pixels, shift, scale).numpy()})[0]
        return logits

    size = (int(about["input_size"][0]), int(about["input_size"][1]))
    return Predictor(source, about["classes"], about["mean"], about["std"], size, about["pipeline"], ask)
