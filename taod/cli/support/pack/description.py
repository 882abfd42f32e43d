"""model.json of a pack: how to prepare images for the model and how to read its outputs. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from taod.cli.support.pack.onnx_file import OnnxFile, Tensor
from taod.documents import Document

GRAPH_KEYS = ("frame", "classes", "network", "layout", "input_size")
"""Metadata that other fields of model.json state, or that the engine alone reads."""
BEFORE = ("mean", "std", "channels", "pipeline", "fit")


class Task(StrEnum):
    """What a model's outputs are."""

    CLASSIFICATION = "classification"
    """Logits [n, classes]; with several tasks, theirs side by side."""
    DETECTION = "detection"
    """Number of detections, boxes, scores and classes, after NMS."""
    INSTANCES = "instance segmentation"
    """Detections, and a mask within each box."""
    SEGMENTATION = "segmentation"
    """Logits [n, classes, height, width]."""
    GRID = "coverage grid"
    """Coverage and boxes of each cell of detectnet_v2, to be clustered."""
    UNKNOWN = "unknown"
    """The file does not state it."""


class Description(msgspec.Struct, frozen=True):
    """The content of model.json."""

    name: str
    network: str
    release: str
    task: Task
    file: str
    layout: str
    classes: list[str]
    inputs: list[Tensor]
    outputs: list[Tensor]
    preprocessing: Document
    """`channels` are arranged, `pipeline` or `fit` brings an image to the size of the input (`keep_ratio`: padded with
    black on the right and below; `shorter`: its shorter side is no longer), then each channel gets
    (value - mean) / std, values from 0 to 255."""
    postprocessing: Document
    format: int = 1

    @property
    def runnable(self) -> bool:
        """Whether the script of the pack can run it."""
        return self.task not in (Task.UNKNOWN, Task.GRID)


def describe(file: OnnxFile, *, name: str, network: str, release: str, path: str, classes: list[str]) -> Description:
    """model.json for an ONNX file; `classes` are used where its metadata have none."""
    metadata = file.metadata
    return Description(
        name=name,
        network=network,
        release=release,
        task=_task(metadata),
        file=path,
        layout=str(metadata.get("layout", "NCHW")),
        classes=list(metadata.get("classes", classes)),
        inputs=file.inputs,
        outputs=file.outputs,
        preprocessing={key: metadata[key] for key in BEFORE if key in metadata},
        postprocessing={key: value for key, value in metadata.items() if key not in (*BEFORE, *GRAPH_KEYS)},
    )


def _task(metadata: Document) -> Task:
    marks = {
        "masks": Task.INSTANCES,
        "nms": Task.DETECTION,
        "clustering": Task.GRID,
        "palette": Task.SEGMENTATION,
        "pipeline": Task.CLASSIFICATION,
    }
    return next((task for key, task in marks.items() if key in metadata), Task.UNKNOWN)
