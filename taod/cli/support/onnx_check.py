"""Accuracy of an exported classifier in onnxruntime, from its file alone as in production."""

from __future__ import annotations

import json
from pathlib import Path

BATCH = 64


def accuracy_of(onnx_file: Path, folder: Path) -> float:
    """Share of the images in `<folder>/<class>/*` that the model classifies correctly, in [0, 1].

    Classes, normalisation and input size come from the model's own metadata.
    """
    import numpy as np
    import onnxruntime
    from PIL import Image

    session = onnxruntime.InferenceSession(str(onnx_file), providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    classes = json.loads(metadata["classes"])
    mean, std = (np.array(json.loads(metadata[key]), np.float32) for key in ("mean", "std"))
    height, width = session.get_inputs()[0].shape[2:]
    images = sorted(path for path in folder.rglob("*") if path.is_file())
    correct = 0
    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        pixels = np.stack(
            [np.asarray(Image.open(path).convert("RGB").resize((width, height)), np.float32) for path in batch]
        )
        scores = session.run(None, {session.get_inputs()[0].name: ((pixels - mean) / std).transpose(0, 3, 1, 2)})[0]
        correct += sum(
            classes[best] == path.parent.name for best, path in zip(scores.argmax(axis=1), batch, strict=True)
        )
    return correct / len(images)
