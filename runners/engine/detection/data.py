"""Detection data as the training core reads them: augmented in training, brought to the network's input otherwise."""

from __future__ import annotations

import hashlib
from random import Random
from typing import NamedTuple

import numpy as np
import torch

from runners.engine.core import images
from runners.engine.detection.metrics import Truth
from runners.engine.detection.nms import Target
from runners.engine.detection.samples import Sample, truth
from runners.engine.detection.transforms import Boxed, Letterbox, Stretch, Transform


class Placement(NamedTuple):
    """Where an image came from: pixels of the network's input an original pixel has (across, down), and its size."""

    across: float
    down: float
    width: int
    height: int

    @property
    def factors(self) -> np.ndarray:
        """What an edge of the image is multiplied by in the input."""
        return np.array([self.across, self.down, self.across, self.down])

    def back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the network's input in pixels of the image, clipped to it."""
        found = boxes / self.factors
        limits = np.array([self.width, self.height, self.width, self.height])
        clipped: np.ndarray = np.clip(found, 0, limits)
        return clipped


class Batch(NamedTuple):
    """Images uint8 [n, 3, height, width] with their objects; `truths` and `places` in pixels of the files."""

    images: torch.Tensor
    targets: list[Target]
    truths: list[Truth]
    places: list[Placement]
    ids: list[int]


class Item(NamedTuple):
    boxed: Boxed
    truth: Truth
    place: Placement
    id: int
    masks: torch.Tensor | None = None


class DetectionSamples:
    """The samples of a split. `transform` is random and is given in training; `fit` brings any image to the input."""

    def __init__(
        self,
        samples: list[Sample],
        fit: Stretch | Letterbox,
        transform: Transform | None = None,
        *,
        grey: bool = False,
        crowds: bool = False,
        most: int | None = None,
    ) -> None:
        """`crowds`: they are learnt like single objects; `most`: further objects of an image are left out."""
        self._samples, self._fit, self._transform, self._grey = samples, fit, transform, grey
        self._crowds, self._most = crowds, most

    def __len__(self) -> int:
        return len(self._samples)

    def path(self, index: int) -> str:
        return self._samples[index].path

    def sample(self, index: int, rng: Random) -> Item:
        sample = self._samples[index]
        boxed = self._read(index)
        height, width = boxed.image.shape[-2:]
        if self._transform is None:
            boxed, (across, down) = self._fit(boxed), self._fit.factors(height, width)
            return Item(boxed, truth(sample), Placement(across, down, width, height), sample.id)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.getrandbits(63))
            boxed = self._transform(self._combined(boxed, rng))
        return Item(boxed, truth(sample), Placement(1.0, 1.0, width, height), sample.id)

    def _combined(self, boxed: Boxed, rng: Random) -> Boxed:
        """What is transformed, from the image that was read; mosaics put further ones beside it."""
        return boxed

    def _read(self, index: int) -> Boxed:
        sample = self._samples[index]
        image = images.read(sample.path)
        if self._grey:
            image = image.convert("L").convert("RGB")
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
        own = self.training_objects(sample)
        boxes = torch.tensor([sample.boxes[place] for place in own], dtype=torch.float32).reshape(-1, 4)
        return Boxed(pixels, boxes, torch.tensor([sample.classes[place] for place in own], dtype=torch.long))

    def training_objects(self, sample: Sample) -> list[int]:
        """The places of the objects that a training learns from."""
        return [place for place, crowd in enumerate(sample.crowd) if self._crowds or not crowd][: self._most]

    def collate(self, samples: list[Item]) -> Batch:
        return Batch(
            torch.stack([one.boxed.image for one in samples]),
            [Target(one.boxed.boxes, one.boxed.labels, one.masks) for one in samples],
            [one.truth for one in samples],
            [one.place for one in samples],
            [one.id for one in samples],
        )

    def digest(self) -> str:
        found = hashlib.sha256()
        for sample in self._samples:
            found.update(f"{sample.name} {sample.boxes} {sample.classes}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()
