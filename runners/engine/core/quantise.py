"""INT8 for exports: the layers with weights of an ONNX model, quantized by onnxruntime with calibration images.

Weights and activations are symmetric and signed, the weights by channel, as TensorRT takes them; weights have 7 bits,
since sums of products of 8 bits overflow on processors without VNNI. What follows the layers (decoding, NMS) stays
float.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Generic

import numpy as np

from runners.engine.core.loading import BatchLoader
from runners.engine.core.network import F, Network, S, T
from runners.engine.errors import DataError, EngineError, SpecError
from runners.engine.spec import Calibrated

if TYPE_CHECKING:
    from onnx import ModelProto

log = logging.getLogger("engine")

LIMIT = 0.15
"""How far outputs may be from the float model's, as a share of their values. Networks of plain convolutions were at
0.08 at most; EfficientDet, at 0.28, had lost three quarters of its AP50."""
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that are quantized where their second input is a constant."""

Given = dict[str, np.ndarray]


class _CalibrationImages(Generic[S, F, T]):
    """The batches of a calibration as onnxruntime asks for them."""

    def __init__(self, network: Network[S, F, T], frame: F, feed: BatchLoader[T], batches: int) -> None:
        self._network, self._frame, self._batches = network, frame, batches
        self._feed = iter(feed.epoch())
        self.count = 0
        self.first: Given | None = None

    def get_next(self) -> Given | None:
        for batch in self._feed if self._batches else ():
            for bad in batch.unreadable:
                log.warning("Left out: %s cannot be read (%s)", bad.path, bad.reason)
            if batch.data is None:
                continue
            self._batches -= 1
            self.count += len(batch.indices)
            inputs = self._network.inputs(batch.data, self._frame)
            given = {name: part.numpy() for name, part in zip(self._network.input_names, inputs, strict=True)}
            self.first = self.first or given
            return given
        return None


def check(spec: Calibrated) -> None:
    """Raise SpecError for a specification of INT8 without images."""
    if not spec.cal_image_dir:
        raise SpecError(
            "data_type is 'int8' and cal_image_dir is not set: give the model a calibration dataset, or set data_type "
            "to fp32."
        )
    if not Path(spec.cal_image_dir).is_dir():
        raise SpecError(f"cal_image_dir {spec.cal_image_dir} does not exist; name a folder of images.")


def to_int8(network: Network[S, F, T], spec: S, frame: F, target: Path) -> str:
    """Quantize an ONNX file in place; returns what was done. Raises EngineError."""
    from onnxruntime import quantization

    assert isinstance(spec, Calibrated)
    samples, batch, workers = network.calibration(spec, frame)
    feed = BatchLoader(samples, batch=batch, workers=workers, shuffle=True)
    images = _CalibrationImages(network, frame, feed, spec.batches)
    prepared, done = (target.with_name(f"{target.name}.{step}") for step in ("prepared", "int8"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantization.quant_pre_process(str(target), str(prepared), skip_symbolic_shape=True)
            names = layers(_load(prepared))
            quantization.quantize_static(
                str(prepared),
                str(done),
                images,
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(LAYERS),
                nodes_to_quantize=names,
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )
        assert images.first is not None
        difference = _difference(network.probe_names or network.output_names, images.first, target, done)
    except (ValueError, TypeError, LookupError, AssertionError, RuntimeError) as error:
        if images.first is None:
            raise DataError(f"None of the images in cal_image_dir {spec.cal_image_dir} can be read.") from None
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise EngineError(
            f"data_type is 'int8', and onnxruntime cannot quantize this model ({reason}); set data_type to fp32."
        ) from error
    else:
        if difference > LIMIT:
            raise EngineError(
                f"data_type is 'int8', in which the outputs differ from the float model's by {difference:.1%}; at most "
                f"{LIMIT:.0%} is accepted: give it other images in cal_image_dir, or set data_type to fp32."
            )
        done.replace(target)
    finally:
        for path in (prepared, done):
            path.unlink(missing_ok=True)
    return (
        f"{len(names)} layers quantized with {images.count} images; the outputs differ from the float model's by "
        f"{difference:.1%}"
    )


def layers(model: ModelProto) -> list[str]:
    """The nodes to quantize by name."""
    constants = {one.name for one in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type in LAYERS and node.input[1] in constants]


def _load(path: Path) -> ModelProto:
    import onnx

    return onnx.load(str(path))


def _difference(compared: tuple[str, ...], given: Given, one: Path, other: Path) -> float:
    """The largest difference of an output, as a share of its values (both as root mean squares)."""
    import onnxruntime

    found = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(compared, given)
        for path in (one, other)
    ]
    shares = []
    for own, theirs in zip(*found, strict=True):
        own, theirs = own.astype(np.float64), theirs.astype(np.float64)
        shares.append(float(np.sqrt(((own - theirs) ** 2).sum() / max(1e-12, (own**2).sum()))))
    return max(shares)
