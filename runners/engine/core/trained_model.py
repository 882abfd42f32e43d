"""A trained model to ask, from a checkpoint (torch) or an ONNX file (onnxruntime), behind one function."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Generic

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine import checkpoint
from runners.engine.core import pruning
from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import Arrays, F, Network, S, T
from runners.engine.core.pixels import layout, to_device
from runners.engine.errors import CheckpointError
from runners.engine.spec import convert
from taod.documents import Document

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

FRAME = "frame"
"""Where the metadata of an ONNX file keep what its model was trained with."""


class TrainedModel(msgspec.Struct, Generic[S, F, T], frozen=True):
    """A model ready to be asked. `ask`: a batch's data → the arrays of `output_names`."""

    source: Path
    frame: F
    predict: Callable[[T], Arrays]


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def open_for_action(run: Run, network: Network[S, F, T]) -> tuple[S, TrainedModel[S, F, T], BatchLoader[T]]:
    """What evaluate and inference start with: the specification, its model, and the data to ask it of."""
    spec = convert(run.document, network.spec_type)
    model = load(network, spec, run.action)
    log.info("%s: %d classes", model.source, len(model.frame.classes))
    samples, batch_size, workers = network.samples(spec, model.frame, run.action)
    return spec, model, BatchLoader(samples, batch=batch_size, workers=workers)


def load(network: Network[S, F, T], spec: S, action: str) -> TrainedModel[S, F, T]:
    """The model that an action reads. Raises CheckpointError naming the parameter."""
    path, field = network.checkpoint(spec, action)
    if not path:
        raise CheckpointError(f"{field} is not set: train first, or run it on a finished train or export job.")
    source = Path(path)
    if source.suffix == ".onnx":
        return load_onnx(network, source)
    if source.suffix != ".pth":
        raise CheckpointError(f"{field} {source} is neither .pth nor .onnx, which is what the engine can run.")
    frame, model = from_checkpoint(network, source)
    return TrainedModel(source, frame, predictor(network, spec, frame, model, device()))


def from_checkpoint(network: Network[S, F, T], source: Path) -> tuple[F, nn.Module]:
    """The frame and the model of a checkpoint; the moving average of the weights where it has one."""
    content = checkpoint.load(source)
    frame = frame_of_checkpoint(network, source, content)
    model = pruning.reshape(network.build(frame), frame.pruned)
    state = content["model"]
    if "average" in content:
        prefix = "module."
        averaged = content["average"].items()
        state = {name.removeprefix(prefix): value for name, value in averaged if name.startswith(prefix)}
    model.load_state_dict(state)
    return frame, model


def frame_of_checkpoint(network: Network[S, F, T], source: Path, content: Document) -> F:
    if content.get("network") != network.name:
        raise CheckpointError(f"{source} is a checkpoint of {content.get('network')}, not of {network.name}.")
    return msgspec.convert(content["frame"], network.frame_type)


def predictor(
    network: Network[S, F, T], spec: S, frame: F, model: nn.Module, on: torch.device
) -> Callable[[T], Arrays]:
    """The model as a function, in eval mode while it is asked."""
    model.to(on, memory_format=layout(on))  # type: ignore[call-overload]
    deployed = network.deployed(model, frame, spec)

    @torch.inference_mode()
    def ask(data: T) -> Arrays:
        was_training = model.training
        deployed.eval()
        outputs = deployed(*network.inputs(to_device(data, on), frame))
        if isinstance(outputs, torch.Tensor):
            outputs = (outputs,)
        found = [part.float().cpu().numpy() if part.is_floating_point() else part.cpu().numpy() for part in outputs]
        model.train(was_training)
        return found

    return ask


def load_onnx(network: Network[S, F, T], source: Path) -> TrainedModel[S, F, T]:
    import onnxruntime

    if not source.is_file():
        raise CheckpointError(f"The model {source} does not exist.")
    wanted = ["CUDAExecutionProvider"] if torch.cuda.is_available() else []
    providers = [name for name in [*wanted, "CPUExecutionProvider"] if name in onnxruntime.get_available_providers()]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(source), options, providers=providers)
    except Exception as error:  # onnxruntime has an exception of its own for each way a file may be wrong
        raise CheckpointError(f"The model {source} cannot be read: {str(error).splitlines()[0][:200]}") from None
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    frame = frame_of_onnx(network, source, metadata)
    names = [given.name for given in session.get_inputs()]

    def ask(data: T) -> Arrays:
        given = {name: part.numpy() for name, part in zip(names, network.inputs(data, frame), strict=True)}
        found: Arrays = [np.asarray(part) for part in session.run(None, given)]
        return found

    return TrainedModel(source, frame, ask)


def frame_of_onnx(network: Network[S, F, T], source: Path, metadata: dict[str, str]) -> F:
    if metadata.get("network", network.name) != network.name:
        raise CheckpointError(f"{source} is a model of {metadata['network']}, not of {network.name}.")
    try:
        if FRAME in metadata:
            return msgspec.json.decode(metadata[FRAME], type=network.frame_type)
        found = network.frame_of_metadata({key: msgspec.Raw(value.encode()) for key, value in metadata.items()})
    except (KeyError, msgspec.DecodeError) as error:
        raise CheckpointError(
            f"{source} lacks the metadata that the engine's export writes (classes, mean …): {error}."
        ) from None
    return found
