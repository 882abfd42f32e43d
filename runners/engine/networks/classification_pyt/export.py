"""The export action: a checkpoint to an ONNX model with dynamic batch, checked against the torch model.

Input `input`: normalised float32 [batch, 3, height, width]. Output `logits`: float32 [batch, classes]. The metadata
(JSON values) say classes, mean and std on the 0-255 scale, input size, layout, and the pipeline to that size.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from torch import nn

from runners.engine.errors import EngineError, SpecError
from runners.engine.networks.classification_pyt import predictor, settings
from runners.engine.networks.classification_pyt.predictor import Predictor

if TYPE_CHECKING:
    from runners.engine.run import Run

log = logging.getLogger("engine")

TOLERANCE = 1e-3
"""Largest difference that a logit may have, relative to the largest logit (at least 1)."""


def run(run: Run) -> str:
    """Write the ONNX file; returns the closing sentence. Raises EngineError if it answers otherwise than torch."""
    spec = settings.of(run.document)
    wanted = spec.export
    if not wanted.checkpoint:
        raise SpecError("export.checkpoint is not set: train first, or run export on a finished train job.")
    if not wanted.checkpoint.endswith(".pth"):
        raise SpecError(f"export.checkpoint {wanted.checkpoint} is not a .pth checkpoint of the engine.")
    found, model = predictor.from_checkpoint(Path(wanted.checkpoint), torch.device("cpu"))
    _check_size(wanted, found.size)
    target = Path(wanted.onnx_file) if wanted.onnx_file else run.results / "model.onnx"
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.part")
    run.status.running("Exporting to ONNX")
    try:
        _export(model.eval(), found, aside)
        difference = _check(model, found.size, aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    size = target.stat().st_size / 1e6
    log.info("%s: %.2f MB, largest difference to torch %.2e", target, size, difference)
    return f"Export finished: {target.name}, largest difference to the torch model {difference:.1e}"


def _check_size(wanted: settings.Export, size: tuple[int, int]) -> None:
    """The trained size counts; another size is rejected where the user set it, not where it is the default."""
    asked = (wanted.input_height, wanted.input_width)
    if asked == size:
        return
    if asked != (settings.CATALOGUE_SIDE, settings.CATALOGUE_SIDE):
        raise SpecError(
            f"export.input_height and input_width are {asked[0]} and {asked[1]}; the model was trained at "
            f"{size[0]} and {size[1]}."
        )
    log.info("export.input_height, input_width are left at %d; the model's %dx%d is used", asked[0], *size)


def _export(model: nn.Module, found: Predictor, target: Path) -> None:
    """Through torch.export, traced with a batch of 2, since a batch of 1 would be taken for a constant."""
    import onnx

    example = torch.zeros(2, 3, *found.size)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model,
            (example,),
            str(target),
            dynamo=True,
            external_data=False,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes={"pixels": {0: torch.export.Dim("batch")}},
        )
    exported = onnx.load(str(target))
    about = {
        "classes": found.classes,
        "mean": found.mean,
        "std": found.std,
        "input_size": list(found.size),
        "pipeline": found.pipeline,
    }
    metadata = {key: msgspec.json.encode(value).decode() for key, value in about.items()}
    onnx.helper.set_model_props(exported, {**metadata, "layout": "NCHW", "network": "classification_pyt"})
    onnx.checker.check_model(exported)
    onnx.save(exported, str(target))


def _check(model: nn.Module, size: tuple[int, int], target: Path) -> float:
    """Largest difference of a logit between onnxruntime and torch, over batches of 1 and 5. Raises EngineError."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    worst = 0.0
    for batch in (1, 5):
        pixels = random.standard_normal((batch, 3, *size), dtype=np.float32)
        with torch.inference_mode():
            expected = model(torch.from_numpy(pixels)).numpy()
        difference = float(np.abs(session.run(None, {"input": pixels})[0] - expected).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            raise EngineError(f"The exported model differs from the torch model by {difference:.2e} in a logit.")
        worst = max(worst, difference)
    return worst
