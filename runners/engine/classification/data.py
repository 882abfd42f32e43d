"""Images with their labels as the training core reads them."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from runners.engine.classification.images import Images, Label
from runners.engine.classification.pipeline import Pipeline
from runners.engine.classification.table import Table
from runners.engine.core import images as reading


class Labelled(NamedTuple):
    """`pixels` uint8 [n, height, width, 3]; `labels` int64 [n], or [n, tasks] of a table; -1 where unknown."""

    pixels: torch.Tensor
    labels: torch.Tensor


class ImageSet(msgspec.Struct, frozen=True):
    """Images through a pipeline, with their labels."""

    found: Images | Table
    pipeline: Pipeline

    def __len__(self) -> int:
        return len(self.found.names)

    def path(self, index: int) -> str:
        return self.found.path(index)

    def sample(self, index: int, rng: Random) -> tuple[np.ndarray, Label]:
        image = reading.read(self.found.path(index))
        return self.pipeline(image, rng), self.found.labels[index] if self.found.labels else -1

    def collate(self, samples: list[tuple[np.ndarray, Label]]) -> Labelled:
        pixels = torch.from_numpy(np.stack([pixels for pixels, _ in samples]))
        return Labelled(pixels, torch.tensor([label for _, label in samples], dtype=torch.int64))

    def digest(self) -> str:
        return self.found.digest()
