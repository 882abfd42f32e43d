"""A pipeline of steps, built from the spec and checked before the first image is opened.

Arithmetic that a batch can share (normalising) is left to the batch: a `Pipeline` yields uint8 images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, fields
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from runners.engine.classification.settings import PIPELINE, PIPELINE_SILENT
from runners.engine.classification.transforms import STEPS, Normalize, RandomResizedCrop, Step
from runners.engine.errors import SpecError

_OTHER_NAMES = {"prob": "flip_prob", "crop_size": "size", "img_scale": "size"}
_WITHOUT_EFFECT = ("backend", "efficientnet_style", "lazy", "pad_val", "mode", "erase_mode", "fill_color", "meta_keys")


class Pipeline:
    """The steps of `dataset.data.<split>.pipeline`, built and checked. Raises SpecError naming the entry."""

    def __init__(self, entries: Sequence[dict[str, Any]], where: str) -> None:
        self.entries = [dict(entry) for entry in entries]
        self.steps: list[Step] = []
        self.norm: Normalize | None = None
        for number, entry in enumerate(self.entries):
            step = _build(entry, f"{where}.pipeline[{number}]")
            if isinstance(step, Normalize):
                self.norm = step
            elif step is not None:
                self.steps.append(step)
        self.size = self._output_size(where)

    def __call__(self, image: Image.Image, rng: Random) -> np.ndarray:
        """An image as uint8 [height, width, 3]."""
        for step in self.steps:
            image = step(image, rng)
        return np.array(image, dtype=np.uint8)

    def _output_size(self, where: str) -> tuple[int, int]:
        """(height, width) of what comes out, tried on images of unlike shapes."""
        sizes = {self(Image.new("RGB", size), Random(0)).shape[:2] for size in ((37, 91), (300, 200), (64, 64))}
        if len(sizes) != 1:
            raise SpecError(
                f"{where}.pipeline leaves images of unlike sizes; end it with RandomResizedCrop, CenterCrop, "
                "RandomCrop or Resize to [height, width]."
            )
        height, width = sizes.pop()
        return height, width


def _build(entry: dict[str, Any], where: str) -> Any:
    arguments = {key: value for key, value in entry.items() if key != "type"}
    name = entry.get("type")
    if name in PIPELINE_SILENT:
        return None
    if name not in STEPS:
        raise SpecError(f"{where}.type '{name}' is not in the engine; it has {', '.join(PIPELINE)}.")
    kind = STEPS[name]
    known = {field.name: field for field in fields(kind)}
    given = {}
    for key, value in arguments.items():
        option = key if key in known else _OTHER_NAMES.get(key, key)
        if option in known:
            given[option] = value
        elif key not in _WITHOUT_EFFECT:
            raise SpecError(f"{where}.{key} is not known for {name}; known: {', '.join(known)}.")
    needed = [option for option, field in known.items() if field.default is MISSING and option not in given]
    if needed:
        raise SpecError(f"{where} ({name}) lacks {', '.join(needed)}.")
    try:
        return kind(**given)
    except (ValueError, TypeError) as error:
        raise SpecError(f"{where} ({name}): {error}.") from None


def evaluation_entries(train: Pipeline) -> list[dict[str, Any]]:
    """The pipeline for val and test where the spec has none: the train pipeline's size, nothing random.

    After training on random resized crops, the central 87.5 % is evaluated (the usual 224 of 256); else everything.
    """
    height, width = train.size
    zoomed = any(isinstance(step, RandomResizedCrop) for step in train.steps)
    if height != width:
        return [{"type": "Resize", "size": [height, width]}]
    side = round(height * 256 / 224) if zoomed and height > 64 else height
    return [{"type": "Resize", "size": side}, {"type": "CenterCrop", "crop_size": height}]
