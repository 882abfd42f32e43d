"""The configuration of a model for NVIDIA's Triton Inference Server. Pure."""

from __future__ import annotations

import json

from taod.cli.support.pack.onnx_file import OnnxFile, Tensor

BATCH = 8
"""Largest batch that Triton forms from requests."""
_TYPES = {"float32": "FP32", "float16": "FP16", "float64": "FP64", "bool": "BOOL"}


def config(name: str, file: OnnxFile) -> str:
    """config.pbtxt of an ONNX model in a model repository. Its first dimension is left to Triton where all tensors
    have a variable one."""
    tensors = [*file.inputs, *file.outputs]
    batched = all(tensor.shape and isinstance(tensor.shape[0], str) for tensor in tensors)
    lines = [f"name: {json.dumps(name)}", 'backend: "onnxruntime"', f"max_batch_size: {BATCH if batched else 0}"]
    for kind, group in (("input", file.inputs), ("output", file.outputs)):
        entries = ",\n".join(_entry(tensor, batched=batched) for tensor in group)
        lines.append(f"{kind} [\n{entries}\n]")
    if batched:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def _entry(tensor: Tensor, *, batched: bool) -> str:
    shape = tensor.shape[1:] if batched else tensor.shape
    dims = ", ".join(str(side) if isinstance(side, int) else "-1" for side in shape)
    kind = _TYPES.get(tensor.type, tensor.type.upper())
    return f"  {{ name: {json.dumps(tensor.name)} data_type: TYPE_{kind} dims: [ {dims} ] }}"
