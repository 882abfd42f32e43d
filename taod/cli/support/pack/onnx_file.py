"""What an ONNX file states about its model: inputs, outputs, and the metadata that the engine's export writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from taod.documents import Document

if TYPE_CHECKING:
    from onnx import ValueInfoProto


class Tensor(msgspec.Struct, frozen=True):
    """An input or output. A dimension is a number, or a name where it may vary (`batch`)."""

    name: str
    type: str
    """`float32`, `int64` …, as numpy names it."""
    shape: list[int | str]


class OnnxFile(msgspec.Struct, frozen=True):
    """An ONNX file's interface. `metadata` has decoded values; a value that is not JSON stays text."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    metadata: Document
    producer: str
    opset: int


def read(path: Path) -> OnnxFile:
    """Read a file without its weights' external data. Raises ImportError without the package onnx, and ValueError for
    a file that is not ONNX."""
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own, whose package has no types
        raise ValueError(f"{path.name} is not an ONNX file: {error}") from None
    weights = {tensor.name for tensor in model.graph.initializer}
    return OnnxFile(
        [_tensor(value) for value in model.graph.input if value.name not in weights],
        [_tensor(value) for value in model.graph.output],
        {prop.key: _decoded(prop.value) for prop in model.metadata_props},
        f"{model.producer_name} {model.producer_version}".strip(),
        max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=0),
    )


def _decoded(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _tensor(value: ValueInfoProto) -> Tensor:
    import onnx

    tensor = value.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "any" for dim in tensor.shape.dim]
    return Tensor(value.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name, shape)
