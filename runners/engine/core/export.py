"""The export action: a checkpoint to an ONNX model with dynamic batch, checked against the torch model.

Inputs and outputs are the network's. The metadata (JSON values) say classes, input size, layout and what the network
says of its pre- and post-processing; `frame` is what evaluate and inference need to run the file.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine.core import quantise, trained_model
from runners.engine.core.network import F, Network, S, T
from runners.engine.errors import EngineError, SpecError
from runners.engine.spec import Calibrated, convert

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

TOLERANCE = 1e-3
"""Largest difference that an output may have, relative to the largest value (at least 1)."""


def run(run: Run, network: Network[S, F, T]) -> str:
    """Write the ONNX file; returns the closing sentence. Raises EngineError if it answers otherwise than torch."""
    spec = convert(run.document, network.spec_type)
    path, field = network.checkpoint(spec, "export")
    if not path:
        raise SpecError(f"{field} is not set: train first, or run export on a finished train job.")
    if not path.endswith(".pth"):
        raise SpecError(f"{field} {path} is not a .pth checkpoint of the engine.")
    if isinstance(spec, Calibrated) and spec.int8:
        quantise.check(spec)
    frame, model = trained_model.from_checkpoint(network, Path(path))
    network.check_export(spec, frame)
    named = network.onnx_file(spec)
    target = Path(named) if named else run.results / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    run.status.running("Exporting to ONNX")
    try:
        difference, int8 = write(network, spec, model, frame, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    size = target.stat().st_size / 1e6
    log.info("%s: %.2f MB, largest difference to torch %.2e", target, size, difference)
    if int8:
        log.info("INT8: %s", int8)
        run.status.running("Quantized", stats={"INT8": int8})
        return f"Export finished: {target.name}, INT8"
    return f"Export finished: {target.name}, largest difference to the torch model {difference:.1e}"


def write(network: Network[S, F, T], spec: S, model: nn.Module, frame: F, target: Path) -> tuple[float, str]:
    """Write the file, compare it with torch, quantize it where that is asked for, complete it; returns the largest
    difference of the float model, and what was quantized. Raises EngineError."""
    probing = network.probing(network.deployed(model.eval(), frame, spec)).eval()
    _export(network, probing, frame, target)
    difference = compare(network, probing, frame, target)
    int8 = ""
    if isinstance(spec, Calibrated) and spec.int8:
        int8 = quantise.to_int8(network, spec, frame, target)
    _complete(network, spec, frame, target)
    return difference, int8


def _export(network: Network[S, F, T], model: nn.Module, frame: F, target: Path) -> None:
    """Traced with a batch of 2, since a batch of 1 would be taken for a constant."""
    outputs = (*network.output_names, *network.probe_names)
    example = network.example(frame, 2, Random(0))
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        if network.exporter == "trace":
            torch.onnx.export(
                model,
                example,
                str(target),
                dynamo=False,
                input_names=list(network.input_names),
                output_names=list(outputs),
                dynamic_axes={name: {0: "batch"} for name in (*network.input_names, *outputs)},
            )
        else:
            batch = torch.export.Dim("batch")
            torch.onnx.export(
                model,
                example,
                str(target),
                dynamo=True,
                external_data=False,
                optimize=network.optimise_export,
                input_names=list(network.input_names),
                output_names=list(outputs),
                dynamic_shapes=tuple({0: batch} for _ in example),
                custom_translation_table=network.translations(),
            )


def _complete(network: Network[S, F, T], spec: S, frame: F, target: Path) -> None:
    """Drop what was only compared, and put in the metadata."""
    import onnx

    exported = onnx.load(str(target))
    kept = [output for output in exported.graph.output if output.name not in network.probe_names]
    del exported.graph.output[:]
    exported.graph.output.extend(kept)
    bare = msgspec.structs.replace(frame, spec={}, data={})  # the specification may hold a key
    about = {
        "classes": frame.classes,
        "input_size": list(network.input_size(frame)[1:]),
        **network.metadata(frame, spec),
        "data_type": spec.data_type if isinstance(spec, Calibrated) else "fp32",
        trained_model.FRAME: bare,
    }
    metadata = {key: msgspec.json.encode(value).decode() for key, value in about.items()}
    onnx.helper.set_model_props(exported, {**metadata, "layout": "NCHW", "network": network.name})
    onnx.checker.check_model(exported)
    onnx.save(exported, str(target))


def compare(network: Network[S, F, T], model: nn.Module, frame: F, target: Path) -> float:
    """Largest difference of an output between onnxruntime and torch, over batches of 1 and 5. Raises EngineError."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    compared = network.probe_names or network.output_names
    random, worst = Random(0), 0.0
    for batch in (1, 5):
        inputs = network.example(frame, batch, random)
        with torch.inference_mode():
            expected = model(*inputs)
        expected = (expected,) if isinstance(expected, torch.Tensor) else expected
        given = {name: part.numpy() for name, part in zip(network.input_names, inputs, strict=True)}
        found = session.run(compared, given)
        for name, own, torchs in zip(compared, found, expected[-len(compared) :], strict=True):
            difference = _difference(own, torchs.numpy())
            if not difference <= TOLERANCE * max(1.0, float(np.abs(torchs.numpy()).max(initial=0))):
                raise EngineError(f"The exported model differs from the torch model by {difference:.2e} in {name}.")
            worst = max(worst, difference)
    return worst


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0))
