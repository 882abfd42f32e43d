"""Masks of objects: within their boxes to learn from, over their image to be measured."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_masks
from torch import nn

from runners.engine.data import shapes
from runners.engine.detection.data import DetectionSamples, Item
from runners.engine.detection.metrics import Rle
from runners.engine.detection.regions import points
from runners.engine.detection.samples import Sample, truth
from runners.engine.detection.transforms import Boxed, Letterbox, sanitized
from taod.datasets.formats.segments import Segmentation, pack

INSIDE = 254
UNKNOWN = 255


def rle(segmentation: Segmentation | None, box: tuple[float, ...], size: tuple[int, int]) -> Rle:
    """The pixels of an object of an image of `size` (width, height); of its box where it has no segmentation."""
    width, height = size
    if segmentation is not None and segmentation.counts:
        return {"size": [height, width], "counts": pack(segmentation.counts)}
    if segmentation is not None:
        rings = [list(ring) for ring in segmentation.polygons]
    else:
        left, top, right, bottom = box
        rings = [[left, top, right, top, right, bottom, left, bottom]]
    found: Rle = coco_masks.merge(coco_masks.frPyObjects(rings, height, width))
    return found


def within(segmentation: Segmentation | None, box: tuple[float, ...], size: tuple[int, int], side: int) -> torch.Tensor:
    """A mask uint8 [side, side] over its box, as `Target` has it."""
    if segmentation is None:
        return torch.full((side, side), UNKNOWN, dtype=torch.uint8)
    whole = shapes.mask(segmentation, size)
    inner = whole.resize((side, side), Image.Resampling.BILINEAR, box=_fitted(box, size))
    return torch.from_numpy(np.minimum(np.array(inner), INSIDE))


def _fitted(box: tuple[float, ...], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box, cut to the image; of what is outside, the nearest pixel."""
    left, top = (min(max(edge, 0.0), side - 1.0) for edge, side in zip(box[:2], size, strict=True))
    right, bottom = (min(max(edge, 0.0), side) for edge, side in zip(box[2:], size, strict=True))
    return left, top, max(right, left + 1e-3), max(bottom, top + 1e-3)


def pasted(mask: np.ndarray, box: np.ndarray, size: tuple[int, int]) -> Rle:
    """A mask [side, side] of chances over its box (edges in pixels) as pixels of an image of `size` (width, height)."""
    width, height = size
    left, top, right, bottom = map(float, box)
    first = max(0, int(np.floor(left))), max(0, int(np.floor(top)))
    last = min(width, int(np.ceil(right))), min(height, int(np.ceil(bottom)))
    image = np.zeros((height, width), dtype=np.uint8, order="F")
    if last[0] > first[0] and last[1] > first[1]:
        across = (torch.arange(first[0], last[0]) + 0.5 - left) / max(right - left, 1e-6) * 2 - 1
        down = (torch.arange(first[1], last[1]) + 0.5 - top) / max(bottom - top, 1e-6) * 2 - 1
        grid = torch.stack(torch.meshgrid(across, down, indexing="xy"), dim=-1)[None].float()
        values = torch.from_numpy(mask)[None, None].float()
        found = nn.functional.grid_sample(values, grid, padding_mode="border", align_corners=False)
        image[first[1] : last[1], first[0] : last[0]] = (found[0, 0] >= 0.5).numpy()
    encoded: Rle = coco_masks.encode(image)
    encoded["counts"] = encoded["counts"].decode()
    return encoded


def targets(masks: torch.Tensor, objects: torch.Tensor, regions: torch.Tensor, side: int) -> torch.Tensor:
    """What the mask of each region should be, 0 or 1 [k, side, side]: from masks [k, n, n] over their objects' boxes
    [k, 4], at the middles of the cells of regions [k, 4]."""
    at = points(regions, side)
    corner, sides = objects[:, None, None, :2], (objects[:, 2:] - objects[:, :2]).clamp(min=1e-3)[:, None, None]
    grid = (at - corner) / sides * 2 - 1
    found = nn.functional.grid_sample(masks[:, None].float() / INSIDE, grid.float(), align_corners=False)
    return (found[:, 0] >= 0.5).float()


class MaskSamples(DetectionSamples):
    """Images with the masks of their objects. `side` is that of the masks that are learnt from, None for samples that
    are measured; half of the images of a training are mirrored where `mirrored`."""

    def __init__(
        self,
        samples: list[Sample],
        fit: Letterbox,
        *,
        side: int | None = None,
        mirrored: bool = False,
        crowds: bool = False,
        most: int | None = None,
    ) -> None:
        super().__init__(samples, fit, crowds=crowds, most=most)
        self._side, self._mirrored = side, mirrored

    def sample(self, index: int, rng: Random) -> Item:
        sample = self._samples[index]
        found = super().sample(index, rng)
        size = (found.place.width, found.place.height)
        if self._side is None:
            whole = [rle(one, box, size) for one, box in zip(sample.segmentations, sample.boxes, strict=True)]
            return found._replace(truth=msgspec.structs.replace(truth(sample), masks=whole))
        own = self.training_objects(sample)
        boxes = torch.tensor([sample.boxes[place] for place in own], dtype=torch.float32).reshape(-1, 4)
        place = found.place
        boxes = boxes * torch.tensor([place.across, place.down] * 2)
        # The labels carry which boxes are kept.
        kept = sanitized(Boxed(found.boxed.image, boxes, torch.arange(len(own))))
        chosen = [own[number] for number in kept.labels.tolist()]
        masks = [within(sample.segmentations[at], sample.boxes[at], size, self._side) for at in chosen]
        labels = torch.tensor([sample.classes[at] for at in chosen], dtype=torch.long)
        image, boxes = kept.image, kept.boxes
        stacked = torch.stack(masks) if masks else torch.zeros(0, self._side, self._side, dtype=torch.uint8)
        if self._mirrored and rng.random() < 0.5:
            image, stacked = image.flip(-1), stacked.flip(-1)
            boxes = torch.stack(
                [image.shape[-1] - boxes[:, 2], boxes[:, 1], image.shape[-1] - boxes[:, 0], boxes[:, 3]], 1
            )
        return Item(Boxed(image, boxes, labels), found.truth, place, sample.id, stacked)
